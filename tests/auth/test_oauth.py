"""Access tokens of an issuer: what is accepted, and every way of forging one."""

import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock
from server.auth.served import RESOURCE, SERVER

from auth.issuer import SUBJECT, Issuer, private_key, public_jwk, running_issuer
from journey_mcp.auth.access import Access, access_of
from journey_mcp.auth.errors import CannotVerify, InvalidToken
from journey_mcp.auth.identity import Identity
from journey_mcp.auth.issuer_keys import IssuerKeys
from journey_mcp.auth.oauth import OAuthTokens
from journey_mcp.core.principals import principal_of_subject
from journey_mcp.settings import read_settings


@asynccontextmanager
async def opened(path: str = "", clock: ManualClock | None = None, **more: str) -> AsyncIterator[tuple[Access, Issuer]]:
    """Run an issuer, and open the access to a server that trusts it."""
    async with running_issuer(path) as issuer:
        environment = {"JOURNEY_MCP_SERVER_URL": SERVER, "JOURNEY_MCP_OAUTH_ISSUER": issuer.url, **more}
        access = access_of(read_settings(environment), clock or ManualClock())
        assert access is not None
        yield access, issuer


async def outcome(access: Access, token: str) -> Identity | str:
    """Return whose token it is, or why it is rejected."""
    try:
        return await access.identify(token)
    except (InvalidToken, CannotVerify) as error:
        return str(error)


async def test_a_token_has_its_principal_and_its_scopes() -> None:
    """The principal is of issuer and subject; scopes of others do not count."""
    async with opened() as (access, issuer):
        identity = await access.identify(issuer.token())
        assert identity.principal == principal_of_subject(issuer.url, SUBJECT)
        assert identity.name == SUBJECT
        assert identity.scopes == {"images:generate", "images:read"}
        other = await access.identify(issuer.token(sub="auth0|bob", scope="images:read offline_access"))
        assert other.principal != identity.principal
        assert (other.allows("images:read"), other.allows("images:generate")) == (True, False)
        listed = await access.identify(issuer.token(scope=None, scp=["images:generate"]))
        assert (listed.allows("images:read"), listed.allows("images:generate")) == (True, True)
        assert (await access.identify(issuer.token(scope=7))).scopes == frozenset()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_four_algorithms_are_accepted(algorithm: str) -> None:
    """With keys that name their algorithm, and with keys that do not."""
    async with opened() as (access, issuer):
        key = private_key(algorithm)
        for member in ({"alg": algorithm}, {}):
            issuer.keys = [public_jwk(key, kid=f"key {len(member)}", **member)]
            header = {"kid": f"key {len(member)}", "typ": "JWT"}
            assert isinstance(await outcome(access, issuer.token(algorithm, header=header)), Identity)
            # the pause after an unknown key, that is also in manual time
            await ManualClock().sleep(31)


def unsigned(header: dict[str, Any], token: str, signature: str = "") -> str:
    """Return the claims of a token under another header."""
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{encoded}.{token.split('.')[1]}.{signature}"


def with_shared_secret(issuer: Issuer) -> str:
    """Sign with HS256 and the public key as the secret: PyJWT itself refuses to make such a token."""
    public = private_key("RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "typ": "at+jwt", "kid": "one"}
    text = unsigned(header, issuer.token())[:-1]
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(text.encode(), public)).decode().rstrip("=")
    return f"{text}.{signature}"


def swapped(issuer: Issuer) -> str:
    """Return the claims of one token with the signature of another."""
    mine, theirs = issuer.token(), issuer.token(sub="auth0|admin")
    return ".".join([*theirs.split(".")[:2], mine.split(".")[2]])


def deep(issuer: Issuer) -> str:  # noqa: ARG001  # as the other attacks
    """Return a token whose header is nested deeper than a parser can go."""
    header = base64.urlsafe_b64encode(b"[" * 9_000).decode().rstrip("=")
    return f"{header}.e30.c2ln"


NOW = int(time.time())
MINE = private_key("ES256", 1)
ATTACKS: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "alg none": (
        lambda i: unsigned({"alg": "none", "typ": "at+jwt", "kid": "one"}, i.token()),
        "The algorithm of the token is not that of its key.",
    ),
    "alg None in other case, without kid": (
        lambda i: unsigned({"alg": "nOnE", "typ": "at+jwt"}, i.token()),
        "The algorithm of the token is not that of its key.",
    ),
    "HS256 with the public key": (with_shared_secret, "The algorithm of the token is not that of its key."),
    "RS256 for an EC key": (lambda i: i.token("RS256"), "The algorithm of the token is not that of its key."),
    "another audience": (lambda i: i.token(aud="https://other.test"), "The token is for another resource."),
    "an audience that contains ours": (lambda i: i.token(aud=f"{SERVER}/mcp/x"), "The token is for another resource."),
    "another issuer": (lambda i: i.token(iss="https://evil.test"), "The token is of another issuer."),
    "the issuer with a slash": (lambda i: i.token(iss=f"{i.url}/"), "The token is of another issuer."),
    "expired": (lambda i: i.token(exp=NOW - 60), "The token has expired."),
    "not yet valid": (lambda i: i.token(nbf=NOW + 3600), "The token is not valid yet."),
    "issued in the future": (lambda i: i.token(iat=NOW + 3600), "The token is not valid yet."),
    "no exp": (lambda i: i.token(exp=None), "The token lacks one of exp, iss, aud and sub."),
    "no aud": (lambda i: i.token(aud=None), "The token lacks one of exp, iss, aud and sub."),
    "no iss": (lambda i: i.token(iss=None), "The token lacks one of exp, iss, aud and sub."),
    "no sub": (lambda i: i.token(sub=None), "The token lacks one of exp, iss, aud and sub."),
    "an empty sub": (lambda i: i.token(sub=""), "The token has an empty sub."),
    "an exp that is no number": (lambda i: i.token(exp="soon"), "The token is invalid."),
    "an infinite exp": (lambda i: i.token(exp=float("inf")), "The token is invalid."),
    "the type of an ID token": (
        lambda i: i.token(header={"typ": "id+jwt"}),
        "The type of the token is not at+jwt or JWT.",
    ),
    "no type": (lambda i: i.token(header={"typ": ""}), "The type of the token is not at+jwt or JWT."),
    "an own key under a known kid": (lambda i: i.token(key=MINE), "The token is invalid."),
    "an own key in the header": (
        lambda i: i.token(key=MINE, header={"jwk": public_jwk(MINE), "kid": "mine"}),
        "The key that signed the token is not one of its issuer.",
    ),
    "an own key at a URL": (
        lambda i: i.token(
            key=MINE, header={"jku": "https://evil.test/keys", "x5u": "https://evil.test", "kid": "mine"}
        ),
        "The key that signed the token is not one of its issuer.",
    ),
    "a critical extension": (lambda i: i.token(header={"crit": ["exp"], "exp": 1}), "The token is invalid."),
    "a kid that is no text": (
        lambda i: unsigned({"alg": "ES256", "typ": "at+jwt", "kid": {"a": 1}}, i.token()),
        "The token is invalid.",
    ),
    "a signature of another token": (swapped, "The token is invalid."),
    "a cut signature": (lambda i: i.token()[:-8], "The token is invalid."),
    "a header that is nested deeply": (deep, "The token is invalid."),
    "garbage": (lambda _: "not-a-token", "The token is invalid."),
    "garbage with dots": (lambda _: "a.b.c", "The token is invalid."),
    "a token of the file": (lambda _: "jmcp_0123456789", "This server takes no tokens of this kind."),
}


async def test_forged_tokens_are_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """Each for its reason, while a good one is accepted; none of them is an error of the server."""
    with caplog.at_level(logging.ERROR):
        async with opened() as (access, issuer):
            assert isinstance(await outcome(access, issuer.token()), Identity)
            found = {name: await outcome(access, make(issuer)) for name, (make, _) in ATTACKS.items()}
            assert found == {name: reason for name, (_, reason) in ATTACKS.items()}
            assert isinstance(await outcome(access, issuer.token()), Identity)
    assert not caplog.records


_TEXTS = st.text(st.characters(codec="ascii"), max_size=60)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.sampled_from(["at+jwt", "ES256", "one"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
_MEMBERS = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "exp", "aud", "iss", "sub"])
_PARTS = (st.binary(max_size=80) | st.dictionaries(_MEMBERS, _VALUES).map(lambda part: json.dumps(part).encode())).map(
    lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")
)


@given(st.data())
async def test_any_text_is_a_token_or_none(data: st.DataObject) -> None:
    """However it is made: random bytes, random parts, or a good token with one character changed."""
    keys = IssuerKeys("https://login.test", _documents, ManualClock())
    tokens = OAuthTokens("https://login.test", RESOURCE, keys, ManualClock())
    issuer = Issuer()
    issuer.url = "https://login.test"
    good = issuer.token()
    at = data.draw(st.integers(0, len(good) - 1))
    changed = st.characters(codec="ascii").map(lambda one: good[:at] + one + good[at + 1 :])
    token = data.draw(_TEXTS | st.tuples(_PARTS, _PARTS, _PARTS).map(".".join) | changed)
    try:
        await tokens.identify(token)
    except InvalidToken:
        return
    # the last character of a signature has bits that do not count
    assert token[:-1] == good[:-1]


async def _documents(url: str) -> bytes:
    if url.endswith("/keys"):
        return json.dumps({"keys": [public_jwk(private_key("ES256"), kid="one")]}).encode()
    return b'{"issuer": "https://login.test", "jwks_uri": "https://login.test/keys"}'


async def test_weak_and_wrong_keys_of_an_issuer_are_not_used() -> None:
    """Short RSA keys, keys for encryption, symmetric and private keys, and what is no key."""
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = jwt.algorithms.ECAlgorithm.to_jwk(private_key("ES256"), as_dict=True)
    async with opened() as (access, issuer):
        issuer.keys = [
            public_jwk(weak, kid="weak"),
            public_jwk(private_key("RS256"), kid="enc", use="enc"),
            public_jwk(private_key("RS256"), kid="ops", key_ops=["encrypt"]),
            public_jwk(private_key("RS256"), kid="alg", alg="RS384"),
            {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
            {**private, "kid": "private"},
            {"kty": "EC", "crv": "P-256", "kid": "broken"},
        ]
        for kid in ("weak", "enc", "ops", "alg", "oct", "private", "broken", None):
            token = issuer.token(header={"kid": kid})
            assert await outcome(access, token) == "The key that signed the token is not one of its issuer."


async def test_a_token_without_kid_is_verified_with_the_only_key() -> None:
    """With several keys it is not clear which."""
    async with opened() as (access, issuer):
        token = issuer.token(header={"kid": None})
        assert isinstance(await outcome(access, token), Identity)
    async with opened() as (access, issuer):
        issuer.keys.append(public_jwk(MINE, kid="two"))
        assert await outcome(access, token) == "The key that signed the token is not one of its issuer."


async def test_the_audience_may_be_another_name() -> None:
    """Of the setting; a token may have several."""
    async with opened(JOURNEY_MCP_OAUTH_AUDIENCE="api://journey") as (access, issuer):
        assert isinstance(await outcome(access, issuer.token(aud=["account", "api://journey"])), Identity)
        assert await outcome(access, issuer.token()) == "The token is for another resource."


async def test_a_verified_token_is_kept_for_a_minute() -> None:
    """At most until it expires: then its key is looked for again, which shows that it was."""
    clock = ManualClock()
    async with opened(clock=clock) as (access, issuer):
        token, short = (issuer.token(exp=int(clock.now()) + seconds) for seconds in (5000, 610))
        assert isinstance(await outcome(access, issuer.token(jti="another")), Identity)
        await clock.sleep(595)
        assert isinstance(await outcome(access, token), Identity)
        assert isinstance(await outcome(access, short), Identity)
        await clock.sleep(10)  # the keys are too old now
        assert [isinstance(await outcome(access, known), Identity) for known in (token, short)] == [True, True]
        assert len(issuer.asked) == 2
        await clock.sleep(10)
        assert isinstance(await outcome(access, short), Identity)
        assert len(issuer.asked) == 4
        asked = issuer.asked.copy()
        await clock.sleep(600)
        assert isinstance(await outcome(access, token), Identity)
        assert len(issuer.asked) == len(asked) + 2


async def test_a_verified_token_is_forgotten_when_the_keys_change() -> None:
    """Its key may be withdrawn."""
    async with opened() as (access, issuer):
        token = issuer.token()
        assert isinstance(await outcome(access, token), Identity)
        issuer.keys = [public_jwk(MINE, kid="two")]
        assert isinstance(await outcome(access, token), Identity)
        # another token makes the server fetch the keys
        assert isinstance(await outcome(access, issuer.token(key=MINE, header={"kid": "two"})), Identity)
        assert await outcome(access, token) == "The key that signed the token is not one of its issuer."

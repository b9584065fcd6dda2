"""The keys of an issuer: where they are found, and how long they serve."""

import anyio
import pytest
from manual_clock import ManualClock, until
from server.auth.served import SERVER

from auth.issuer import private_key, public_jwk, running_issuer
from auth.test_oauth import opened, outcome
from journey_mcp.auth.access import access_of
from journey_mcp.auth.errors import CannotVerify
from journey_mcp.auth.identity import Identity
from journey_mcp.auth.issuer_keys import IssuerKeys, metadata_urls
from journey_mcp.net.address_policy import FetchError
from journey_mcp.settings import read_settings

AWAY = "The authorization server does not answer now."
NO_KEY = "The key that signed the token is not one of its issuer."
OTHER = private_key("ES256", 1)


def test_metadata_are_looked_for_in_three_places() -> None:
    """The path of the issuer is inserted (RFC 8414), or comes first (OpenID Connect)."""
    assert metadata_urls("https://login.test/tenant/") == (
        "https://login.test/.well-known/oauth-authorization-server/tenant",
        "https://login.test/.well-known/openid-configuration/tenant",
        "https://login.test/tenant/.well-known/openid-configuration",
    )
    assert metadata_urls("https://login.test/") == (
        "https://login.test/.well-known/oauth-authorization-server",
        "https://login.test/.well-known/openid-configuration",
    )


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", "/.well-known/openid-configuration"),
        ("/", "/.well-known/oauth-authorization-server"),
        ("/tenant", "/.well-known/oauth-authorization-server/tenant"),
        ("/tenant", "/tenant/.well-known/openid-configuration"),
    ],
)
async def test_metadata_are_found_in_each(path: str, place: str) -> None:
    """An issuer with a slash at its end is another one than without."""
    async with opened(path) as (access, issuer):
        issuer.paths = {place}
        assert isinstance(await outcome(access, issuer.token()), Identity)


async def test_keys_serve_ten_minutes_and_a_day_while_the_issuer_is_away() -> None:
    """Then tokens cannot be verified, which is another answer than that they are invalid."""
    clock = ManualClock()
    async with opened(clock=clock) as (access, issuer):
        # tokens expire in real time; each is another one, so that none is remembered
        count = iter(range(1_000_000))

        async def attempt() -> Identity | str:
            return await outcome(access, issuer.token(jti=str(next(count))))

        assert isinstance(await attempt(), Identity)
        await clock.sleep(599)
        assert isinstance(await attempt(), Identity)
        assert len(issuer.asked) == 2
        await clock.sleep(1)
        assert isinstance(await attempt(), Identity)
        assert len(issuer.asked) == 4
        issuer.is_away = True
        await clock.sleep(600)
        for _ in range(3):
            assert isinstance(await attempt(), Identity)
        assert len(issuer.asked) == 6  # both places of the metadata, once
        await clock.sleep(23 * 3600)
        assert isinstance(await attempt(), Identity)
        await clock.sleep(3600)
        assert await attempt() == AWAY
        asked = len(issuer.asked)
        assert await attempt() == AWAY
        assert len(issuer.asked) == asked
        issuer.is_away = False
        await clock.sleep(5)
        assert isinstance(await attempt(), Identity)


async def test_an_unknown_key_is_looked_for_every_thirty_seconds() -> None:
    """Whoever sends tokens with made-up keys cannot make the server ask more often."""
    clock = ManualClock()
    async with opened(clock=clock) as (access, issuer):
        forged = issuer.token(key=OTHER, header={"kid": "mine"})
        assert await outcome(access, forged) == NO_KEY
        assert len(issuer.asked) == 4  # the first fetch, and the one for this key: it begins no pause
        for _ in range(20):
            assert await outcome(access, forged) == NO_KEY
        issuer.keys.append(public_jwk(OTHER, kid="two"))
        rotated = issuer.token(key=OTHER, header={"kid": "two"})
        assert await outcome(access, rotated) == NO_KEY
        assert len(issuer.asked) == 4
        await clock.sleep(30)
        assert isinstance(await outcome(access, rotated), Identity)
        assert len(issuer.asked) == 6
        await clock.sleep(30)
        issuer.is_away = True
        assert await outcome(access, forged) == AWAY  # it may be a key that the issuer has only now
        assert isinstance(await outcome(access, rotated), Identity)


async def test_keys_are_fetched_once_for_many_calls() -> None:
    """Those that come meanwhile wait for the first keys, and not for later ones."""
    clock, fetched, answers = ManualClock(), list[str](), anyio.Event()
    key = public_jwk(private_key("ES256"), kid="one")

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        await answers.wait()
        if url.endswith("/keys"):
            return f'{{"keys": [{str(key).replace(chr(39), chr(34))}]}}'.encode()
        return b'{"issuer": "https://login.test", "jwks_uri": "https://login.test/keys"}'

    keys = IssuerKeys("https://login.test", fetch, clock)
    found: list[str | None] = []

    async def find() -> None:
        found.append((await keys.find("one")).id)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(find)
        await until(lambda: fetched)
        answers.set()
    assert (len(fetched), found) == (2, ["one"] * 5)
    await clock.sleep(600)
    answers = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(find)
        await until(lambda: len(fetched) == 3)
        await find()
        assert len(found) == 6
        answers.set()
    assert (len(fetched), len(found)) == (4, 7)


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ({}, "it has no metadata"),
        ({"oauth-authorization-server": "<html>"}, "it has no metadata (the answer is not JSON; nothing"),
        ({"oauth-authorization-server": "[" * 100_000}, "the answer is not JSON"),
        ({"oauth-authorization-server": "[]"}, "the answer is not a JSON object"),
        (
            {"oauth-authorization-server": '{"issuer": "https://login.test/"}'},
            'is of the issuer "https://login.test/": JOURNEY_MCP_OAUTH_ISSUER must be equal to it, to the letter',
        ),
        ({"oauth-authorization-server": '{"issuer": "https://login.test"}'}, "no jwks_uri that is an https:// URL"),
        (
            {"oauth-authorization-server": '{"issuer": "https://login.test", "jwks_uri": "http://login.test/keys"}'},
            "no jwks_uri that is an https:// URL",
        ),
        (
            {
                "oauth-authorization-server": '{"issuer": "https://login.test", "jwks_uri": "https://login.test/keys"}',
                "keys": '{"keys": 7}',
            },
            '"https://login.test/keys" is not a set of keys',
        ),
    ],
)
async def test_documents_that_are_none_are_named_in_the_log(
    documents: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is only told that the server cannot verify."""

    async def fetch(url: str) -> bytes:
        for name, content in documents.items():
            if url.endswith(name):
                return content.encode()
        raise FetchError("nothing")

    with pytest.raises(CannotVerify, match=AWAY) as raised:
        await IssuerKeys("https://login.test", fetch, ManualClock()).find("one")
    assert raised.value.retry_after_s == 5
    (record,) = caplog.records
    assert record.getMessage().startswith("the keys of https://login.test cannot be had: ")
    assert words in record.getMessage()


async def test_only_the_issuer_itself_may_be_in_the_own_network(caplog: pytest.LogCaptureFixture) -> None:
    """Its metadata cannot make the server fetch from elsewhere there."""
    async with running_issuer() as other, opened() as (access, issuer):
        issuer.metadata = {"jwks_uri": f"{other.url}/keys"}
        assert await outcome(access, issuer.token()) == AWAY
        assert other.asked == []
    assert "is not fetched over plain http://" in caplog.text


async def test_a_failure_inside_is_no_rejection_of_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """The client keeps its token, and the log has the cause under an id."""
    settings = read_settings({"JOURNEY_MCP_SERVER_URL": SERVER, "JOURNEY_MCP_OAUTH_ISSUER": "https://login.test"})
    access = access_of(settings, BrokenClock())
    assert access is not None
    async with running_issuer() as issuer:
        said = str(await outcome(access, issuer.token()))
    assert said.startswith("The token cannot be verified; report id ")
    assert said[-9:-1] in caplog.text
    assert "the clock is broken" in caplog.text


class BrokenClock(ManualClock):
    """A clock that fails."""

    def elapsed(self) -> float:
        """Fail."""
        raise RuntimeError("the clock is broken")

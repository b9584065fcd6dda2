"""Access tokens of an OAuth issuer: JWTs (RFC 9068), verified here. Opaque tokens are not accepted."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt

from journey_mcp.auth.errors import InvalidToken
from journey_mcp.auth.identity import SCOPES, Identity, Scope
from journey_mcp.auth.issuer_keys import IssuerKeys
from journey_mcp.core.clock import Clock
from journey_mcp.core.principals import principal_of_subject
from journey_mcp.core.text import cleaned

_TYPES = {"at+jwt", "application/at+jwt", "jwt"}
_LEEWAY_S = 10
_CACHE_S = 60.0
_MAX_CACHED = 1_000
_MAX_NAME = 80
_OPTIONS: Final = {"require": ["exp", "iss", "aud", "sub"], "strict_aud": False}
_REASONS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is for another resource.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.MissingRequiredClaimError: "The token lacks one of exp, iss, aud and sub.",
}
_INVALID = "The token is invalid."
_NOT_A_TOKEN = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What PyJWT raises for some texts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Verified:
    """A token that was verified."""

    identity: Identity
    until: float
    """On the monotonic clock."""
    generation: int
    """Of the issuer's keys."""


class OAuthTokens:
    """The access tokens of one issuer for one audience."""

    def __init__(self, issuer: str, audience: str, keys: IssuerKeys, clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._clock = clock
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()

    async def identify(self, token: str) -> Identity:
        """Return whose token this is.

        Raises:
            InvalidToken: it is not valid for this server.
            CannotVerify: the keys of the issuer cannot be had.
        """
        digest = sha256(token.encode()).digest()
        if cached := self._cached(digest):
            return cached
        header = _header(token)
        key = await self._keys.find(header.get("kid"))
        algorithm = header.get("alg")
        # that of the key: PyJWT never sees the others that the header may name, such as none and HS256
        if algorithm not in key.algorithms:
            raise InvalidToken("The algorithm of the token is not that of its key.")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[str(algorithm)],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options=_OPTIONS,  # type: ignore[arg-type]  # a plain dict of PyJWT's options
            )
        except _NOT_A_TOKEN as error:
            raise InvalidToken(_reason(error)) from error
        identity = self._identity(claims)
        self._remember(digest, identity, float(claims["exp"]))
        return identity

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims["sub"]
        if not subject:
            raise InvalidToken("The token has an empty sub.")
        return Identity(
            principal_of_subject(self._issuer, subject), cleaned(subject, _MAX_NAME) or "(no name)", _scopes(claims)
        )

    def _cached(self, digest: bytes) -> Identity | None:
        found = self._cache.get(digest)
        if found is None:
            return None
        if found.generation != self._keys.generation or self._clock.elapsed() >= found.until:
            del self._cache[digest]
            return None
        self._cache.move_to_end(digest)
        return found.identity

    def _remember(self, digest: bytes, identity: Identity, expires_at: float) -> None:
        left_s = min(_CACHE_S, expires_at - self._clock.now())
        if left_s > 0:
            until = self._clock.elapsed() + left_s
            self._cache[digest] = _Verified(identity=identity, until=until, generation=self._keys.generation)
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)


def _header(token: str) -> Mapping[str, Any]:
    """Return the header, which is not verified, if its type is one of access tokens."""
    try:
        header = jwt.get_unverified_header(token)
    except _NOT_A_TOKEN as error:
        raise InvalidToken(_INVALID) from error
    if str(header.get("typ")).lower() not in _TYPES:
        raise InvalidToken("The type of the token is not at+jwt or JWT.")
    return header


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Return the scopes that are known here: of `scope` (RFC 9068), or of `scp`, as some issuers call it."""
    given = claims.get("scope", claims.get("scp", ""))
    named = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
    return frozenset(scope for scope in SCOPES if scope in named)


def _reason(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), _INVALID)

"""The keys of an OAuth issuer: found by its metadata (RFC 8414, OpenID Connect Discovery), kept, and fetched again.

Keys serve for 10 minutes; while the issuer does not answer, the last ones serve for a day. A token that names an
unknown key lets them be fetched at once, because issuers rotate keys, but at most every 30 s, because anybody can send
such a token.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
from jwt import PyJWK, PyJWTError

from journey_mcp.auth.errors import CannotVerify, InvalidToken
from journey_mcp.core.clock import Clock
from journey_mcp.core.text import quoted
from journey_mcp.core.urls import is_secure
from journey_mcp.net.address_policy import FetchError

Fetch = Callable[[str], Awaitable[bytes]]
"""Downloads a document; raises `FetchError`."""
_FRESH_S = 600.0
_USABLE_S = 24 * 3600.0
_UNKNOWN_KEY_PAUSE_S = 30.0
_FAILURE_PAUSE_S = 5.0
"""Between attempts while there are no keys: every caller waits for one."""
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048
_ALGORITHMS: Mapping[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""The algorithms of a kind of key and its curve; the key may name one of them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuerKey:
    """A public key, and the algorithms of the signatures that it verifies."""

    id: str | None
    algorithms: frozenset[str]
    key: Any
    """As PyJWT takes it."""


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._fetching = anyio.Lock()
        self._documents: list[dict[str, Any]] = []
        self._keys: tuple[IssuerKey, ...] = ()
        self._fetched_at: float | None = None
        self._failed_at: float | None = None
        self._unknown_key_at: float | None = None
        self.generation = 0
        """Changes with the keys: what was verified with others may be invalid now."""

    async def find(self, id_: str | None) -> IssuerKey:
        """Return the key with this id; without an id, the only key.

        Raises:
            InvalidToken: there is none.
            CannotVerify: the keys cannot be had.
        """
        if not self._is_younger(_FRESH_S):
            await self._refresh()
        if not self._is_younger(_USABLE_S):
            raise self._unavailable()
        if key := self._known(id_):
            return key
        await self._look_for_unknown()
        if key := self._known(id_):
            return key
        if self._failed_at is not None:
            raise self._unavailable()
        raise InvalidToken("The key that signed the token is not one of its issuer.")

    async def count(self) -> int:
        """Return how many keys of the issuer can be used, fetched now.

        Raises:
            FetchError: they cannot be had; says why, which `find` only logs.
        """
        return len(tuple(_usable(await self._download())))

    def _known(self, id_: str | None) -> IssuerKey | None:
        if id_ is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.id == id_), None)

    def _is_younger(self, seconds: float) -> bool:
        return self._fetched_at is not None and self._clock.elapsed() - self._fetched_at < seconds

    def _is_pausing(self, since: float | None, seconds: float) -> bool:
        return since is not None and self._clock.elapsed() - since < seconds

    async def _refresh(self) -> None:
        """Fetch keys that are too old, or the first ones; keys that still serve are not waited for twice."""
        has_keys = self._is_younger(_USABLE_S)
        if has_keys and self._fetching.locked():
            return
        async with self._fetching:
            pause_s = _UNKNOWN_KEY_PAUSE_S if has_keys else _FAILURE_PAUSE_S
            if not self._is_younger(_FRESH_S) and not self._is_pausing(self._failed_at, pause_s):
                await self._load()

    async def _look_for_unknown(self) -> None:
        """Fetch the keys because a token names one that is not among them, at most every 30 s."""
        async with self._fetching:
            if not self._is_pausing(self._unknown_key_at, _UNKNOWN_KEY_PAUSE_S):
                self._unknown_key_at = self._clock.elapsed()
                await self._load()

    async def _load(self) -> None:
        try:
            documents = await self._download()
        except FetchError as error:
            self._failed_at = self._clock.elapsed()
            _log.warning("the keys of %s cannot be had: %s", self._issuer, error)
            return
        self._failed_at, self._fetched_at = None, self._clock.elapsed()
        if documents != self._documents:
            self._documents, self._keys = documents, tuple(_usable(documents))
            self.generation += 1
            _log.info("%s has %d keys", self._issuer, len(self._keys))

    async def _download(self) -> list[dict[str, Any]]:
        """Return the documents of all keys.

        Raises:
            FetchError: they cannot be had, or the metadata is not that of the issuer.
        """
        metadata = await self._metadata()
        url = metadata.get("jwks_uri")
        if not isinstance(url, str) or not is_secure(url):
            raise FetchError("its metadata has no jwks_uri that is an https:// URL")
        keys = _object(await self._fetch(url)).get("keys")
        if not isinstance(keys, list):
            raise FetchError(f"{quoted(url)} is not a set of keys")
        return [key for key in keys[:_MAX_KEYS] if isinstance(key, dict)]

    async def _metadata(self) -> dict[str, Any]:
        problems = []
        for url in metadata_urls(self._issuer):
            try:
                metadata = _object(await self._fetch(url))
            except FetchError as error:
                problems.append(str(error))
                continue
            if metadata.get("issuer") != self._issuer:
                raise FetchError(
                    f"{quoted(url)} is of the issuer {quoted(metadata.get('issuer'))}: JOURNEY_MCP_OAUTH_ISSUER must "
                    "be equal to it, to the letter"
                )
            return metadata
        raise FetchError(f"it has no metadata ({'; '.join(problems)})")

    def _unavailable(self) -> CannotVerify:
        return CannotVerify("The authorization server does not answer now.", retry_after_s=int(_FAILURE_PAUSE_S))


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the metadata of an issuer may be: RFC 8414, then the two forms of OpenID Connect Discovery."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    inserted = [f"{origin}/.well-known/{name}{path}" for name in ("oauth-authorization-server", "openid-configuration")]
    return tuple(dict.fromkeys([*inserted, f"{origin}{path}/.well-known/openid-configuration"]))


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FetchError("the answer is not JSON") from error
    if not isinstance(found, dict):
        raise FetchError("the answer is not a JSON object")
    return found


def _usable(documents: list[dict[str, Any]]) -> Iterator[IssuerKey]:
    """Yield the public keys that verify signatures with an algorithm that is accepted here."""
    for document in documents:
        kind = str(document.get("kty")), document.get("crv")
        algorithms = _ALGORITHMS.get(kind if kind[0] != "RSA" else ("RSA", None), frozenset())
        if "alg" in document:
            algorithms &= {document["alg"]}
        is_for_signatures = document.get("use", "sig") == "sig" and "verify" in document.get("key_ops", ["verify"])
        if not algorithms or not is_for_signatures or "d" in document:
            continue
        try:
            key = PyJWK(document, algorithm=next(iter(algorithms))).key
        except (PyJWTError, ValueError, TypeError):
            continue
        if kind[0] == "RSA" and key.key_size < _MIN_RSA_BITS:
            continue
        id_ = document.get("kid")
        yield IssuerKey(id=id_ if isinstance(id_, str) else None, algorithms=algorithms, key=key)

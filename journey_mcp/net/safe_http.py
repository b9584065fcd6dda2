"""The SSRF guard: the only HTTP client for URLs that others name. HTTPS, public hosts only, bounded.

`journey_mcp.net.address_policy` has the rules; here every hop is checked against them.
"""

import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from ssl import SSLContext
from typing import Literal

import anyio
import httpx2
from anyio import to_thread

from journey_mcp.core.text import quoted
from journey_mcp.core.urls import is_ip_address
from journey_mcp.net import certificates, socks
from journey_mcp.net.address_policy import (
    FetchError,
    Gone,
    Target,
    TooLarge,
    check_addresses,
    check_scheme,
    is_public,
    origin_of,
)
from journey_mcp.settings.trusted_hosts import TrustedHosts

_MAX_REDIRECTS = 5
_CONNECT_WITHIN_S = 5.0
"""For one of several addresses; then the next address is tried."""
_PROBED_WITHIN_S = 3.0
_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)
_REDIRECTS = {301, 302, 303, 307, 308}
_GONE = {403, 404, 410}
_USER_AGENT = {"user-agent": "journey-mcp"}
_HEADERS = {"accept": "image/*, */*;q=0.1", "accept-encoding": "identity"}
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host, as text; raises OSError if there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A complete download."""

    content: bytes
    media_type: str | None
    """As the server states it, without parameters; it may be wrong."""
    url: str
    """The final URL, after redirects."""


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Return every address that the system's resolver has for a host."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    # a separate limiter: a name server that hangs must not block other lookups
    found = await to_thread.run_sync(ask, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    """A request without its target."""

    method: Literal["GET", "POST"]
    headers: Mapping[str, str]
    content: bytes | None = None


_GET = _Message(method="GET", headers=_HEADERS)


@dataclass(frozen=True, slots=True)
class SafeHttpClient:
    """HTTP client for downloads from public and trusted hosts, and for posts to them."""

    trusted: TrustedHosts
    resolve: Resolver = resolve_by_system

    def with_trusted(self, *base_urls: str) -> "SafeHttpClient":
        """Return a client that also trusts exactly host and port of these URLs.

        Raises:
            FetchError: one is not an http(s):// URL, or has a user name or password.
        """
        return replace(self, trusted=self.trusted | map(origin_of, base_urls))

    def trusts(self, url: str) -> bool:
        """Return whether host and port of this URL are trusted."""
        try:
            return self.trusted.is_trusted(origin_of(url))
        except FetchError:
            return False

    async def get(self, url: str, *, max_bytes: int, within_s: float) -> Fetched:
        """Download a URL, and follow up to five redirects.

        Raises:
            FetchError: the URL or a redirect is not allowed, there was no response in time, the status was not 200
                (`Gone` if that is final), or the content was larger than `max_bytes` (also decompressed).
        """
        try:
            with anyio.fail_after(within_s):
                return await self._follow(url, max_bytes)
        except TimeoutError as error:
            raise FetchError(f"it took more than {within_s:g} s") from error

    async def probe(self, url: str) -> FetchError | None:
        """Ask for a URL, for three seconds and without taking its content; return why `get` would fail.

        `TooLarge` is then a URL that has content, and `None` one that has none.
        """
        try:
            await self.get(url, max_bytes=0, within_s=_PROBED_WITHIN_S)
        except FetchError as error:
            return error
        return None

    async def check(self, url: str, *, within_s: float) -> None:
        """Check whether this URL is allowed, without a connection.

        Raises:
            FetchError: it is not allowed, or its name cannot be resolved.
        """
        try:
            with anyio.fail_after(within_s):
                await self._allowed_addresses(Target.read(url))
        except TimeoutError as error:
            raise FetchError(f"its name was not resolved within {within_s:g} s") from error

    async def post(self, url: str, content: bytes, headers: Mapping[str, str], *, within_s: float) -> int:
        """Post the content, and return the status; the body is not read, and redirects are not followed.

        Raises:
            FetchError: the URL is not allowed, or there was no response in time.
        """
        target = Target.read(url)
        message = _Message(method="POST", headers=headers, content=content)
        try:
            with anyio.fail_after(within_s):
                async with self._answer(target, await self._allowed_addresses(target), message) as response:
                    return response.status_code
        except TimeoutError as error:
            raise FetchError(f"it took more than {within_s:g} s") from error
        except httpx2.HTTPError as error:
            raise FetchError(f"the connection to {quoted(target.host)} was interrupted: {_reason(error)}") from error

    async def _follow(self, url: str, max_bytes: int) -> Fetched:
        hop = await self._hop(url, max_bytes)
        for _ in range(_MAX_REDIRECTS):
            if isinstance(hop, Fetched):
                return hop
            try:
                hop = await self._hop(hop, max_bytes)
            except FetchError as error:
                raise type(error)(f"after a redirect, {error}") from error
        if isinstance(hop, Fetched):
            return hop
        raise FetchError(f"it redirects more than {_MAX_REDIRECTS} times")

    async def _hop(self, url: str, max_bytes: int) -> Fetched | str:
        """Return the content, or the URL of a redirect."""
        target = Target.read(url)
        addresses = await self._allowed_addresses(target)
        try:
            async with self._answer(target, addresses, _GET) as response:
                if response.status_code in _REDIRECTS:
                    return _next_address(target, response)
                content = await _read(target, response, max_bytes)
        except httpx2.HTTPError as error:
            raise FetchError(f"the connection to {quoted(target.host)} was interrupted: {_reason(error)}") from error
        return Fetched(content=content, media_type=_media_type(response), url=url)

    async def _allowed_addresses(self, target: Target) -> list[str]:
        is_trusted = self.trusted.is_trusted(target.origin)
        if not is_trusted:
            check_scheme(target)
        addresses = await self._addresses(target)
        if not is_trusted:
            check_addresses(target, addresses)
        return addresses

    async def _addresses(self, target: Target) -> list[str]:
        if is_ip_address(target.host):
            return [target.host]
        try:
            addresses = await self.resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label is too long
            raise FetchError(f"the name {quoted(target.host)} cannot be resolved: {_reason(error)}") from error
        if not addresses:
            raise FetchError(f"the name {quoted(target.host)} has no address")
        return list(dict.fromkeys(addresses))

    @asynccontextmanager
    async def _answer(self, target: Target, addresses: list[str], message: _Message) -> AsyncIterator[httpx2.Response]:
        # A transport, not a client: it stores no cookies, adds no credentials, follows no redirects, and uses no HTTP
        # proxy of the environment, because many proxies take no IP addresses; a SOCKS proxy connects to the checked
        # address. One transport per hop: a reused connection belongs to an address, and would serve other names there
        # whose certificate was never verified.
        is_elsewhere = all(map(is_public, addresses))
        async with httpx2.AsyncHTTPTransport(
            verify=await _certificates(),
            trust_env=False,
            proxy=socks.proxy_for(target.url.scheme, target.host) if is_elsewhere else None,
        ) as transport:
            response = await _first_answer(transport, target, addresses, message)
            try:
                yield response
            finally:
                await response.aclose()


async def _certificates() -> SSLContext:
    try:
        return await to_thread.run_sync(certificates.context)
    except OSError as error:
        raise FetchError(
            f"the certificate authorities cannot be read ({quoted(error)}): check SSL_CERT_FILE"
        ) from error


def _request(target: Target, address: str, message: _Message) -> httpx2.Request:
    """Return a request that connects to the address and names the host."""
    return httpx2.Request(
        message.method,
        target.url.copy_with(host=address),
        headers={"host": target.url.netloc.decode("ascii"), **_USER_AGENT, **message.headers},
        content=message.content,
        extensions={
            "timeout": httpx2.Timeout(None, connect=_CONNECT_WITHIN_S).as_dict(),
            "sni_hostname": target.host,  # the certificate is verified against it too
        },
    )


async def _first_answer(
    transport: httpx2.AsyncHTTPTransport, target: Target, addresses: list[str], message: _Message
) -> httpx2.Response:
    """Return the response of the first address that accepts a connection."""
    *others, last = addresses
    for address in others:
        try:
            return await transport.handle_async_request(_request(target, address, message))
        except _NOT_CONNECTED:
            continue
    try:
        return await transport.handle_async_request(_request(target, last, message))
    except _NOT_CONNECTED as error:
        raise FetchError(f"no connection to {quoted(target.host)}: {_reason(error)}") from error


def _next_address(target: Target, response: httpx2.Response) -> str:
    try:
        return str(target.url.join(response.headers["location"]))
    except (KeyError, ValueError, httpx2.InvalidURL) as error:
        raise FetchError(f"{quoted(target.host)} redirects without a target") from error


async def _read(target: Target, response: httpx2.Response, max_bytes: int) -> bytes:
    if response.status_code != httpx2.codes.OK:
        kind = Gone if response.status_code in _GONE else FetchError
        raise kind(f"{quoted(target.host)} answered HTTP {response.status_code}")
    too_large = TooLarge(f"it is larger than {max_bytes:,} bytes")
    if int(response.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    content = bytearray()
    async for chunk in response.aiter_bytes():  # decoded, in chunks of at most 1 MiB even if compressed
        content += chunk
        if len(content) > max_bytes:
            raise too_large
    return bytes(content)


def _media_type(response: httpx2.Response) -> str | None:
    named = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return named if _MEDIA_TYPE.fullmatch(named) else None


def _reason(error: Exception) -> str:
    return quoted(str(error) or type(error).__name__)

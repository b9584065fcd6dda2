"""The one way in which the server asks addresses that it was told: over HTTPS, public ones only, within bounds.

Addresses of pictures and webhooks come from a model, from a provider's answer, or from a redirect: none of them may
reach the machines next to this one. So at every hop the name is resolved once, all that it resolves to is judged, and
the connection goes to an address that was judged: a second resolution could answer differently. The certificate is
still checked against the name. Only hosts that the person who runs the server named, and exactly the configured base
addresses (the sandbox is one), may be private or speak plain HTTP.
"""

import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from ssl import SSLContext
from typing import Literal

import anyio
import httpx2
from anyio import to_thread

from journey_mcp.core.redaction import without_userinfo
from journey_mcp.core.text import quoted
from journey_mcp.net import certificates, socks

TRUSTED_HOSTS_SETTING = "JOURNEY_MCP_TRUSTED_HOSTS"

_MAX_REDIRECTS = 5
_CONNECT_WITHIN_S = 5.0
"""For one of several addresses; the next one is tried after that."""
_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)
_REDIRECTS = {301, 302, 303, 307, 308}
_DEFAULT_PORTS = {"https": 443, "http": 80}
_USER_AGENT = {"user-agent": "journey-mcp"}
_HEADERS = {"accept": "image/*, */*;q=0.1", "accept-encoding": "identity"}
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@%*\[\]\\]+)(?::([0-9]{1,5}))?")

# `is_global` follows the registries of the Python release at hand, and leaves out what stands here:
# https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC_EITHER = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments; a metadata service at one cloud
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's service for its virtual machines, in a public range
    ipaddress.ip_network("3fff::/20"),  # documentation
)

_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain", ".intranet")
"""Names that a network gives for itself; one without a dot is none of the public DNS either."""

Origin = tuple[str, int]
"""Host, in one form, and port."""
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, as text; raises OSError when there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What was downloaded, whole."""

    content: bytes
    media_type: str | None
    """As its server calls it, without parameters; it may well be something else."""
    url: str
    """Where it was in the end, after redirects."""


class FetchError(Exception):
    """Nothing was downloaded. The message is a clause that tells why, to stand after a colon."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """Hosts that may be private, and may speak plain HTTP."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    """Names or addresses with a port; `None` is any port."""

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Trusted":
        """Read `host` and `host:port`, an IPv6 address in brackets before a port.

        Raises:
            ValueError: a text is neither; it is named.
        """
        return cls(frozenset(map(_read_host, texts)))

    def with_base_urls(self, urls: Iterable[str]) -> "Trusted":
        """The same, and exactly host and port of these addresses.

        Raises:
            ValueError: an address cannot be used; it is not repeated, for a part of it may be a password.
        """
        try:
            return Trusted(self.hosts.union(map(origin_of, urls)))
        except FetchError as error:
            raise ValueError(f"a base address cannot be used: {error}") from error

    def is_trusted(self, host: str, port: int) -> bool:
        """Whether it was named, with this port or without any."""
        name = _canonical(host)
        return (name, None) in self.hosts or (name, port) in self.hosts


def is_publicly_fetchable(url: str) -> bool:
    """Whether a machine elsewhere can fetch from this address, as far as its text tells: HTTPS, and no private host."""
    try:
        target = _Target.read(url)
    except FetchError:
        return False
    host = _canonical(target.host)
    if _is_address(host):
        return target.url.scheme == "https" and is_public(host)
    return target.url.scheme == "https" and "." in host.strip(".") and not host.rstrip(".").endswith(_LOCAL_NAMES)


def origin_of(url: str) -> Origin:
    """Host and port of an address, as a request to it would read them.

    Raises:
        FetchError: it is no http(s):// address, or carries a user name or password.
    """
    target = _Target.read(url)
    return _canonical(target.host), target.port


def is_public(address: str) -> bool:
    """Whether this IP address is one of the public Internet, and so is the IPv4 address that it may carry inside."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and (inside := _ipv4_inside(parsed)):
        parsed = inside
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return False
    return (
        parsed.is_global
        and not parsed.is_multicast
        and not parsed.is_reserved
        and not any(parsed in network for network in _NOT_PUBLIC_EITHER)
    )


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Every address that the system knows for a host."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    # a thread of its own: a name server that hangs holds up nobody else's lookups
    found = await to_thread.run_sync(ask, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Target:
    """Where one hop leads."""

    url: httpx2.URL
    host: str
    """In ASCII, an IPv6 address without brackets."""
    port: int

    @classmethod
    def read(cls, text: str) -> "_Target":
        # an address that cannot be read is not repeated: part of it may be a password
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL as error:
            raise FetchError("it is no valid https:// address") from error
        if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
            raise FetchError(f"{quoted(url.scheme + '://', 40)} is not fetched: give an https:// address with a host")
        host, port = url.raw_host.decode("ascii"), _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if url.userinfo:
            raise FetchError(f"the address at {quoted(host)} carries a user name or password: give one without")
        if not _is_port(port):
            raise FetchError(f"{quoted(host)} has no port {port}: ports are 1 to 65535")
        return cls(url=url, host=host, port=port)

    def request(self, address: str, message: "_Message") -> httpx2.Request:
        """The request that connects to the address, and asks for the name."""
        return httpx2.Request(
            message.method,
            self.url.copy_with(host=address),
            headers={"host": self.url.netloc.decode("ascii"), **_USER_AGENT, **message.headers},
            content=message.content,
            extensions={
                "timeout": httpx2.Timeout(None, connect=_CONNECT_WITHIN_S).as_dict(),
                "sni_hostname": self.host,  # the certificate is checked against it, too
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    """What is sent, wherever it goes."""

    method: Literal["GET", "POST"]
    headers: Mapping[str, str]
    content: bytes | None = None


_GET = _Message(method="GET", headers=_HEADERS)


@dataclass(frozen=True, slots=True)
class SafeHttpClient:
    """Downloads from, and tells, public addresses and trusted hosts."""

    trusted: Trusted
    resolve: Resolver = resolve_by_system

    def with_trusted(self, *base_urls: str) -> "SafeHttpClient":
        """The same, and exactly host and port of these addresses are trusted. Raises ValueError as `Trusted` does."""
        return replace(self, trusted=self.trusted.with_base_urls(base_urls))

    def trusts(self, url: str) -> bool:
        """Whether host and port of this address were named by the person who runs the server."""
        try:
            return self.trusted.is_trusted(*origin_of(url))
        except FetchError:
            return False

    async def get(self, url: str, *, max_bytes: int, within_s: float) -> Fetched:
        """Download all of it, following up to five redirects.

        Raises:
            FetchError: the address or one that it redirects to is not allowed, there was no answer in time, it was
                none with a content, or it was larger than `max_bytes` (decompressed, too).
        """
        try:
            with anyio.fail_after(within_s):
                return await self._follow(url, max_bytes)
        except TimeoutError as error:
            raise FetchError(f"it took more than {within_s:g} s") from error

    async def check(self, url: str, *, within_s: float) -> None:
        """Find out, as far as names tell, whether this address may be asked.

        Raises:
            FetchError: it may not, or its name cannot be resolved.
        """
        try:
            with anyio.fail_after(within_s):
                await self._allowed_addresses(_Target.read(url))
        except TimeoutError as error:
            raise FetchError(f"its name was not resolved within {within_s:g} s") from error

    async def post(self, url: str, content: bytes, headers: Mapping[str, str], *, within_s: float) -> int:
        """Post this; the status of the answer, whose body is not read. Redirects are not followed.

        Raises:
            FetchError: the address is not allowed, or there was no answer in time.
        """
        target = _Target.read(url)
        message = _Message(method="POST", headers=headers, content=content)
        try:
            with anyio.fail_after(within_s):
                async with self._answer(target, await self._allowed_addresses(target), message) as response:
                    return response.status_code
        except TimeoutError as error:
            raise FetchError(f"it took more than {within_s:g} s") from error
        except httpx2.HTTPError as error:
            raise FetchError(f"the exchange with {quoted(target.host)} broke off: {_reason(error)}") from error

    async def _follow(self, url: str, max_bytes: int) -> Fetched:
        hop = await self._hop(url, max_bytes)
        for _ in range(_MAX_REDIRECTS):
            if isinstance(hop, Fetched):
                return hop
            try:
                hop = await self._hop(hop, max_bytes)
            except FetchError as error:
                raise FetchError(f"after a redirect, {error}") from error
        if isinstance(hop, Fetched):
            return hop
        raise FetchError(f"it redirects more than {_MAX_REDIRECTS} times")

    async def _hop(self, url: str, max_bytes: int) -> Fetched | str:
        """What is there, or the address to which it redirects."""
        target = _Target.read(url)
        addresses = await self._allowed_addresses(target)
        try:
            async with self._answer(target, addresses, _GET) as response:
                if response.status_code in _REDIRECTS:
                    return _next_address(target, response)
                content = await _read(target, response, max_bytes)
        except httpx2.HTTPError as error:
            raise FetchError(f"the exchange with {quoted(target.host)} broke off: {_reason(error)}") from error
        return Fetched(content=content, media_type=_media_type(response), url=url)

    async def _allowed_addresses(self, target: _Target) -> list[str]:
        is_trusted = self.trusted.is_trusted(target.host, target.port)
        if target.url.scheme == "http" and not is_trusted:
            raise FetchError(
                f"{quoted(target.host)} is not fetched over plain http://: give an https:// address, "
                f"or name the host in {TRUSTED_HOSTS_SETTING}"
            )
        addresses = await self._addresses(target)
        # One private address among public ones refuses the name. No picture host has such a name, an attacker's
        # may; and with only the public ones kept, what happens would hang on which of them answers.
        if not is_trusted and not all(map(is_public, addresses)):
            raise FetchError(
                f"{quoted(target.host)} is no public address, or leads to one that is not: only public hosts are "
                f"fetched from, and those in {TRUSTED_HOSTS_SETTING}"
            )
        return addresses

    async def _addresses(self, target: _Target) -> list[str]:
        if _is_address(target.host):
            return [target.host]
        try:
            addresses = await self.resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is longer than labels may be
            raise FetchError(f"the name {quoted(target.host)} cannot be resolved: {_reason(error)}") from error
        if not addresses:
            raise FetchError(f"the name {quoted(target.host)} has no address")
        return list(dict.fromkeys(addresses))

    @asynccontextmanager
    async def _answer(self, target: _Target, addresses: list[str], message: _Message) -> AsyncIterator[httpx2.Response]:
        # A transport and not a client: it keeps no cookies, adds no credentials, follows nothing, and asks no HTTP
        # proxy of the environment, many of which take no addresses; a SOCKS proxy connects to the judged one. One for
        # each hop: a kept connection belongs to an address, and would serve other names there whose certificate was
        # never seen.
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


async def _first_answer(
    transport: httpx2.AsyncHTTPTransport, target: _Target, addresses: list[str], message: _Message
) -> httpx2.Response:
    """The answer of the first address that takes a connection."""
    *others, last = addresses
    for address in others:
        try:
            return await transport.handle_async_request(target.request(address, message))
        except _NOT_CONNECTED:
            continue
    try:
        return await transport.handle_async_request(target.request(last, message))
    except _NOT_CONNECTED as error:
        raise FetchError(f"no connection to {quoted(target.host)}: {_reason(error)}") from error


def _next_address(target: _Target, response: httpx2.Response) -> str:
    try:
        return str(target.url.join(response.headers["location"]))
    except (KeyError, ValueError, httpx2.InvalidURL) as error:
        raise FetchError(f"{quoted(target.host)} redirects, and does not say where to") from error


async def _read(target: _Target, response: httpx2.Response, max_bytes: int) -> bytes:
    if response.status_code != httpx2.codes.OK:
        raise FetchError(f"{quoted(target.host)} answered HTTP {response.status_code}")
    too_large = FetchError(f"it is larger than {max_bytes:,} bytes")
    if int(response.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    content = bytearray()
    async for chunk in response.aiter_bytes():  # decoded, in pieces of at most 1 MiB whatever it was compressed to
        content += chunk
        if len(content) > max_bytes:
            raise too_large
    return bytes(content)


def _media_type(response: httpx2.Response) -> str | None:
    named = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return named if _MEDIA_TYPE.fullmatch(named) else None


def _read_host(text: str) -> tuple[str, int | None]:
    bare = text.strip()
    match = _HOST_AND_PORT.fullmatch(f"[{bare}]" if _is_address(bare) and ":" in bare else bare)
    if match is None or (match[2] and not _is_port(int(match[2]))):
        raise ValueError(f"{_shown(text)!r} is neither host nor host:port")
    try:
        host = httpx2.URL(f"https://{match[1]}").raw_host.decode("ascii")
    except httpx2.InvalidURL as error:
        raise ValueError(f"{_shown(text)!r} is neither host nor host:port") from error
    return _canonical(host), int(match[2]) if match[2] else None


def _shown(text: str) -> str:
    return without_userinfo(text) if ":" in text.rpartition("@")[0] else text  # without a colon there is no password


def _canonical(host: str) -> str:
    return str(ipaddress.ip_address(host)) if _is_address(host) else host.lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_port(number: int) -> bool:
    return 1 <= number <= 65535  # noqa: PLR2004  # what 16 bits hold


def _ipv4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one are carried to: IPv4-mapped, 6to4, NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _reason(error: Exception) -> str:
    return quoted(str(error) or type(error).__name__)

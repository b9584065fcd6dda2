"""Which addresses the server may connect to: the rules of the SSRF guard.

URLs of images and webhooks come from a model, a provider's response or a redirect. They must not reach machines in the
local network. So at every hop the name is resolved once, all its addresses are checked, and the connection goes to a
checked address: a second lookup could return another one. The certificate is still verified against the name. Only the
hosts of `JOURNEY_MCP_TRUSTED_HOSTS` and exactly the configured base URLs (the sandbox is one) may be private or use
plain HTTP.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import httpx2

from journey_mcp.core.text import quoted
from journey_mcp.core.urls import HostPort, canonical_host, is_ip_address, is_port

TRUSTED_HOSTS_SETTING = "JOURNEY_MCP_TRUSTED_HOSTS"

_DEFAULT_PORTS = {"https": 443, "http": 80}

# `is_global` depends on the Python release and misses these:
# https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC_EITHER = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments; metadata service of one cloud
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's service for virtual machines, in a public range
    ipaddress.ip_network("3fff::/20"),  # documentation
)

_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain", ".intranet")
"""Domains of local networks. A name without a dot is not in the public DNS either."""


class FetchError(Exception):
    """Nothing was downloaded. The message is a clause with the reason, for use after a colon."""


class Gone(FetchError):
    """The host says that there is nothing at this URL, or not any more: 403, with which signed URLs end, 404, 410."""


class TooLarge(FetchError):
    """The content has more bytes than were asked for."""


def is_publicly_fetchable(url: str) -> bool:
    """Return whether other machines can fetch this URL, judged by its text: HTTPS and not a private host."""
    try:
        target = Target.read(url)
    except FetchError:
        return False
    host = canonical_host(target.host)
    if is_ip_address(host):
        return target.url.scheme == "https" and is_public(host)
    return target.url.scheme == "https" and "." in host.strip(".") and not host.rstrip(".").endswith(_LOCAL_NAMES)


def origin_of(url: str) -> HostPort:
    """Return host and port of a URL, as the HTTP client reads them.

    Raises:
        FetchError: it is not an http(s):// URL, or has a user name or password.
    """
    return Target.read(url).origin


def is_public(address: str) -> bool:
    """Return whether an IP address, and the IPv4 address that it may contain, is public."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The target of one hop."""

    url: httpx2.URL
    host: str
    """In ASCII; an IPv6 address has no brackets."""
    port: int

    @property
    def origin(self) -> HostPort:
        """Host and port."""
        return HostPort(canonical_host(self.host), self.port)

    @classmethod
    def read(cls, text: str) -> "Target":
        """Parse a URL.

        Raises:
            FetchError: it is not an http(s):// URL with a host, or it has a user name or password.
        """
        # an invalid URL is not repeated: part of it may be a password
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL as error:
            raise FetchError("it is not a valid https:// URL") from error
        if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
            raise FetchError(f"{quoted(url.scheme + '://', 40)} is not fetched: give an https:// URL with a host")
        host, port = url.raw_host.decode("ascii"), _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if url.userinfo:
            raise FetchError(f"the URL at {quoted(host)} has a user name or password: give a URL without them")
        if not is_port(port):
            raise FetchError(f"{quoted(host)} has no port {port}: ports are 1 to 65535")
        return cls(url=url, host=host, port=port)


def check_scheme(target: Target) -> None:
    """Refuse plain HTTP at a host that is not trusted.

    Raises:
        FetchError: the URL is not HTTPS.
    """
    if target.url.scheme == "http":
        raise FetchError(
            f"{quoted(target.host)} is not fetched over plain http://: give an https:// URL, "
            f"or add the host to {TRUSTED_HOSTS_SETTING}"
        )


def check_addresses(target: Target, addresses: Iterable[str]) -> None:
    """Refuse the addresses of a host that is not trusted, unless all are public.

    Raises:
        FetchError: an address is private.
    """
    # One private address refuses the name. No image host has such a name, but an attacker may; and if only the public
    # addresses were kept, the result would depend on which of them responds.
    if not all(map(is_public, addresses)):
        raise FetchError(
            f"{quoted(target.host)} is not a public host, or resolves to a private address: only public hosts "
            f"are fetched from, and those in {TRUSTED_HOSTS_SETTING}"
        )


def _ipv4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which packets are forwarded: IPv4-mapped, 6to4, NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour

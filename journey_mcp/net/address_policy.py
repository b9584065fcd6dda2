"""Which addresses the server may ask: the rules of the SSRF guard.

Addresses of pictures and webhooks come from a model, from a provider's answer, or from a redirect: none of them may
reach the machines next to this one. So at every hop the name is resolved once, all that it resolves to is judged, and
the connection goes to an address that was judged: a second resolution could answer differently. The certificate is
still checked against the name. Only hosts that the person who runs the server named, and exactly the configured base
addresses (the sandbox is one), may be private or speak plain HTTP.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import httpx2

from journey_mcp.core.text import quoted
from journey_mcp.core.urls import HostPort, canonical_host, is_ip_address, is_port

TRUSTED_HOSTS_SETTING = "JOURNEY_MCP_TRUSTED_HOSTS"

_DEFAULT_PORTS = {"https": 443, "http": 80}

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


class FetchError(Exception):
    """Nothing was downloaded. The message is a clause that tells why, to stand after a colon."""


def is_publicly_fetchable(url: str) -> bool:
    """Whether a machine elsewhere can fetch from this address, as far as its text tells: HTTPS, and no private host."""
    try:
        target = Target.read(url)
    except FetchError:
        return False
    host = canonical_host(target.host)
    if is_ip_address(host):
        return target.url.scheme == "https" and is_public(host)
    return target.url.scheme == "https" and "." in host.strip(".") and not host.rstrip(".").endswith(_LOCAL_NAMES)


def origin_of(url: str) -> HostPort:
    """Host and port of an address, as a request to it would read them.

    Raises:
        FetchError: it is no http(s):// address, or carries a user name or password.
    """
    return Target.read(url).origin


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where one hop leads."""

    url: httpx2.URL
    host: str
    """In ASCII, an IPv6 address without brackets."""
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
        if not is_port(port):
            raise FetchError(f"{quoted(host)} has no port {port}: ports are 1 to 65535")
        return cls(url=url, host=host, port=port)


def check_scheme(target: Target) -> None:
    """Refuse plain HTTP, for a host that is not trusted.

    Raises:
        FetchError: it is not HTTPS.
    """
    if target.url.scheme == "http":
        raise FetchError(
            f"{quoted(target.host)} is not fetched over plain http://: give an https:// address, "
            f"or name the host in {TRUSTED_HOSTS_SETTING}"
        )


def check_addresses(target: Target, addresses: Iterable[str]) -> None:
    """Refuse what a host that is not trusted resolves to, unless all of it is public.

    Raises:
        FetchError: an address is private.
    """
    # One private address among public ones refuses the name. No picture host has such a name, an attacker's
    # may; and with only the public ones kept, what happens would hang on which of them answers.
    if not all(map(is_public, addresses)):
        raise FetchError(
            f"{quoted(target.host)} is no public address, or leads to one that is not: only public hosts are "
            f"fetched from, and those in {TRUSTED_HOSTS_SETTING}"
        )


def _ipv4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one are carried to: IPv4-mapped, 6to4, NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour

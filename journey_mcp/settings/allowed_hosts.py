"""The host names that HTTP clients of the server may use.

A browser sends the host name of its URL: a web page whose name resolves to this machine (DNS rebinding) is detected by
that name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from journey_mcp.core.urls import LOOPBACK_HOSTS, HostPort, canonical_host, is_port

_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)\.?(?::([0-9]{1,5}|\*))?")


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Host names with a port, `None` for any port, and the names that were set."""

    hosts: frozenset[tuple[str, int | None]]
    named: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str] = ()) -> "AllowedHosts":
        """Parse `host`, `host:port` and `host:*`, and add the loopback names of this machine.

        Raises:
            ValueError: a text has none of these forms.
        """
        return cls(frozenset(_read(text) for text in (*LOOPBACK_HOSTS, *texts)), tuple(texts))

    def including(self, host: str) -> "AllowedHosts":
        """Return these hosts, and this one at any port; an IPv6 address has no brackets."""
        name = str(HostPort(canonical_host(host)))
        return AllowedHosts(self.hosts | {(name, None)}, tuple(dict.fromkeys((*self.named, name))))

    def allows(self, host: str) -> bool:
        """Return whether a request may have this `Host` header."""
        try:
            name, port = _read(host)
        except ValueError:
            return False
        return (name, None) in self.hosts or (name, port) in self.hosts

    def allows_origin(self, origin: str) -> bool:
        """Return whether a web page of this origin may send requests: its host must be allowed."""
        scheme, _, host = origin.partition("://")
        return scheme.lower() in {"http", "https"} and self.allows(host)


def _read(text: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(text.lower())
    port = int(match[2]) if match and match[2] not in {None, "*"} else None
    if match is None or (port and not is_port(port)):
        raise ValueError(f"{text!r} is neither host, host:port nor host:*; write a host without http:// and path")
    return match[1], port

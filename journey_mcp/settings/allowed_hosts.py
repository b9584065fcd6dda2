"""The names under which the server may be asked over HTTP.

A browser sends the name that it was led to: a web page whose own name resolves to this machine (DNS rebinding) is told
apart by that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from journey_mcp.core.urls import LOOPBACK_HOSTS, is_port

_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)\.?(?::([0-9]{1,5}|\*))?")


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Names with a port, `None` for any port; and those that a person named."""

    hosts: frozenset[tuple[str, int | None]]
    named: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str] = ()) -> "AllowedHosts":
        """Read `host`, `host:port` and `host:*`; the names of this machine's loopback are always among them.

        Raises:
            ValueError: a text is none of these.
        """
        return cls(frozenset(_read(text) for text in (*LOOPBACK_HOSTS, *texts)), tuple(texts))

    def allows(self, host: str) -> bool:
        """Whether a request may have this `Host` header."""
        try:
            name, port = _read(host)
        except ValueError:
            return False
        return (name, None) in self.hosts or (name, port) in self.hosts

    def allows_origin(self, origin: str) -> bool:
        """Whether a web page from there may send requests: one of the same names."""
        scheme, _, host = origin.partition("://")
        return scheme.lower() in {"http", "https"} and self.allows(host)


def _read(text: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(text.lower())
    port = int(match[2]) if match and match[2] not in {None, "*"} else None
    if match is None or (port and not is_port(port)):
        raise ValueError(f"{text!r} is neither host, host:port nor host:*; a host is a name without http:// and path")
    return match[1], port

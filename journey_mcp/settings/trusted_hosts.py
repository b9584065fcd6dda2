"""Trusted hosts: they may have private addresses and use plain HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass

from journey_mcp.core.urls import HostPort


@dataclass(frozen=True, slots=True)
class TrustedHosts:
    """Hosts, each with one port or with all."""

    hosts: tuple[HostPort, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "TrustedHosts":
        """Parse `host` and `host:port`.

        Raises:
            ValueError: names the text that is neither.
        """
        return cls(tuple(map(HostPort.parse, texts)))

    def __bool__(self) -> bool:
        return bool(self.hosts)

    def __or__(self, others: Iterable[HostPort]) -> "TrustedHosts":
        """Return the trusted hosts with these added."""
        return TrustedHosts((*self.hosts, *others))

    def is_trusted(self, origin: HostPort) -> bool:
        """Return whether the host was named, with this port or without one."""
        return origin in self.hosts or HostPort(origin.host) in self.hosts

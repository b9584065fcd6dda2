"""The hosts that the person who runs the server trusts: they may be private, and may speak plain HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass

from journey_mcp.core.urls import HostPort


@dataclass(frozen=True, slots=True)
class TrustedHosts:
    """Hosts with a port, or with any."""

    hosts: tuple[HostPort, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "TrustedHosts":
        """Read `host` and `host:port`.

        Raises:
            ValueError: a text is neither; names it.
        """
        return cls(tuple(map(HostPort.parse, texts)))

    def __bool__(self) -> bool:
        return bool(self.hosts)

    def __or__(self, others: Iterable[HostPort]) -> "TrustedHosts":
        """The same and these."""
        return TrustedHosts((*self.hosts, *others))

    def is_trusted(self, origin: HostPort) -> bool:
        """Return whether the host was named, with this port or without one."""
        return origin in self.hosts or HostPort(origin.host) in self.hosts

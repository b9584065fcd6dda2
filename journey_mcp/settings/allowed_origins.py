"""The origins of web pages that may call the server from a browser (CORS)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from journey_mcp.core.redaction import without_userinfo
from journey_mcp.core.urls import HostPort

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AllowedOrigins:
    """Origins as browsers send them: lower case, without a default port and without a path."""

    origins: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Parse `https://host`, `http://host` and either with a port.

        Raises:
            ValueError: a text is not an origin; `*` is none, because then every page could make paid calls.
        """
        return cls(tuple(dict.fromkeys(_origin(text) for text in texts)))

    def allows(self, origin: str) -> bool:
        """Return whether a page of this `Origin` may call."""
        return origin in self.origins


def _origin(text: str) -> str:
    scheme, _, rest = text.strip().partition("://")
    try:
        host, port = HostPort.parse(rest.rstrip("/"))
        default = _DEFAULT_PORTS[scheme.lower()]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{without_userinfo(text)!r} is not an origin; write each one whole, such as https://app.example.com or "
            "http://localhost:6274"
        ) from error
    return f"{scheme.lower()}://{HostPort(host, None if port == default else port)}"

"""The fake services by name, and their paths below the sandbox's origin."""

from collections.abc import Mapping
from types import MappingProxyType

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "journeyapi": "/api/v1",
        "vtrix": "/vtrix",
        "kkiai": "/kkiai/replicate/v1",
        "replicate": "/replicate/v1",
        "bfl": "/bfl/v1",
    }
)
"""The path of each service's base URL."""


def service_at(path: str) -> str | None:
    """Return the service that a path belongs to; None for the sandbox's own and unknown paths."""
    return next((name for name, start in PATHS.items() if path == start or path.startswith(f"{start}/")), None)

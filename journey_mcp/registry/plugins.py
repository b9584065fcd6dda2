"""Installed packages that add providers, by their entry points in the group `journey_mcp.providers`.

The name of an entry point is that of the protocol (`wire`), its value is the adapter's class. The registry file
`NAME.toml` lies in the package that has the class, and is read without importing the package.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from journey_mcp.core.errors import SetupError
from journey_mcp.handshake.plugins import GROUP, has_plugins

REMOVE_PLUGIN = "Upgrade or uninstall this package."
"""The next step after an error of a plugin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """One entry point of an installed package."""

    wire: str
    """The name of the protocol."""
    package: str
    """The name and version of the distribution, as in `journey-acme 1.2`."""
    registry_file: Path | None
    """`None` if the package only adds a protocol; a file that `JOURNEY_MCP_REGISTRY` names then has the facts."""
    entry_point: EntryPoint

    def load(self) -> Any:
        """Import the package and return the class of the adapter.

        Raises:
            SetupError: the package cannot be imported.
        """
        try:
            return self.entry_point.load()
        except Exception as error:
            raise SetupError(
                f"The plugin {self.package} cannot be loaded ({self.entry_point.value}): "
                f"{type(error).__name__}: {error}.",
                next_step=REMOVE_PLUGIN,
            ) from error


def installed_plugins() -> Mapping[str, Plugin]:
    """Return the plugins by protocol, in the order of their names.

    Raises:
        SetupError: two packages have the same protocol, or an entry point cannot be followed.
    """
    return _installed(tuple(sys.path)) if has_plugins() else {}


@cache
def _installed(_folders: tuple[str, ...]) -> Mapping[str, Plugin]:
    found: dict[str, Plugin] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        plugin = _plugin(point)
        if (other := found.setdefault(plugin.wire, plugin)) is not plugin:
            raise SetupError(
                f"The plugins {other.package} and {plugin.package} both have the protocol {plugin.wire!r}.",
                next_step="Uninstall one of them.",
            )
    return found


def _plugin(point: EntryPoint) -> Plugin:
    distribution = point.dist
    package = f"{distribution.name} {distribution.version}" if distribution else point.name
    try:
        registry_file = _registry_file(point)
    except (ImportError, ValueError, OSError) as error:
        raise SetupError(
            f"The plugin {package} cannot be found ({point.name} = {point.value}): {type(error).__name__}: {error}.",
            next_step=REMOVE_PLUGIN,
        ) from error
    return Plugin(wire=point.name, package=package, registry_file=registry_file, entry_point=point)


def _registry_file(point: EntryPoint) -> Path | None:
    if not point.pattern.match(point.value):
        raise ValueError("the value is not MODULE:CLASS")
    spec = find_spec(point.module.partition(".")[0])
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    files = (folder / f"{point.name}.toml" for folder in folders)
    return next((file for file in files if file.is_file()), None)

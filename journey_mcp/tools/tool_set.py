"""The tools of a configuration: their definitions, and the defaults of a call."""

from dataclasses import dataclass
from typing import Any

from journey_mcp.registry import Catalog, load
from journey_mcp.registry.selection import catalog_of
from journey_mcp.settings import Settings
from journey_mcp.tools.defaults import Defaults, read_defaults
from journey_mcp.tools.definitions import build


@dataclass(frozen=True, kw_only=True)
class ToolSet:
    """The catalog, defaults and tools of one configuration."""

    catalog: Catalog
    defaults: Defaults
    tools: list[dict[str, Any]]


def read_tool_set(settings: Settings, *, takes_files: bool = True) -> ToolSet:
    """Generate the tools from the registry for the configured providers.

    `takes_files`: the client is on this machine, so images may be paths.

    Raises:
        SetupError: a registry file is invalid, or a default model that was set is not offered.
    """
    catalog = catalog_of(settings, load(settings.registry))
    defaults = read_defaults(settings, catalog, takes_files=takes_files)
    return ToolSet(catalog=catalog, defaults=defaults, tools=build(catalog, defaults))

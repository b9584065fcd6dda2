"""What this server offers its clients: the tools as they are sent, and what a call means when it does not say."""

from dataclasses import dataclass
from typing import Any

from journey_mcp.registry import Catalog, load
from journey_mcp.registry.selection import catalog_of
from journey_mcp.settings import Settings
from journey_mcp.tools.defaults import Defaults, read_defaults
from journey_mcp.tools.definitions import build


@dataclass(frozen=True, kw_only=True)
class ToolSet:
    """The offer of one configuration."""

    catalog: Catalog
    defaults: Defaults
    tools: list[dict[str, Any]]


def read_tool_set(settings: Settings, *, takes_files: bool = True) -> ToolSet:
    """Generate the tools from the registry for the configured providers.

    `takes_files`: whoever calls works on this machine, so pictures may be paths.

    Raises:
        SetupError: a registry file is wrong, or a default model that was set is not offered.
    """
    catalog = catalog_of(settings, load(settings.registry))
    defaults = read_defaults(settings, catalog, takes_files=takes_files)
    return ToolSet(catalog=catalog, defaults=defaults, tools=build(catalog, defaults))

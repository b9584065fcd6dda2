"""The tools of a configuration: their definitions, and the defaults of a call."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from journey_mcp.core.errors import SetupError
from journey_mcp.registry import Catalog, Registry, load
from journey_mcp.registry.selection import catalog_of, configured
from journey_mcp.settings import Settings
from journey_mcp.tools.defaults import Defaults, defaults_within, read_defaults
from journey_mcp.tools.definitions import TOOLS, build


@dataclass(frozen=True, kw_only=True)
class ToolSet:
    """The catalog, defaults and tools of one configuration."""

    registry: Registry
    catalog: Catalog
    defaults: Defaults
    tools: list[dict[str, Any]]
    allowed: Collection[str]
    """The names of the tools that the settings do not leave out; only some of them may have a model."""
    is_sandbox: bool
    """No key is set: the sandbox makes the images."""

    @property
    def names(self) -> list[str]:
        """The names of the tools."""
        return [tool["name"] for tool in self.tools]

    def only(self, providers: Collection[str]) -> "ToolSet":
        """Return the part for callers who may use these providers only, as if no other one were configured."""
        return self._with(self.catalog.only(providers))

    def with_own_keys(self, own: Collection[str], others: Collection[str]) -> "ToolSet":
        """Return the tools for callers with keys of their own at some providers, who may use these others as well.

        The sandbox makes no images for such a caller.
        """
        names = [name for name in self.registry.providers if name in own]
        if not self.is_sandbox:
            names += [name for name in self.catalog.providers if name in others and name not in own]
        return self._with(self.registry.catalog(names))

    def _with(self, catalog: Catalog) -> "ToolSet":
        defaults = defaults_within(self.defaults, catalog)
        tools = [tool for tool in build(catalog, defaults) if tool["name"] in self.allowed]
        return replace(self, catalog=catalog, defaults=defaults, tools=tools)


def read_tool_set(settings: Settings, *, takes_files: bool = True) -> ToolSet:
    """Generate the tools from the registry for the configured providers.

    `takes_files`: the client is on this machine, so images may be paths.

    Raises:
        SetupError: a registry file is invalid, a default model that was set is not offered, or a tool that was named
            does not exist.
    """
    _check_names(settings.tools)
    registry = load(settings.registry)
    catalog = catalog_of(settings, registry)
    defaults = read_defaults(settings, catalog, takes_files=takes_files)
    allowed = settings.tools or tuple(TOOLS)
    return ToolSet(
        registry=registry,
        catalog=catalog,
        defaults=defaults,
        tools=[tool for tool in build(catalog, defaults) if tool["name"] in allowed],
        allowed=allowed,
        is_sandbox=not configured(settings, registry),
    )


def _check_names(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in TOOLS]:
        raise SetupError(
            f"JOURNEY_MCP_TOOLS={','.join(names)!r}: there is no tool {unknown[0]!r} (allowed: {', '.join(TOOLS)}).",
            next_step="Correct or unset this variable.",
        )

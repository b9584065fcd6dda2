"""What this server offers its clients: the tools as they are sent, and what a call means when it does not say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from journey_mcp.core.errors import SetupError
from journey_mcp.core.requests import Tool
from journey_mcp.registry import Catalog, load
from journey_mcp.registry.selection import catalog_of
from journey_mcp.routing import model_names
from journey_mcp.routing.validation import models_of
from journey_mcp.settings import Settings
from journey_mcp.tools.definitions import Defaults, build

_BUILT_IN: dict[Tool, str] = {"imagine": "midjourney", "edit_image": "flux-kontext-pro"}


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
    usual: dict[Tool, str] = {
        "imagine": _default(catalog, "imagine", settings.default_model, "JOURNEY_MCP_DEFAULT_MODEL"),
        "edit_image": _default(catalog, "edit_image", settings.default_edit_model, "JOURNEY_MCP_DEFAULT_EDIT_MODEL"),
    }
    defaults = Defaults(
        **usual,
        wait_s=settings.wait_s,
        keep_days=settings.keep_days,
        takes_files=takes_files,
        has_links=settings.resource_links == "on",
        pinned=_pinned(catalog, usual),
    )
    return ToolSet(catalog=catalog, defaults=defaults, tools=build(catalog, defaults))


def _default(catalog: Catalog, tool: Tool, wanted: str | None, variable: str) -> str:
    offered = list(catalog.offers_for(tool))
    if wanted is None and not offered:
        return ""  # the tool is left out
    if wanted is None:
        return _BUILT_IN[tool] if _BUILT_IN[tool] in offered else offered[0]
    model = model_names.meant(wanted, catalog)
    if model not in offered:
        raise SetupError(
            f"{variable}={wanted!r}: {tool} has no such model (allowed: {', '.join(offered) or 'none'}).",
            next_step="Correct or unset this variable.",
        )
    return model


def _pinned(catalog: Catalog, usual: Mapping[Tool, str]) -> dict[tuple[Tool, str], str]:
    """For each provider that lacks a default model, the first one that it has."""
    found: dict[tuple[Tool, str], str] = {}
    for tool, model in usual.items():
        for provider in catalog.providers:
            its = models_of(provider, tool, catalog)
            if its and model not in its:
                found[tool, provider] = its[0]
    return found

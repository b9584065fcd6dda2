"""What a call means when it omits an argument: the default models and waits of one configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from journey_mcp.core.errors import SetupError
from journey_mcp.core.limits import CreditPrices
from journey_mcp.core.requests import ModelTool
from journey_mcp.registry import Catalog
from journey_mcp.routing import model_names
from journey_mcp.routing.validation import models_of
from journey_mcp.settings import Settings

_BUILT_IN: dict[ModelTool, str] = {"imagine": "midjourney", "edit_image": "flux-kontext-pro"}


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a call means when it omits an argument."""

    imagine: str
    """The model of a call that names none; empty when no configured provider has a model for the tool."""
    edit_image: str
    """The same for `edit_image`."""
    wait_s: int
    keep_days: int
    takes_files: bool = True
    """Images may be paths, because the client is on this machine."""
    hosts_images: bool = False
    """Images may be data at every provider, because those that take URLs only get links to them."""
    has_links: bool = False
    """Results carry a `resource_link` for each image."""
    credit_prices: CreditPrices = field(default_factory=dict)
    """What the credits of a cost are in dollars, where it is known: results say both."""
    listed: tuple[str, ...] = ()
    """The only tools that can be called; empty: all."""
    pinned: Mapping[tuple[ModelTool, str], str] = field(default_factory=dict)
    """The default models of providers that do not have the usual one."""

    @property
    def can_edit(self) -> bool:
        """Whether `edit_image` can be called."""
        return bool(self.edit_image) and self.lists("edit_image")

    def lists(self, tool: str) -> bool:
        """Return whether the settings do not leave this tool out."""
        return not self.listed or tool in self.listed

    def model(self, tool: ModelTool, provider: str | None = None) -> str:
        """Return the model of a call that names none, at this provider if one is named."""
        usual = self.imagine if tool == "imagine" else self.edit_image
        return self.pinned.get((tool, (provider or "").lower()), usual)


def read_defaults(settings: Settings, catalog: Catalog, *, takes_files: bool) -> Defaults:
    """Return the defaults of the settings for the configured offers.

    Raises:
        SetupError: a default model that was set is not offered.
    """
    usual: dict[ModelTool, str] = {
        "imagine": _default(catalog, "imagine", settings.default_model, "JOURNEY_MCP_DEFAULT_MODEL"),
        "edit_image": _default(catalog, "edit_image", settings.default_edit_model, "JOURNEY_MCP_DEFAULT_EDIT_MODEL"),
    }
    return Defaults(
        **usual,
        wait_s=settings.wait_s,
        keep_days=settings.keep_days,
        takes_files=takes_files,
        hosts_images=settings.hosts_images,
        has_links=settings.resource_links == "on",
        credit_prices=settings.credit_price,
        listed=settings.tools,
        pinned=_pinned(catalog, usual),
    )


def defaults_within(defaults: Defaults, catalog: Catalog) -> Defaults:
    """Return the defaults of callers who may use only this part of the catalog."""
    usual: dict[ModelTool, str] = {
        "imagine": _first_offered(catalog, "imagine", defaults.imagine),
        "edit_image": _first_offered(catalog, "edit_image", defaults.edit_image),
    }
    return replace(defaults, imagine=usual["imagine"], edit_image=usual["edit_image"], pinned=_pinned(catalog, usual))


def _default(catalog: Catalog, tool: ModelTool, wanted: str | None, variable: str) -> str:
    if wanted is None:
        return _first_offered(catalog, tool)
    offered = list(catalog.offers_for(tool))
    model = model_names.resolve(wanted, catalog)
    if model not in offered:
        raise SetupError(
            f"{variable}={wanted!r}: {tool} has no such model (allowed: {', '.join(offered) or 'none'}).",
            next_step="Correct or unset this variable.",
        )
    return model


def _first_offered(catalog: Catalog, tool: ModelTool, *preferred: str) -> str:
    """Return the first of these models that is offered, else the built-in default, else any; empty if there is none."""
    offered = catalog.offers_for(tool)
    return next((model for model in (*preferred, _BUILT_IN[tool], *offered) if model in offered), "")


def _pinned(catalog: Catalog, usual: Mapping[ModelTool, str]) -> dict[tuple[ModelTool, str], str]:
    """Return the first model of each provider that does not have the usual one."""
    found: dict[tuple[ModelTool, str], str] = {}
    for tool, model in usual.items():
        for provider in catalog.providers:
            models = models_of(provider, tool, catalog)
            if models and model not in models:
                found[tool, provider] = models[0]
    return found

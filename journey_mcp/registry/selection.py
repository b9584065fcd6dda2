"""Selection of configured providers and offers: those with a key, or the sandbox without any key."""

from journey_mcp.core.errors import SetupError
from journey_mcp.registry import Catalog, ProviderFacts, Registry
from journey_mcp.settings import Settings, no_key

SANDBOX_FACTS = "journeyapi"
"""The provider that the built-in sandbox fakes."""


def configured(settings: Settings, registry: Registry) -> list[tuple[ProviderFacts, str]]:
    """Return the providers whose key is set, each with its key, the preferred one first; none means the sandbox.

    `JOURNEY_MCP_PROVIDERS` chooses and orders them; without it all are used, in the registry's order.

    Raises:
        SetupError: it names an unknown provider, or one without a key; or there is no key and no sandbox; or another
            setting names an unknown provider.
    """
    _check_names(settings, registry)
    with_key = [facts.id for facts in registry.providers.values() if settings.key(facts.key_variable)]
    chosen = settings.providers or with_key
    if not chosen and settings.sandbox == "off" and settings.caller_keys == "off":
        raise no_key()
    return [_with_key(name, settings, registry) for name in dict.fromkeys(chosen)]


def catalog_of(settings: Settings, registry: Registry) -> Catalog:
    """Return the offers of the configured providers; without a key, those that the sandbox fakes, or of all providers.

    Raises:
        SetupError: as `configured`.
    """
    without_key = [SANDBOX_FACTS] if settings.sandbox == "auto" else list(registry.providers)
    return registry.catalog([facts.id for facts, _ in configured(settings, registry)] or without_key)


def _check_names(settings: Settings, registry: Registry) -> None:
    """Refuse limits and prices of unknown providers."""
    named = [
        *((f"JOURNEY_MCP_MAX_CONCURRENT={limit}@{name}", name) for name, limit in settings.max_concurrent.items()),
        *((f"JOURNEY_MCP_BUDGET={limit.text}", limit.provider) for limit in settings.budget),
        *((f"JOURNEY_MCP_CREDIT_PRICE={price:f}usd@{name}", name) for name, price in settings.credit_price.items()),
    ]
    for setting, name in named:
        if name is not None and name not in registry.providers:
            raise _unknown(setting, name, registry)


def _with_key(name: str, settings: Settings, registry: Registry) -> tuple[ProviderFacts, str]:
    facts = registry.providers.get(name)
    if facts is None:
        raise _unknown(f"JOURNEY_MCP_PROVIDERS={','.join(settings.providers)}", name, registry)
    key = settings.key(facts.key_variable)
    if key is None:
        raise SetupError(
            f"JOURNEY_MCP_PROVIDERS names {name}, and {facts.key_variable} is not set.",
            next_step=f"Set {facts.key_variable}, or remove {name} from JOURNEY_MCP_PROVIDERS.",
        )
    return facts, key


def _unknown(setting: str, name: str, registry: Registry) -> SetupError:
    return SetupError(
        f"{setting}: there is no provider {name!r} (allowed: {', '.join(registry.providers)}).",
        next_step="Correct or unset this variable.",
    )

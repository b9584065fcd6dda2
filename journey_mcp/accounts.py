"""As whom providers are asked: an account for every key that is set, or the sandbox without one."""

from journey_mcp.addresses import BaseUrl
from journey_mcp.budgets import parse_credit_prices, parse_limits
from journey_mcp.concurrency import parse_limits_at_once
from journey_mcp.errors import SetupError
from journey_mcp.providers import SANDBOX, Account
from journey_mcp.redaction import without_userinfo
from journey_mcp.registry import Catalog, ProviderFacts, Registry
from journey_mcp.settings import Settings, no_key

SANDBOX_KEY = "sandbox"
"""Every built-in sandbox takes this key, so that a second process can ask the first one's."""
_FAKED = "journeyapi"


def accounts_of(settings: Settings, registry: Registry) -> list[Account]:
    """An account for every provider whose key is set, the preferred one first.

    `JOURNEY_MCP_PROVIDERS` chooses and orders them; without it all are used, in the registry's order.

    Raises:
        SetupError: it names a provider that there is not, or one without a key; or there is no key and no sandbox;
            or another setting that is for single providers names one that there is not.
    """
    for name in parse_limits_at_once(settings.max_concurrent or ""):
        if name is not None and name not in registry.providers:
            raise _no_such(f"JOURNEY_MCP_MAX_CONCURRENT={settings.max_concurrent}", name, registry)
    for limit in parse_limits(settings.budget or ""):
        if limit.provider is not None and limit.provider not in registry.providers:
            raise _no_such(f"JOURNEY_MCP_BUDGET={settings.budget}", limit.provider, registry)
    for name in parse_credit_prices(settings.credit_price or ""):
        if name not in registry.providers:
            raise _no_such(f"JOURNEY_MCP_CREDIT_PRICE={settings.credit_price}", name, registry)
    chosen = settings.providers or [name for name, facts in registry.providers.items() if _key_of(facts, settings)]
    if not chosen and settings.sandbox == "off":
        raise no_key()
    return [_account(name, settings, registry) for name in dict.fromkeys(chosen)]


def sandbox_account(base_url: BaseUrl, registry: Registry) -> Account:
    """The account at a built-in sandbox."""
    facts = registry.providers[_FAKED]
    return Account(
        provider=SANDBOX,
        facts_id=_FAKED,
        base_url=base_url,
        key=SANDBOX_KEY,
        key_variable=facts.key_variable,
        base_url_variable=facts.base_url_variable,
        features=facts.features,
        webhook_retries_s=facts.webhook_retries_s,
        longest_run_s=facts.longest_run_s,
    )


def catalog_of(settings: Settings, registry: Registry) -> Catalog:
    """What the configured providers offer; without a key, what the sandbox imitates.

    Raises:
        SetupError: as `accounts_of`.
    """
    accounts = accounts_of(settings, registry)
    return registry.catalog([account.facts_id for account in accounts] or [_FAKED])


def _account(name: str, settings: Settings, registry: Registry) -> Account:
    facts = registry.providers.get(name)
    if facts is None:
        raise _no_such(f"JOURNEY_MCP_PROVIDERS={','.join(settings.providers)}", name, registry)
    key = _key_of(facts, settings)
    if key is None:
        raise SetupError(
            f"JOURNEY_MCP_PROVIDERS names {name}, and {facts.key_variable} is not set.",
            next_step=f"Set {facts.key_variable}, or take {name} out of JOURNEY_MCP_PROVIDERS.",
        )
    return Account(
        provider=facts.id,
        facts_id=facts.id,
        base_url=settings.address(facts.base_url_variable) or _stated(facts),
        key=key,
        key_variable=facts.key_variable,
        base_url_variable=facts.base_url_variable,
        poll_url=settings.address(facts.poll_url_variable),
        features=facts.features,
        webhook_retries_s=facts.webhook_retries_s,
        longest_run_s=facts.longest_run_s,
    )


def _stated(facts: ProviderFacts) -> BaseUrl:
    try:
        return BaseUrl(facts.base_url)
    except ValueError as error:
        raise SetupError(
            f"Provider {facts.id}: base_url={without_userinfo(facts.base_url)!r}: {error}.",
            next_step="Correct the registry file that JOURNEY_MCP_REGISTRY names.",
        ) from None


def _no_such(setting: str, name: str, registry: Registry) -> SetupError:
    return SetupError(
        f"{setting}: there is no provider {name!r} (allowed: {', '.join(registry.providers)}).",
        next_step="Correct or unset this variable.",
    )


def _key_of(facts: ProviderFacts, settings: Settings) -> str | None:
    return settings.key(facts.key_variable)

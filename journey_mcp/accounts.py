"""As whom providers are asked: an account for every key that is set, or the sandbox without one."""

from journey_mcp.providers import SANDBOX, Account
from journey_mcp.registry import Catalog, Registry
from journey_mcp.settings import Settings

SANDBOX_KEY = "sandbox"
"""Every built-in sandbox takes this key, so that a second process can ask the first one's."""
_IMITATED = "journeyapi"


def accounts_of(settings: Settings, registry: Registry) -> list[Account]:
    """An account for every provider whose key is set, in the registry's order."""
    return [
        Account(
            provider=facts.id,
            facts_id=facts.id,
            base_url=settings.base_urls.get(facts.id) or facts.base_url,
            key=key,
            key_variable=facts.key_variable,
        )
        for facts in registry.providers.values()
        if (key := settings.keys.get(facts.id))
    ]


def sandbox_account(base_url: str, registry: Registry) -> Account:
    """The account at a built-in sandbox."""
    return Account(
        provider=SANDBOX,
        facts_id=_IMITATED,
        base_url=base_url,
        key=SANDBOX_KEY,
        key_variable=registry.providers[_IMITATED].key_variable,
    )


def catalog_of(settings: Settings, registry: Registry) -> Catalog:
    """What the configured providers offer; without a key, what the sandbox imitates."""
    accounts = accounts_of(settings, registry)
    return registry.catalog([account.facts_id for account in accounts] or [_IMITATED])

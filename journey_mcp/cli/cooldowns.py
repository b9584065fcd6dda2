"""Providers on cooldown, read without a studio and without creating a database."""

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import SetupError, StoreUnavailable
from journey_mcp.core.text import timestamp
from journey_mcp.engine.cooldowns import by_name
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.registry import load
from journey_mcp.settings import Settings
from journey_mcp.store import open_store
from journey_mcp.store.address import exists
from journey_mcp.store.cooldowns import Cooldown


async def read_cooldowns(settings: Settings) -> dict[str, Cooldown]:
    """Return the configured providers on cooldown, by name; none if the database cannot be read.

    Raises:
        SetupError: the settings of the providers are invalid.
    """
    accounts = accounts_of(settings, load(settings.registry))
    url = settings.resolved_database_url()
    if not accounts or not exists(url):
        return {}
    try:
        async with open_store(url) as store:
            cooldowns = await store.cooldowns.active(Clock().now())
    except (SetupError, StoreUnavailable):
        return {}
    return by_name(cooldowns, accounts)


def describe(cooldown: Cooldown) -> str:
    """Return until when a provider is on cooldown, and why."""
    return f"on cooldown until {until(cooldown)}: {cooldown.reason}"


def until(cooldown: Cooldown) -> str:
    """Return when the cooldown ends."""
    return timestamp(cooldown.until)

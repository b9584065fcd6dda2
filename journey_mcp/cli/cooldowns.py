"""Which providers refused lately and are tried last: looked up without a studio, and without making a database."""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import SetupError
from journey_mcp.core.text import timestamp
from journey_mcp.engine.cooldowns import by_name
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.registry import load
from journey_mcp.settings import Settings
from journey_mcp.store import open_store
from journey_mcp.store.cooldowns import Cooldown


async def read_cooldowns(settings: Settings) -> dict[str, Cooldown]:
    """The configured providers that rest, by name; a database that cannot be read knows of none.

    Raises:
        SetupError: the settings of the providers are wrong.
    """
    accounts = accounts_of(settings, load(settings.registry))
    url = settings.resolved_database_url()
    if not accounts or not _is_there(url):
        return {}
    try:
        async with open_store(url) as store:
            cooldowns = await store.cooldowns.active(Clock().now())
    except SetupError:
        return {}
    return by_name(cooldowns, accounts)


def told(rest: Cooldown) -> str:
    """Until when it rests, and why."""
    return f"rests until {moment(rest)}: {rest.reason}"


def moment(rest: Cooldown) -> str:
    """Until when it rests."""
    return timestamp(rest.until)


def _is_there(url: str) -> bool:
    """Whether opening it would make nothing new."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        return False
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").is_file()

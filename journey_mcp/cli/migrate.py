"""`migrate`: brings the task database up to this version, before servers of this version start."""

from journey_mcp.cli.event_loop import run
from journey_mcp.cli.terminal import console
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.store import open_store
from journey_mcp.store.address import parse, without_password


def migrate() -> None:
    """Create or migrate the tables, and print their version.

    Raises:
        SetupError: the database cannot be opened, or a newer journey-mcp has migrated it.
        StoreUnavailable: it cannot be opened now, or an older server has unfinished tasks in it.
    """
    settings = ready_settings()
    version = run(_migrated, settings)
    console.result(f"{without_password(parse(settings.resolved_database_url()))} has version {version}.")


async def _migrated(settings: Settings) -> int:
    async with open_store(settings.resolved_database_url()) as store:
        return store.version

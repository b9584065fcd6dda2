"""Cooldowns: providers that refused lately, as every process on the database knows them."""

import logging
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.store.connection import Conflict
from journey_mcp.store.database import Database
from journey_mcp.store.schema import cooldowns

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cooldown:
    """A provider that refused lately, and is tried last until then."""

    provider: str
    base_url: str
    until: float
    """Seconds of the Unix epoch."""
    reason: str


class CooldownTable:
    """The cooldowns of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, cooldown: Cooldown) -> None:
        """Record, for every process, that a provider refused; or, with a time that is past, that it works again."""
        where = {"at_provider": cooldown.provider, "at_base_url": cooldown.base_url}
        values = {"new_until": cooldown.until, "new_reason": cooldown.reason}
        if await self._database.writer.count(_UPDATE, {**where, **values}):
            return
        try:
            await self._database.writer.count(_INSERT, asdict(cooldown))
        except Conflict:
            # another process recorded the same in this moment
            await self._database.writer.count(_UPDATE, {**where, **values})

    async def delete_ended(self, now: float) -> None:
        """Delete the cooldowns that have ended: callers may bring any number of accounts."""
        await self._database.writer.count(sa.delete(cooldowns).where(cooldowns.c.until <= now))

    async def active(self, now: float) -> dict[tuple[str, str], Cooldown]:
        """Return the cooldowns that have not ended, by provider and base URL; none if they cannot be read."""
        query = sa.select(cooldowns).where(cooldowns.c.until > now)
        try:
            rows = await self._database.reader.rows(query)
        except StoreUnavailable:
            _log.exception("cooldowns cannot be read; providers are tried in the usual order")
            return {}
        return {(row["provider"], row["base_url"]): Cooldown(**row) for row in rows}


_INSERT = sa.insert(cooldowns)
_UPDATE = (
    sa.update(cooldowns)
    .where(
        cooldowns.c.provider == sa.bindparam("at_provider"),
        cooldowns.c.base_url == sa.bindparam("at_base_url"),
    )
    .values(until=sa.bindparam("new_until"), reason=sa.bindparam("new_reason"))
)

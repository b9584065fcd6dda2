"""Providers that refused lately, as every process on the database knows them."""

import logging
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from journey_mcp.store.database import Database
from journey_mcp.store.migrations import cooldowns

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
    """Who rests, by provider and base URL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, rest: Cooldown) -> None:
        """Note, for every process, that a provider refused; or, with a time that is past, that it works again."""
        where = {"rests_provider": rest.provider, "rests_base_url": rest.base_url}
        values = {"new_until": rest.until, "new_reason": rest.reason}
        if await self._database.writer.count(_REST_AGAIN, {**where, **values}):
            return
        try:
            await self._database.writer.count(_REST, asdict(rest))
        except IntegrityError:
            # another process noted the same in this moment
            await self._database.writer.count(_REST_AGAIN, {**where, **values})

    async def at(self, now: float) -> dict[tuple[str, str], Cooldown]:
        """Who rests, by provider and base URL."""
        query = sa.select(cooldowns).where(cooldowns.c.until > now)
        try:
            rows = await self._database.reader.rows(query)
        except SQLAlchemyError:
            _log.exception("nobody can tell who rests; everybody is tried in the usual order")
            return {}
        return {(row["provider"], row["base_url"]): Cooldown(**row) for row in rows}


_REST = sa.insert(cooldowns)
_REST_AGAIN = (
    sa.update(cooldowns)
    .where(
        cooldowns.c.provider == sa.bindparam("rests_provider"),
        cooldowns.c.base_url == sa.bindparam("rests_base_url"),
    )
    .values(until=sa.bindparam("new_until"), reason=sa.bindparam("new_reason"))
)

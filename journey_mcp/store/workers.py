"""Workers: the processes on the database, each seen by its heartbeats."""

from collections.abc import Collection

import sqlalchemy as sa

from journey_mcp.store.connection import Conflict
from journey_mcp.store.database import Database
from journey_mcp.store.schema import workers
from journey_mcp.store.times import compared, read, stored, time_named

_KEPT_S = 86_400.0
"""How long after its last heartbeat a worker is forgotten."""


class WorkerTable:
    """The heartbeats of the workers on the database, by the clock of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._timeline = database.timeline

    async def beat(self, worker_id: str) -> None:
        """Record that this worker runs."""
        writer, now = self._database.writer, self._timeline.to_store(self._timeline.now())
        values = {"worker": worker_id, "now": now}
        if await writer.count(_AGAIN, values):
            return
        await writer.count(_FORGET, {"kept_since": now - _KEPT_S})
        try:
            await writer.count(_FIRST, values)
        except Conflict:
            await writer.count(_AGAIN, values)  # the first one was stored although it failed

    async def seen_at(self, worker_ids: Collection[str]) -> dict[str, float]:
        """Return when each was last seen, in seconds of the Unix epoch by the caller's clock; none that never was."""
        rows = await self._database.reader.rows(_SEEN, {"ids": list(worker_ids)})
        return {row["id"]: self._timeline.from_store(row["at"]) for row in rows}


_NOW = stored(time_named("now"))
_AGAIN = sa.update(workers).where(workers.c.id == sa.bindparam("worker")).values(seen_at=_NOW)
_FIRST = sa.insert(workers).values(id=sa.bindparam("worker"), seen_at=_NOW)
_FORGET = sa.delete(workers).where(workers.c.seen_at < compared(time_named("kept_since")))
_SEEN = sa.select(workers.c.id, read(workers.c.seen_at).label("at")).where(
    workers.c.id.in_(sa.bindparam("ids", expanding=True))
)

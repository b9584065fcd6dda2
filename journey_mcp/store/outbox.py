"""Which callers' webhooks are to be told of the ends of their tasks, and when."""

import math
from collections.abc import Collection

import sqlalchemy as sa

from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import Task
from journey_mcp.store.database import Database
from journey_mcp.store.migrations import tasks
from journey_mcp.store.rows import READ, readable


class OutboxTable:
    """What is to be told, from the moment a task is made until its caller knows or is given up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(
        self, *, now: float, again_at: float, limit: int, per_host: int | None = None, but_at: Collection[str] = ()
    ) -> list[tuple[Task, int]]:
        """Ended tasks of which their callers' webhooks are to be told, each with how often that was tried before.

        Those that are due the longest, at most `per_host` for each host, and none at the hosts `but_at`. They are the
        asking process's own until `again_at`: then the next one that looks gets them.
        """
        place = sa.func.row_number().over(partition_by=tasks.c.relay_host, order_by=(tasks.c.relay_due, tasks.c.id))
        ranked = sa.select(tasks.c.id, tasks.c.relay_due, place.label("place")).where(
            tasks.c.relay_due <= now, *_told_elsewhere(but_at)
        )
        found = ranked.subquery()
        ids = sa.select(found.c.id).where(found.c.place <= (per_host or limit)).order_by(found.c.relay_due, found.c.id)
        statement = (
            sa.update(tasks)
            .where(tasks.c.id.in_(ids.limit(limit)), tasks.c.relay_due <= now)
            .values(relay_due=again_at)
            .returning(*READ, tasks.c.relay_tries)
        )
        rows = await self._database.writer.rows(statement)
        return [(task, row["relay_tries"]) for row in rows if (task := readable(row))]

    async def next_due(self, *, but_at: Collection[str] = ()) -> float:
        """Return the earliest time at which an ended task's webhook is due, these hosts' apart; `inf` for never."""
        query = sa.select(sa.func.min(tasks.c.relay_due).label("due")).where(*_told_elsewhere(but_at))
        (row,) = await self._database.reader.rows(query.where(tasks.c.relay_due.is_not(None)))
        return math.inf if row["due"] is None else float(row["due"])

    async def told(self, task_id: str) -> None:
        """The caller's webhook took the result, which has reached somebody with that."""
        told = sa.update(tasks).where(tasks.c.id == task_id).values(relay_due=None)
        await self._database.writer.count(
            told.values(equal_call=sa.case((tasks.c.status == Status.SUCCEEDED.value, None), else_=tasks.c.equal_call))
        )

    async def failed(self, task_id: str, again_at: float | None) -> None:
        """The caller's webhook did not take the result; `None` is for never again."""
        tried = sa.update(tasks).where(tasks.c.id == task_id)
        await self._database.writer.count(tried.values(relay_due=again_at, relay_tries=tasks.c.relay_tries + 1))


def _told_elsewhere(but_at: Collection[str]) -> list[sa.ColumnElement[bool]]:
    """Of an ended task whose webhook is at none of these hosts."""
    return [tasks.c.final.is_(True), *([tasks.c.relay_host.not_in(but_at)] if but_at else [])]

"""The outbox: which results are to be delivered to the webhooks of callers, and when."""

import math
from collections.abc import Collection

import sqlalchemy as sa

from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import RUN_KEY, Task
from journey_mcp.store.database import Database
from journey_mcp.store.rows import READ, readable
from journey_mcp.store.schema import tasks
from journey_mcp.store.times import compared, read, stored, time_named


class Outbox:
    """The webhook deliveries of the database, from the creation of a task until its delivery or the last attempt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(
        self,
        *,
        now: float,
        again_at: float,
        limit: int,
        per_host: int | None = None,
        except_hosts: Collection[str] = (),
    ) -> list[tuple[Task, int]]:
        """Return ended tasks whose webhook is due, each with the number of earlier attempts.

        Those that are due the longest, at most `per_host` for each host, and none at `except_hosts`. No other process
        gets them before `again_at`.
        """
        timeline = self._database.timeline
        values = {"now": timeline.to_store(now), "again_at": timeline.to_store(again_at)}
        rank = sa.func.row_number().over(partition_by=tasks.c.outbox_host, order_by=(tasks.c.outbox_due, tasks.c.id))
        ranked = sa.select(tasks.c.id, tasks.c.outbox_due, rank.label("rank")).where(_IS_DUE, *_ended(except_hosts))
        found = ranked.subquery()
        ids = sa.select(found.c.id).where(found.c.rank <= (per_host or limit)).order_by(found.c.outbox_due, found.c.id)
        # what another process takes in this moment is left to it; the ranks cannot be locked, so they are read first
        free = (
            sa.select(tasks.c.id)
            .where(tasks.c.id.in_(ids.limit(limit)), _IS_DUE)
            .with_for_update(skip_locked=True)
            .cte("free")
        )
        statement = (
            sa.update(tasks)
            .where(tasks.c.id == free.c.id)
            .values(outbox_due=stored(time_named("again_at")))
            .returning(*READ, tasks.c.outbox_tries)
        )
        rows = await self._database.writer.rows(statement, values)
        return [(task, row["outbox_tries"]) for row in rows if (task := readable(row))]

    async def next_due(self, *, except_hosts: Collection[str] = ()) -> float:
        """Return the earliest time at which an ended task's webhook is due at another host; `inf` for never."""
        query = sa.select(read(sa.func.min(tasks.c.outbox_due)).label("due")).where(*_ended(except_hosts))
        (row,) = await self._database.reader.rows(query.where(tasks.c.outbox_due.is_not(None)))
        return math.inf if row["due"] is None else self._database.timeline.from_store(row["due"])

    async def delivered(self, task_id: str) -> None:
        """Record that the webhook took the result: the client has received it."""
        delivered = sa.update(tasks).where(tasks.c.id == task_id).values(outbox_due=None)
        is_acknowledged = sa.and_(
            tasks.c.status == Status.SUCCEEDED.value, ~tasks.c.deduplication_key.startswith(RUN_KEY)
        )
        await self._database.writer.count(
            delivered.values(duplicate_policy=sa.case((is_acknowledged, None), else_=tasks.c.duplicate_policy))
        )

    async def failed(self, task_id: str, again_at: float | None) -> None:
        """Record that the webhook did not take the result; `None` ends the attempts."""
        tried = sa.update(tasks).where(tasks.c.id == task_id)
        values = {"again_at": None if again_at is None else self._database.timeline.to_store(again_at)}
        again = tried.values(outbox_due=stored(time_named("again_at")), outbox_tries=tasks.c.outbox_tries + 1)
        await self._database.writer.count(again, values)


def _ended(except_hosts: Collection[str]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of an ended task whose webhook is at none of these hosts."""
    return [tasks.c.final.is_(True), *([tasks.c.outbox_host.not_in(except_hosts)] if except_hosts else [])]


_IS_DUE = tasks.c.outbox_due <= compared(time_named("now"))

"""Duplicate calls: which task a call with the same deduplication key joins."""

from collections.abc import Sequence

import sqlalchemy as sa

from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import Task
from journey_mcp.store.database import Database
from journey_mcp.store.rows import READ, readable
from journey_mcp.store.schema import tasks


class Deduplication:
    """The tasks of the database by deduplication key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, *, principal: str, deduplication_key: str, unconfirmed_since: float) -> Task | None:
        """Return the task that a duplicate call joins, else the newest that may have been paid; `None` for neither."""
        values = {
            "new_principal": principal,
            "new_deduplication_key": deduplication_key,
            "unconfirmed_since": unconfirmed_since,
        }
        for query in (_JOINED, _UNCONFIRMED):
            rows = await self._database.reader.rows(query, values)
            if found := [task for row in rows if (task := readable(row))]:
                return found[0]
        return None

    async def detach(self, task_id: str) -> None:
        """Let no duplicate call join this task any more."""
        await self._detach(tasks.c.id == task_id)

    async def detach_all(self, *, principal: str, deduplication_key: str) -> None:
        """Let no duplicate call join any task of this key any more, also none that cannot be read."""
        await self._detach(tasks.c.principal == principal, tasks.c.deduplication_key == deduplication_key)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        """Record that clients have received these results: duplicate calls create new tasks from now on."""
        await self._database.writer.count(_ACKNOWLEDGE, {"ids": list(ids)})

    async def _detach(self, *which: sa.ColumnElement[bool]) -> None:
        await self._database.writer.count(sa.update(tasks).where(*which, _IS_JOINED).values(duplicate_policy=None))


_IS_JOINED = sa.text("duplicate_policy = 'join'")
"""In the words of its index: neither SQLite nor PostgreSQL recognizes it in others."""
_IS_UNCONFIRMED = sa.and_(
    sa.text("duplicate_policy = 'reject'"), tasks.c.updated_at > sa.bindparam("unconfirmed_since", type_=sa.Float)
)
_IS_DUPLICATE = sa.and_(
    tasks.c.principal == sa.bindparam("new_principal"),
    tasks.c.deduplication_key == sa.bindparam("new_deduplication_key"),
)
_JOINED = sa.select(*READ).where(_IS_DUPLICATE, _IS_JOINED)
_UNCONFIRMED = sa.select(*READ).where(_IS_DUPLICATE, _IS_UNCONFIRMED).order_by(tasks.c.updated_at.desc()).limit(1)
_ACKNOWLEDGE = (
    sa.update(tasks)
    .where(tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.status == Status.SUCCEEDED.value, _IS_JOINED)
    .values(duplicate_policy=None)
)
NO_DUPLICATE = sa.and_(
    ~sa.exists().where(_IS_DUPLICATE, _IS_JOINED), ~sa.exists().where(_IS_DUPLICATE, _IS_UNCONFIRMED)
)
"""The condition under which a new row is stored; it binds `new_principal`, `new_deduplication_key`
and `unconfirmed_since`."""

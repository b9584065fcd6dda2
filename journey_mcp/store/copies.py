"""Copies: which images of finished tasks are copied, and which worker copies them now.

A row is made by the worker that copies first, so no other one copies or saves the same images.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from journey_mcp.core.copies import CopyRecord
from journey_mcp.core.plain import compact_json, without_empty
from journey_mcp.core.predictions import Status
from journey_mcp.store.connection import Conflict
from journey_mcp.store.database import Database
from journey_mcp.store.schema import copies, tasks

Records = Mapping[int, CopyRecord]
"""What is known of a task's images, by their number."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The copying of a task's images, which is not over."""

    task_id: str
    worker: str
    """That copies the images, or did last."""
    due: float
    """When they are copied again, or until when they are left to the worker, in seconds of the Unix epoch."""
    tries: int
    records: Records


class CopyTable:
    """The copies of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, task_id: str, *, created_at: float, worker: str, until: float) -> bool:
        """Claim a task until then; False if a worker did so before. `created_at` is that of the task."""
        row = {"task_id": task_id, "created_at": created_at, "worker": worker, "due": until, "tries": 0, "images": "{}"}
        try:
            await self._database.writer.count(_ADD, row)
        except Conflict:
            return False
        return True

    async def take_over(self, attempt: Attempt, *, worker: str, until: float) -> bool:
        """Claim what is due again, or whose worker has died; False if another one was faster."""
        values = {"task": attempt.task_id, "its_worker": attempt.worker, "its_due": attempt.due}
        return await self._database.writer.count(_TAKE_OVER, {**values, "new_worker": worker, "new_due": until}) == 1

    async def record(self, task_id: str, records: Records, *, worker: str, due: float | None, tries: int) -> None:
        """Record the result of copying, if the worker still has the task; `None` for `due` if that is over."""
        plain = {number: without_empty(asdict(record)) for number, record in records.items()}
        images = compact_json(plain)
        values = {"task": task_id, "its_worker": worker, "new_due": due, "new_tries": tries, "new_images": images}
        await self._database.writer.count(_RECORD, values)

    async def unfinished(self) -> list[Attempt]:
        """Return all attempts that are not over, the first due first."""
        rows = await self._database.reader.rows(_UNFINISHED)
        return [
            Attempt(
                task_id=row["task_id"],
                worker=row["worker"],
                due=row["due"],
                tries=row["tries"],
                records=_records(row["images"]),
            )
            for row in rows
        ]

    async def missing(self, *, since: float, limit: int) -> list[str]:
        """Return the ids of succeeded tasks created since then that no worker has begun to copy, the newest first."""
        rows = await self._database.reader.rows(_MISSING, {"since": since, "at_most": limit})
        return [row["id"] for row in rows]

    async def read(self, task_ids: Sequence[str]) -> dict[str, Records]:
        """Return what is known of the images of these tasks."""
        rows = await self._database.reader.rows(_READ, {"ids": list(task_ids)})
        return {row["task_id"]: _records(row["images"]) for row in rows}

    async def delete(self, task_ids: Sequence[str]) -> None:
        """Delete what is known of the images of these tasks."""
        await self._database.writer.count(_DELETE, {"ids": list(task_ids)})

    async def delete_older(self, *, than: float) -> None:
        """Delete what is known of the images of tasks created before then."""
        await self._database.writer.count(sa.delete(copies).where(copies.c.created_at < than))


def _records(text: str) -> Records:
    try:
        plain: dict[str, dict[str, Any]] = json.loads(text)
        return {int(number): CopyRecord(**record) for number, record in plain.items()}
    except (ValueError, TypeError, AttributeError):
        _log.exception("the copies of a task's images cannot be read")  # a newer version may have written it
        return {}


_IS_DUE = sa.text("due IS NOT NULL")
"""In the words of its index: neither SQLite nor PostgreSQL recognizes it in others."""
_ADD = sa.insert(copies)
_OF_WORKER = sa.and_(copies.c.task_id == sa.bindparam("task"), copies.c.worker == sa.bindparam("its_worker"))
_TAKE_OVER = (
    sa.update(copies)
    .where(_OF_WORKER, copies.c.due == sa.bindparam("its_due"))
    .values(worker=sa.bindparam("new_worker"), due=sa.bindparam("new_due"))
)
_RECORD = (
    sa.update(copies)
    .where(_OF_WORKER)
    .values(due=sa.bindparam("new_due"), tries=sa.bindparam("new_tries"), images=sa.bindparam("new_images"))
)
_DELETE = sa.delete(copies).where(copies.c.task_id.in_(sa.bindparam("ids", expanding=True)))
_UNFINISHED = sa.select(copies).where(_IS_DUE).order_by(copies.c.due, copies.c.task_id)
_MISSING = (
    sa.select(tasks.c.id)
    .where(
        tasks.c.created_at >= sa.bindparam("since", type_=sa.Float),
        tasks.c.status == Status.SUCCEEDED.value,
        tasks.c.request != "",
        ~sa.exists().where(copies.c.task_id == tasks.c.id),
    )
    .order_by(tasks.c.created_at.desc())
    .limit(sa.bindparam("at_most", type_=sa.Integer))
)
_READ = sa.select(copies.c.task_id, copies.c.images).where(copies.c.task_id.in_(sa.bindparam("ids", expanding=True)))

"""Tasks: stored, changed by the worker that holds the lease, read, deleted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from journey_mcp.core.images import mentioned_ids
from journey_mcp.core.limits import Limit
from journey_mcp.core.tasks import DuplicatePolicy, Task
from journey_mcp.store.connection import Conflict, Interrupted
from journey_mcp.store.database import Database
from journey_mcp.store.deduplication import NO_DUPLICATE
from journey_mcp.store.prepared import Prepared
from journey_mcp.store.rows import CHANGING, LISTED, NEW, READ, changing, listed, readable, to_row
from journey_mcp.store.schema import tasks
from journey_mcp.store.spend import lock_of, within
from journey_mcp.store.times import stored


@dataclass(frozen=True, kw_only=True, slots=True)
class StateCount:
    """How many unfinished tasks of a provider are in one state."""

    provider: str
    submission: str
    is_queued: bool
    """They wait for a slot."""
    tasks: int


class TaskTable:
    """All tasks of the database.

    A method is one statement, so there are more than a class should have; leases, queue, duplicates, outbox and
    spending have classes of their own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        task: Task,
        *,
        worker_id: str,
        lease_until: float,
        unconfirmed_since: float = math.inf,
        limits: Sequence[Limit] = (),
        max_unfinished: int | None = None,
    ) -> bool:
        """Store a new task, leased by `worker_id`. Durable on disk when this returns.

        False, and nothing is stored, if it duplicates a call of the principal whose task can be joined or ended
        unconfirmed (it may have been paid) after `unconfirmed_since`, if its charges would exceed one of the limits, or
        if the principal has `max_unfinished` unfinished tasks. Checked and stored in one statement, so that no other
        process comes between. Repeating it after an error, which does not say whether the task was stored, stores it
        once.
        """
        until = self._database.timeline.to_store(lease_until)
        row = {**to_row(task), "lease_worker": worker_id, "lease_until": until}
        values = {"unconfirmed_since": unconfirmed_since, **{_PARAMETERS[name]: value for name, value in row.items()}}
        room = [(lock_of(limit, task), fits) for limit in limits if (fits := within(limit, task)) is not None]
        if max_unfinished is not None:
            room.append((f"unfinished:{task.principal}", _UNFINISHED_OF.scalar_subquery() < max_unfinished))
            values["of_principal"] = task.principal
        try:
            is_new = await self._insert(room, values)
        except Interrupted:
            is_new = await self._insert(room, values)
        return is_new or await self._has(_IS_ADDED, {"task": task.id, "worker": worker_id})

    async def _insert(self, room: Sequence[tuple[str, sa.ColumnElement[bool]]], values: Mapping[str, Any]) -> bool:
        """Insert a row if there is room: conditions, each after the lock under which it is counted."""
        try:
            if not room:
                return await self._database.writer.count(_ADD, values) == 1
            statement = sa.insert(tasks).from_select(_NAMES, _NEW.where(*(fits for _, fits in room)))
            return await self._database.writer.exclusively({lock for lock, _ in room}, statement, values) == 1
        except Conflict:
            return False  # another process stored a duplicate call in this moment

    async def save(self, task: Task, *, worker_id: str) -> bool:
        """Store a change of a task. Durable on disk when this returns.

        False when `worker_id` does not hold its lease any more, or it is final already: then nothing was changed.
        Repeating it after an error, which does not say whether the change was stored, stores it once.
        """
        values = {_PARAMETERS[name]: value for name, value in changing(task).items()}
        values |= {"task": task.id, "worker": worker_id}
        try:
            is_saved = await self._database.writer.count(_SAVE, values) == 1
        except Interrupted:
            is_saved = await self._database.writer.count(_SAVE, values) == 1
        return is_saved or await self._has(_IS_SAVED, values)

    async def get(self, ids: Sequence[str], *, principal: str) -> dict[str, Task]:
        """Return the principal's tasks among these ids."""
        found = await self._read(_GET, {"ids": list(ids), "of_principal": principal})
        return {task.id: task for task in found}

    async def find(self, task_id: str) -> Task | None:
        """Return the task of this id, of any principal."""
        return next(iter(await self._read(sa.select(*READ).where(tasks.c.id == task_id))), None)

    async def newest(
        self,
        *,
        principal: str,
        limit: int,
        since: float = 0.0,
        until: float = math.inf,
        before: Task | None = None,
        words: Sequence[str] = (),
    ) -> list[Task]:
        """Return the principal's tasks, the newest first: those from `since` to before `until` with all of these words.

        `before` is a task that older ones follow; words are compared with the prompt and the model, in the form of
        `core.text.searchable`. Of a long request the tasks have the beginning of the prompt alone.
        """
        matching = sa.select(*LISTED).where(
            tasks.c.principal == principal, tasks.c.created_at >= since, _IS_LISTED, *map(_contains, words)
        )
        if until < math.inf:
            matching = matching.where(tasks.c.created_at < until)
        query = matching if before is None else matching.where(_is_older(before.created_at, before.id))
        found: list[Task] = []
        while True:
            wanted = limit - len(found)
            rows = await self._database.reader.rows(query.order_by(*_NEWEST_FIRST).limit(wanted))
            found += [task for row in rows if (task := listed(row))]
            if len(rows) < wanted or len(found) == limit:
                return found
            # some rows cannot be read: others take their places
            query = matching.where(_is_older(rows[-1]["created_at"], rows[-1]["id"]))

    async def ended(self, *, principal: str, since: float, made_since: float) -> list[Task]:
        """Return the principal's tasks that ended at `since` or later; none that was made before `made_since`."""
        query = sa.select(*READ).where(
            tasks.c.principal == principal,
            tasks.c.created_at >= made_since,
            tasks.c.final.is_(True),
            tasks.c.updated_at >= since,
            _IS_LISTED,
        )
        return await self._read(query)

    async def needed_ids(self) -> set[str]:
        """Return the ids of all unfinished tasks, and of the images that their requests name."""
        rows = await self._database.reader.rows(_UNFINISHED)
        return {row["id"] for row in rows}.union(*(mentioned_ids(row["request"]) for row in rows))

    async def count_unfinished(self, principal: str) -> int:
        """Return how many unfinished tasks the principal has."""
        (row,) = await self._database.reader.rows(_UNFINISHED_OF, {"of_principal": principal})
        return int(row["unfinished"])

    async def count_by_state(self) -> list[StateCount]:
        """Return how many unfinished tasks there are, of all principals."""
        return [StateCount(**row) for row in await self._database.reader.rows(_BY_STATE)]

    async def mentioning(self, texts: Sequence[str], *, principal: str) -> list[Task]:
        """Return the principal's tasks, the newest first, whose results contain one of these texts; at most 100."""
        newest = (
            sa.select(tasks.c.id, tasks.c.outcome)
            .where(tasks.c.principal == principal)
            .order_by(tasks.c.created_at.desc())
            .limit(_SEARCHED)
            .subquery()
        )
        containing = sa.or_(*(newest.c.outcome.contains(text, autoescape=True) for text in texts))
        query = sa.select(*READ).where(tasks.c.id.in_(sa.select(newest.c.id).where(containing)))
        return await self._read(query.order_by(tasks.c.created_at.desc(), tasks.c.id).limit(_FOUND))

    async def refining(self, image_id: str, *, principal: str) -> list[Task]:
        """Return the principal's tasks that refine this image, the newest first."""
        query = sa.select(*READ).where(tasks.c.principal == principal, tasks.c.parent == image_id)
        return await self._read(query.order_by(tasks.c.created_at.desc(), tasks.c.id))

    async def count(self, *, before: float, principal: str | None) -> tuple[int, int]:
        """Return how many finished and unfinished tasks were created before then, of one principal or of all."""
        query = sa.select(tasks.c.final, sa.func.count().label("number")).where(*_selected(before, principal))
        rows = await self._database.reader.rows(query.group_by(tasks.c.final))
        found = {bool(row["final"]): int(row["number"]) for row in rows}
        return found.get(True, 0), found.get(False, 0)

    async def finished_ids(self, *, before: float, principal: str | None, limit: int) -> list[str]:
        """Return the ids of some finished tasks created before then, of one principal or of all."""
        query = sa.select(tasks.c.id).where(*_selected(before, principal), tasks.c.final.is_(True)).limit(limit)
        return [row["id"] for row in await self._database.reader.rows(query)]

    async def delete(self, ids: Sequence[str]) -> int:
        """Delete the finished tasks among these, as `delete_older` does; return how many there were."""
        return await self._forget(tasks.c.id.in_(list(ids)))

    async def delete_older(self, *, than: float) -> int:
        """Delete finished tasks created before then, prompts included; return how many there were.

        Of those that cost something, the cost stays: time, provider, model and amount.
        """
        return await self._forget(tasks.c.created_at < than)

    async def _forget(self, which: sa.ColumnElement[bool]) -> int:
        old = sa.and_(which, tasks.c.final.is_(True), tasks.c.request != "")
        is_paid = sa.or_(tasks.c.micro_credits > 0, tasks.c.micro_usd > 0)
        emptied = sa.update(tasks).values(
            request="",
            outcome="",
            search=None,
            prediction_id=None,
            deduplication_key=None,
            duplicate_policy=None,
            outbox_due=None,
            outbox_host=None,
            parent=None,
        )
        paid = await self._in_batches(emptied, sa.and_(old, is_paid))
        return paid + await self._in_batches(sa.delete(tasks), sa.and_(old, ~is_paid))

    async def _in_batches(self, change: sa.Update | sa.Delete, which: sa.ColumnElement[bool]) -> int:
        """Change the tasks of which this holds and will not hold any more; return how many there were."""
        batch = change.where(tasks.c.id.in_(sa.select(tasks.c.id).where(which).limit(_BATCH)))
        total = 0
        while count := await self._database.writer.count(batch):
            total += count
        return total

    async def _has(self, query: sa.Executable, values: Mapping[str, Any]) -> bool:
        return bool(await self._database.reader.rows(query, values))

    async def _read(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[Task]:
        rows = await self._database.reader.rows(statement, values)
        return [task for row in rows if (task := readable(row))]


def _selected(before: float, principal: str | None) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of tasks that are not deleted, created before then, of one principal or of all."""
    made_before = [] if math.isinf(before) else [tasks.c.created_at < before]
    return [tasks.c.request != "", *made_before, *([] if principal is None else [tasks.c.principal == principal])]


def _is_older(created_at: float, task_id: str) -> sa.ColumnElement[bool]:
    """Return the condition that a task comes after this one, the newest first."""
    return sa.and_(tasks.c.created_at <= created_at, sa.or_(tasks.c.created_at < created_at, tasks.c.id > task_id))


def _contains(word: str) -> sa.ColumnElement[bool]:
    return _SEARCH.contains(word, autoescape=True)


_SEARCH = sa.func.coalesce(tasks.c.search, sa.func.lower(tasks.c.request))
"""What words are compared with; servers of earlier versions store nothing for searches."""
_IS_LISTED = sa.text("tasks.request <> ''")
"""As in the index, word for word."""
_NEWEST_FIRST = (tasks.c.created_at.desc(), tasks.c.id)
_BATCH = 1000
"""How many tasks one statement deletes: others wait for it, and PostgreSQL ends one that takes long."""
_SEARCHED = 1000
"""How many of a principal's tasks are searched for a text: milliseconds."""
_FOUND = 100
"""How many of these are returned: a text as short as the name of a host is in all of them."""
_PARAMETERS = {column.name: f"new_{column.name}" for column in NEW}
"""The parameter with the new value of a column."""
_VALUES = {column: sa.bindparam(_PARAMETERS[column.name], type_=column.type) for column in NEW}
_NEW = sa.select(
    *(stored(value) if column is tasks.c.lease_until else value for column, value in _VALUES.items())
).where(NO_DUPLICATE)
_NAMES = [column.name for column in NEW]
_ADD = Prepared(sa.insert(tasks).from_select(_NAMES, _NEW))
_GET = sa.select(*READ).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.principal == sa.bindparam("of_principal")
)
_UNFINISHED = sa.select(tasks.c.id, tasks.c.request).where(sa.text("NOT final"))
_UNFINISHED_OF = sa.select(sa.func.count().label("unfinished")).where(
    sa.text("NOT tasks.final"), tasks.c.principal == sa.bindparam("of_principal")
)
_IS_QUEUED = tasks.c.queue_since.is_not(None)
_BY_STATE = (
    sa.select(tasks.c.provider, tasks.c.submission, _IS_QUEUED.label("is_queued"), sa.func.count().label("tasks"))
    .where(sa.text("NOT final"))
    .group_by(tasks.c.provider, tasks.c.submission, _IS_QUEUED)
)
_SAVE = Prepared(
    sa.update(tasks)
    .where(
        tasks.c.id == sa.bindparam("task"),
        tasks.c.lease_worker == sa.bindparam("worker"),
        tasks.c.final.is_(False),
    )
    .values({name: sa.bindparam(_PARAMETERS[name]) for name in CHANGING if name != "duplicate_policy"})
    # a detached task stays so: duplicate calls join another one now
    .values(
        duplicate_policy=sa.case(
            (
                sa.bindparam("new_duplicate_policy", type_=sa.String) == DuplicatePolicy.JOIN.value,
                tasks.c.duplicate_policy,
            ),
            else_=sa.bindparam("new_duplicate_policy", type_=sa.String),
        )
    )
)
_IS_OWN = sa.and_(tasks.c.id == sa.bindparam("task"), tasks.c.lease_worker == sa.bindparam("worker"))
_IS_ADDED = sa.select(tasks.c.id).where(_IS_OWN)
_IS_SAVED = _IS_ADDED.where(
    *(tasks.c[name] == sa.bindparam(_PARAMETERS[name]) for name in ("updated_at", "status", "submission", "outcome"))
)

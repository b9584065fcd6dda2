"""Queues: which tasks wait for a slot at a provider, and which have one; one queue per account, for all processes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.tasks import Submission
from journey_mcp.store.database import Database
from journey_mcp.store.schema import tasks
from journey_mcp.store.times import compared, time_named

_log = logging.getLogger(__name__)

QueueKey = tuple[int, float, str]
"""The order in a queue: the fairness round, since when it waits (seconds of the Unix epoch), and the task's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueEntry:
    """A task that waits in another process."""

    worker_id: str
    """The worker that holds its lease."""
    principal: str
    key: QueueKey
    is_refused: bool
    """The provider refused it: its process waits for the provider, and not only for a slot."""


class QueueTable:
    """The queues of the database. Entries of a worker whose lease has expired do not count."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._timeline = database.timeline

    async def waiting_elsewhere(
        self, *, provider: str, base_url: str, except_worker: str, now: float
    ) -> list[QueueEntry]:
        """Return the entries of other workers at this account."""
        values = {
            "at_provider": provider,
            "at_base_url": base_url,
            "worker": except_worker,
            "now": self._timeline.to_store(now),
        }
        rows = await self._database.reader.rows(_WAITING_ELSEWHERE, values)
        return [
            QueueEntry(
                worker_id=row["lease_worker"],
                principal=row["principal"],
                key=(row["queue_round"], row["queue_since"], row["id"]),
                is_refused=row["queue_state"] == "refused",
            )
            for row in rows
        ]

    async def positions(self, ids: Sequence[str], *, now: float) -> dict[str, int]:
        """Return the position of each of these that waits, from 1; nothing if the store cannot be read."""
        try:
            rows = await self._database.reader.rows(_POSITIONS, {"ids": list(ids), "now": self._timeline.to_store(now)})
        except StoreUnavailable:
            _log.exception("positions in the queue cannot be read")
            return {}
        return {row["id"]: row["ahead"] + 1 for row in rows}

    async def enqueue(self, key: QueueKey, state: Literal["waiting", "refused"]) -> None:
        """Put the task into the queue of its account, with this key."""
        round_, since, task_id = key
        values = {"task": task_id, "new_state": state, "new_round": round_, "new_since": since}
        await self._database.writer.count(_ENQUEUE, values)

    async def acquire_slot(
        self, task_id: str, *, provider: str, base_url: str, limit: int | None, silent_since: float, now: float
    ) -> bool:
        """Give the task a slot, unless `limit` others run there already: checked and stored in one statement.

        A task without news since `silent_since` does not count any more.
        """
        values = {"task": task_id}
        if limit is None:
            return await self._database.writer.count(_ACQUIRE, values) == 1
        there = self._there(provider, base_url, silent_since, now)
        # first without the lock, for which all that wait would wait one after another
        if self._database.has_locks and await self._count(there | values) >= limit:
            return False
        locks = [f"queue:{provider}:{base_url}"]
        return await self._database.writer.exclusively(locks, _ACQUIRE_WITHIN, there | values | {"limit": limit}) == 1

    async def leave(self, task_id: str) -> None:
        """Remove the task from the queue."""
        await self._database.writer.count(_LEAVE, {"task": task_id})

    async def running(self, *, provider: str, base_url: str, silent_since: float, now: float) -> int:
        """Return how many tasks the provider may have, or is about to get."""
        return await self._count({"task": "", **self._there(provider, base_url, silent_since, now)})

    async def _count(self, values: Mapping[str, Any]) -> int:
        (row,) = await self._database.reader.rows(_RUNNING, values)
        return int(row["running"])

    def _there(self, provider: str, base_url: str, silent_since: float, now: float) -> dict[str, Any]:
        account = {"at_provider": provider, "at_base_url": base_url}
        return {**account, "since": silent_since, "now": self._timeline.to_store(now)}


_IS_WAITING = sa.text("queue_since IS NOT NULL AND NOT final")
"""In the words of its index: neither SQLite nor PostgreSQL recognizes it in others."""
_AT_ACCOUNT = sa.and_(tasks.c.provider == sa.bindparam("at_provider"), tasks.c.base_url == sa.bindparam("at_base_url"))
_WAITING_ELSEWHERE = sa.select(
    tasks.c.id, tasks.c.lease_worker, tasks.c.principal, tasks.c.queue_state, tasks.c.queue_round, tasks.c.queue_since
).where(
    _IS_WAITING,
    _AT_ACCOUNT,
    tasks.c.submission == Submission.PREPARED.value,
    tasks.c.lease_worker != sa.bindparam("worker"),
    tasks.c.lease_until > compared(time_named("now")),
)
_ahead = tasks.alias("ahead")
_POSITIONS = sa.select(
    tasks.c.id,
    sa.select(sa.func.count())
    .where(
        sa.text("ahead.queue_since IS NOT NULL AND NOT ahead.final"),
        _ahead.c.provider == tasks.c.provider,
        _ahead.c.base_url == tasks.c.base_url,
        _ahead.c.submission == Submission.PREPARED.value,
        _ahead.c.lease_until > compared(time_named("now")),
        sa.tuple_(_ahead.c.queue_round, _ahead.c.queue_since, _ahead.c.id)
        < sa.tuple_(tasks.c.queue_round, tasks.c.queue_since, tasks.c.id),
    )
    .correlate(tasks)
    .scalar_subquery()
    .label("ahead"),
).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)),
    tasks.c.queue_since.is_not(None),
    tasks.c.submission == Submission.PREPARED.value,
)
_TASK = sa.update(tasks).where(tasks.c.id == sa.bindparam("task"))
_ENQUEUE = _TASK.values(
    queue_state=sa.bindparam("new_state"), queue_round=sa.bindparam("new_round"), queue_since=sa.bindparam("new_since")
)
_LEAVE = _TASK.values(queue_state=None, queue_round=None, queue_since=None)
_others = tasks.alias("others")
_RUNNING = (
    sa.select(sa.func.count().label("running"))
    .select_from(_others)
    .where(
        sa.text("NOT others.final"),
        _others.c.provider == sa.bindparam("at_provider"),
        _others.c.base_url == sa.bindparam("at_base_url"),
        _others.c.id != sa.bindparam("task"),
        sa.or_(
            sa.and_(
                _others.c.submission.in_((Submission.SENT.value, Submission.ACCEPTED.value)),
                _others.c.updated_at >= sa.bindparam("since"),
            ),
            # it is about to be sent
            sa.and_(
                _others.c.queue_state == "granted",
                _others.c.submission == Submission.PREPARED.value,
                _others.c.lease_until > compared(time_named("now")),
            ),
        ),
    )
)
_ACQUIRE = _TASK.where(tasks.c.final.is_(False)).values(queue_state="granted", queue_since=None)
_ACQUIRE_WITHIN = _ACQUIRE.where(_RUNNING.scalar_subquery() < sa.bindparam("limit"))

"""Leases: which worker writes an unfinished task, and until when it has to renew."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from journey_mcp.core.tasks import Submission, Task
from journey_mcp.store.database import Database
from journey_mcp.store.rows import READ, readable
from journey_mcp.store.schema import tasks
from journey_mcp.store.times import compared, read, stored, time_named


class Leases:
    """The leases of the database. `lease_until` and `now` are seconds of the Unix epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._timeline = database.timeline

    async def orphans(
        self, *, now: float, addresses: Iterable[tuple[str, str | None]], with_own_keys: bool = False
    ) -> list[tuple[Task, str]]:
        """Return the unfinished tasks whose lease has expired, each with the id of the worker that held it.

        Only those at these (provider, base URL); `None` stands for any base URL. `with_own_keys`: and all that run with
        a key of the caller's own.
        """
        query = _orphans_at(frozenset(addresses), with_own_keys=with_own_keys)
        rows = await self._database.reader.rows(query, {"now": self._timeline.to_store(now)})
        return [(task, row["lease_worker"]) for row in rows if (task := readable(row))]

    async def next_expiry(self, *, after: float, except_worker: str) -> float | None:
        """Return when the next lease of another worker expires after that time; `None` if there is none."""
        (row,) = await self._database.reader.rows(
            _NEXT_EXPIRY, {"after": self._timeline.to_store(after), "worker": except_worker}
        )
        return None if row["expires_at"] is None else self._timeline.from_store(row["expires_at"])

    async def acquire(self, ids: Sequence[str], *, worker_id: str, lease_until: float, now: float) -> list[Task]:
        """Acquire those of these tasks that are unfinished and whose lease has expired; return them.

        A task that another process changes in this moment is left to it.
        """
        expired = sa.select(tasks.c.id).where(tasks.c.id.in_(ids), _UNFINISHED, _HAS_EXPIRED)
        free = expired.with_for_update(skip_locked=True).cte("free")
        values = self._lease(worker_id, lease_until) | {"now": self._timeline.to_store(now)}
        return await self._acquired(_LEASED.where(tasks.c.id == free.c.id), values)

    async def take_over(self, task_id: str, *, worker_id: str, lease_until: float) -> Task | None:
        """Acquire an unfinished task, whichever worker holds it; `None` when there is none."""
        values = self._lease(worker_id, lease_until) | {"task": task_id}
        return next(iter(await self._acquired(_TAKE_OVER, values)), None)

    async def take_over_unsent(self, task_id: str, *, worker_id: str, lease_until: float) -> Task | None:
        """Acquire a task whose request has not left, whichever worker holds it.

        `None` when there is none: then nothing changes.
        """
        values = self._lease(worker_id, lease_until) | {"task": task_id}
        return next(iter(await self._acquired(_TAKE_OVER_UNSENT, values)), None)

    async def renew(self, ids: Sequence[str], *, worker_id: str, lease_until: float) -> set[str]:
        """Renew these leases; return the ids of those that `worker_id` holds."""
        kept: set[str] = set()
        for start in range(0, len(ids), _BATCH):
            batch = _padded(ids[start : start + _BATCH])
            values = self._lease(worker_id, lease_until) | {"ids": batch}
            kept.update(row["id"] for row in await self._database.writer.rows(_RENEW, values))
        return kept

    async def held(self, ids: Sequence[str], *, worker_id: str) -> set[str]:
        """Return the ids of those tasks that `worker_id` holds."""
        rows = await self._database.reader.rows(_HELD, {"ids": _padded(ids), "worker": worker_id})
        return {row["id"] for row in rows}

    async def release(self, *, worker_id: str) -> None:
        """Let all leases of `worker_id` expire now."""
        of_worker = sa.and_(tasks.c.lease_worker == worker_id, tasks.c.final.is_(False))
        await self._database.writer.count(sa.update(tasks).where(of_worker).values(lease_until=0.0))

    def _lease(self, worker_id: str, lease_until: float) -> dict[str, Any]:
        return {"worker": worker_id, "until": self._timeline.to_store(lease_until)}

    async def _acquired(self, statement: sa.Executable, values: Mapping[str, Any]) -> list[Task]:
        return [task for row in await self._database.writer.rows(statement, values) if (task := readable(row))]


def _padded(ids: Sequence[str]) -> list[str]:
    """Repeat the last id until their number is a power of two.

    SQLite's driver caches the last 128 statements by their text, and one for every number of ids would fill megabytes.
    """
    return [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]


@lru_cache(maxsize=16)
def _orphans_at(addresses: frozenset[tuple[str, str | None]], *, with_own_keys: bool) -> sa.Select[Any]:
    """Return the query for these addresses: making it takes longer than running it, and every process does so often."""
    at_addresses = sa.or_(
        tasks.c.sealed_key.is_not(None) if with_own_keys else sa.false(),
        *(
            sa.and_(tasks.c.provider == name, sa.true() if url is None else tasks.c.base_url == url)
            for name, url in addresses
        ),
    )
    return sa.select(*READ, tasks.c.lease_worker).where(_UNFINISHED, _HAS_EXPIRED, at_addresses)


_BATCH = 512
"""How many tasks one statement names."""
_UNFINISHED = sa.text("NOT final")
"""In the words of the index of unfinished tasks: neither SQLite nor PostgreSQL recognizes it in others."""
_HAS_EXPIRED = tasks.c.lease_until <= compared(time_named("now"))
_UNTIL = stored(time_named("until"))
_LEASED = (
    sa.update(tasks)
    .where(tasks.c.final.is_(False))
    .values(lease_worker=sa.bindparam("worker"), lease_until=_UNTIL)
    .returning(*READ)
)
_TAKE_OVER = _LEASED.where(tasks.c.id == sa.bindparam("task"))
_TAKE_OVER_UNSENT = _TAKE_OVER.where(tasks.c.submission == Submission.PREPARED.value)
_RENEW = (
    sa.update(tasks)
    .where(
        tasks.c.id.in_(sa.bindparam("ids", expanding=True)),
        tasks.c.lease_worker == sa.bindparam("worker"),
        tasks.c.final.is_(False),
    )
    .values(lease_until=_UNTIL)
    .returning(tasks.c.id)
)
_NEXT_EXPIRY = sa.select(read(sa.func.min(tasks.c.lease_until)).label("expires_at")).where(
    _UNFINISHED,
    tasks.c.lease_until > compared(time_named("after")),
    tasks.c.lease_worker != sa.bindparam("worker"),
)
_HELD = sa.select(tasks.c.id).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.lease_worker == sa.bindparam("worker")
)

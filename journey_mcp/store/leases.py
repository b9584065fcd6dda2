"""Leases: which worker writes an unfinished task, and until when it has to renew."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from journey_mcp.core.tasks import Submission, Task
from journey_mcp.store.database import Database
from journey_mcp.store.rows import READ, readable
from journey_mcp.store.schema import tasks


class Leases:
    """The leases of the database. `lease_until` and `now` are seconds of the Unix epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def orphans(self, *, now: float, addresses: Iterable[tuple[str, str | None]]) -> list[tuple[Task, str]]:
        """Return the unfinished tasks whose lease has expired, each with the id of the worker that held it.

        Only those at these (provider, base URL); `None` stands for any base URL.
        """
        at_addresses = sa.or_(
            sa.false(),
            *(
                sa.and_(tasks.c.provider == name, sa.true() if url is None else tasks.c.base_url == url)
                for name, url in addresses
            ),
        )
        query = sa.select(*READ, tasks.c.lease_worker).where(_UNFINISHED, tasks.c.lease_until <= now, at_addresses)
        rows = await self._database.reader.rows(query)
        return [(task, row["lease_worker"]) for row in rows if (task := readable(row))]

    async def next_expiry(self, *, after: float, except_worker: str) -> float | None:
        """Return when the next lease of another worker expires after that time; `None` if there is none."""
        (row,) = await self._database.reader.rows(_NEXT_EXPIRY, {"after": after, "worker": except_worker})
        expires_at: float | None = row["expires_at"]
        return expires_at

    async def acquire(self, ids: Sequence[str], *, worker_id: str, lease_until: float, now: float) -> list[Task]:
        """Acquire those of these tasks that are unfinished and whose lease has expired; return them."""
        return await self._taken_over(worker_id, lease_until, tasks.c.id.in_(ids), tasks.c.lease_until <= now)

    async def take_over(self, task_id: str, *, worker_id: str, lease_until: float) -> Task | None:
        """Acquire an unfinished task, whichever worker holds it; `None` when there is none."""
        return next(iter(await self._taken_over(worker_id, lease_until, tasks.c.id == task_id)), None)

    async def take_over_unsent(self, task_id: str, *, worker_id: str, lease_until: float) -> Task | None:
        """Acquire a task whose request has not left, whichever worker holds it.

        `None` when there is none: then nothing changes.
        """
        is_unsent = tasks.c.submission == Submission.PREPARED.value
        return next(iter(await self._taken_over(worker_id, lease_until, tasks.c.id == task_id, is_unsent)), None)

    async def renew(self, ids: Sequence[str], *, worker_id: str, lease_until: float) -> set[str]:
        """Renew these leases; return the ids of those that `worker_id` holds."""
        kept: set[str] = set()
        for start in range(0, len(ids), _BATCH):
            batch = _padded(ids[start : start + _BATCH])
            statement = (
                sa.update(tasks)
                .where(tasks.c.id.in_(batch), tasks.c.lease_worker == worker_id, tasks.c.final.is_(False))
                .values(lease_until=lease_until)
                .returning(tasks.c.id)
            )
            kept.update(row["id"] for row in await self._database.writer.rows(statement))
        return kept

    async def held(self, ids: Sequence[str], *, worker_id: str) -> set[str]:
        """Return the ids of those tasks that `worker_id` holds."""
        rows = await self._database.reader.rows(_HELD, {"ids": _padded(ids), "worker": worker_id})
        return {row["id"] for row in rows}

    async def release(self, *, worker_id: str) -> None:
        """Let all leases of `worker_id` expire now."""
        of_worker = sa.and_(tasks.c.lease_worker == worker_id, tasks.c.final.is_(False))
        await self._database.writer.count(sa.update(tasks).where(of_worker).values(lease_until=0.0))

    async def _taken_over(self, worker_id: str, lease_until: float, *which: sa.ColumnElement[bool]) -> list[Task]:
        """Acquire the unfinished tasks of which all this holds."""
        statement = (
            sa.update(tasks)
            .where(tasks.c.final.is_(False), *which)
            .values(lease_worker=worker_id, lease_until=lease_until)
            .returning(*READ)
        )
        return [task for row in await self._database.writer.rows(statement) if (task := readable(row))]


def _padded(ids: Sequence[str]) -> list[str]:
    """Repeat the last id until their number is a power of two.

    SQLite's driver caches the last 128 statements by their text, and one for every number of ids would fill megabytes.
    """
    return [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]


_BATCH = 512
"""How many tasks one statement names."""
_UNFINISHED = sa.text("NOT final")
"""In the words of the index of unfinished tasks: neither SQLite nor PostgreSQL recognizes it in others."""
_NEXT_EXPIRY = sa.select(sa.func.min(tasks.c.lease_until).label("expires_at")).where(
    _UNFINISHED,
    tasks.c.lease_until > sa.bindparam("after", type_=sa.Float),
    tasks.c.lease_worker != sa.bindparam("worker"),
)
_HELD = sa.select(tasks.c.id).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.lease_worker == sa.bindparam("worker")
)

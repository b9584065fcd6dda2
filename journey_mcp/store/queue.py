"""Who waits for room at a provider, and who has it: one line per account, seen by every process on the database."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.tasks import Submission
from journey_mcp.store.database import Database
from journey_mcp.store.migrations import tasks

_log = logging.getLogger(__name__)

Key = tuple[int, float, str]
"""Who comes before whom: the round, since when it waits (seconds of the Unix epoch), and the task's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A task that waits in another process."""

    owner: str
    """The process that holds it."""
    principal: str
    key: Key
    is_refused: bool
    """The provider refused it: its process waits for the provider, and not for room alone."""


class LineTable:
    """The lines. What a process that has died left in one does not count."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def others(self, *, provider: str, base_url: str, owner: str, now: float) -> list[Waiting]:
        """Those who wait at this account, but for the owner's own."""
        values = {"at_provider": provider, "at_base_url": base_url, "owner": owner, "now": now}
        rows = await self._database.reader.rows(_OTHERS, values)
        return [
            Waiting(
                owner=row["lease_owner"],
                principal=row["principal"],
                key=(row["line_round"], row["line_since"], row["id"]),
                is_refused=row["line"] == "refused",
            )
            for row in rows
        ]

    async def places(self, ids: Sequence[str], *, now: float) -> dict[str, int]:
        """The place of each of these that waits, from 1; nothing when the store does not tell."""
        try:
            rows = await self._database.reader.rows(_PLACES, {"ids": list(ids), "now": now})
        except SQLAlchemyError:
            _log.exception("places in line cannot be read")
            return {}
        return {row["id"]: row["ahead"] + 1 for row in rows}

    async def wait(self, key: Key, state: Literal["waits", "refused"]) -> None:
        """The task stands in the line of its account, at this place."""
        round_, since, task_id = key
        values = {"task": task_id, "new_line": state, "new_round": round_, "new_since": since}
        await self._database.writer.count(_WAIT, values)

    async def take_turn(
        self, task_id: str, *, provider: str, base_url: str, limit: int | None, silent_since: float, now: float
    ) -> bool:
        """Let the task go, unless so many others run there already: looked at and stored in one statement.

        A task that told nothing since `silent_since` does not count any more.
        """
        values = {"task": task_id}
        if limit is None:
            return await self._database.writer.count(_TURN, values) == 1
        there = {"at_provider": provider, "at_base_url": base_url, "since": silent_since, "now": now, "limit": limit}
        return await self._database.writer.count(_TURN_WITHIN, values | there) == 1

    async def leave(self, task_id: str) -> None:
        """The task has nothing to do with the line any more."""
        await self._database.writer.count(_LEAVE, {"task": task_id})

    async def running(self, *, provider: str, base_url: str, silent_since: float, now: float) -> int:
        """How many tasks the provider may have, or is about to get."""
        values = {"task": "", "at_provider": provider, "at_base_url": base_url, "since": silent_since, "now": now}
        (row,) = await self._database.reader.rows(_RUNNING, values)
        return int(row["running"])


_WAITS = sa.text("line_since IS NOT NULL AND NOT final")
"""In the words of its index: neither SQLite nor PostgreSQL knows it again in others."""
_HERE = sa.and_(tasks.c.provider == sa.bindparam("at_provider"), tasks.c.base_url == sa.bindparam("at_base_url"))
_OTHERS = sa.select(
    tasks.c.id, tasks.c.lease_owner, tasks.c.principal, tasks.c.line, tasks.c.line_round, tasks.c.line_since
).where(
    _WAITS,
    _HERE,
    tasks.c.submission == Submission.PREPARED.value,
    tasks.c.lease_owner != sa.bindparam("owner"),
    tasks.c.lease_until > sa.bindparam("now"),
)
_ahead = tasks.alias("ahead")
_PLACES = sa.select(
    tasks.c.id,
    sa.select(sa.func.count())
    .where(
        sa.text("ahead.line_since IS NOT NULL AND NOT ahead.final"),
        _ahead.c.provider == tasks.c.provider,
        _ahead.c.base_url == tasks.c.base_url,
        _ahead.c.submission == Submission.PREPARED.value,
        _ahead.c.lease_until > sa.bindparam("now"),
        sa.tuple_(_ahead.c.line_round, _ahead.c.line_since, _ahead.c.id)
        < sa.tuple_(tasks.c.line_round, tasks.c.line_since, tasks.c.id),
    )
    .correlate(tasks)
    .scalar_subquery()
    .label("ahead"),
).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)),
    tasks.c.line_since.is_not(None),
    tasks.c.submission == Submission.PREPARED.value,
)
_MINE = sa.update(tasks).where(tasks.c.id == sa.bindparam("task"))
_WAIT = _MINE.values(
    line=sa.bindparam("new_line"), line_round=sa.bindparam("new_round"), line_since=sa.bindparam("new_since")
)
_LEAVE = _MINE.values(line=None, line_round=None, line_since=None)
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
                _others.c.line == "turn",
                _others.c.submission == Submission.PREPARED.value,
                _others.c.lease_until > sa.bindparam("now"),
            ),
        ),
    )
)
_TURN = _MINE.where(tasks.c.final.is_(False)).values(line="turn", line_since=None)
_TURN_WITHIN = _TURN.where(_RUNNING.scalar_subquery() < sa.bindparam("limit"))

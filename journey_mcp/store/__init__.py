"""Tasks in SQL: durable, shared by processes, one writer per task by lease. Knows neither providers nor MCP.

Every change is one statement, so no transaction is held over an await, and PostgreSQL runs the same.
A task is written only by the process that holds its lease, and a final one by nobody.
"""

import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from journey_mcp.core.errors import SetupError
from journey_mcp.core.limits import CreditPrices, Limit
from journey_mcp.core.money import Charges, Unit
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import EqualCall, Submission, Task
from journey_mcp.store.cooldowns import CooldownTable
from journey_mcp.store.database import Database, cause, open_database
from journey_mcp.store.migrations import tasks
from journey_mcp.store.outbox import OutboxTable
from journey_mcp.store.queue import LineTable
from journey_mcp.store.rows import (
    CHANGING,
    LISTED,
    MICRO,
    NEW,
    READ,
    changing,
    listed,
    micro,
    read_charges,
    readable,
    to_row,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What one task costs."""

    at: float
    """Seconds of the Unix epoch."""
    provider: str
    model: str
    counted: Charges
    """What counts against budgets: the cost where it is known, else what unknown ones count."""
    unit: Unit | None
    """In which unit the cost is known."""
    is_told: bool
    """By the provider; else the registry's table says so."""
    is_sent: bool
    """Its request has left; what only waits is reserved."""
    is_unclear: bool
    """It was sent and never answered: perhaps it was not charged."""


class Store:
    """The tasks of one database. Its parts: who waits in line, whose webhooks are to be told, which providers rest."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lines = LineTable(database)
        self.relays = OutboxTable(database)
        self.cooldowns = CooldownTable(database)

    async def add(
        self,
        task: Task,
        *,
        owner: str,
        lease_until: float,
        unclear_since: float = math.inf,
        limits: Sequence[Limit] = (),
    ) -> bool:
        """Store a new task, held by `owner`. Durable on disk when this returns.

        False, and nothing is stored, when an equal call of the principal's joins another task or, `unclear_since`
        then, ended so that nobody knows whether it was paid, or when the task's charges would pass one of the limits:
        looked at and stored in one statement, so that no other process comes between.
        """
        row = {**to_row(task), "lease_owner": owner, "lease_until": lease_until}
        values = {"unclear_since": unclear_since, **{f"new_{name}": value for name, value in row.items()}}
        room = [
            _spent(limit, task) + micro(counted) <= micro(limit.amount)
            for limit in limits
            if (counted := limit.counted(task.provider, task.charges)) is not None
        ]
        statement = sa.insert(tasks).from_select(_NAMES, _NEW.where(*room)) if room else _ADD
        try:
            return await self._database.writer.count(statement, values) == 1
        except IntegrityError:
            return False  # another process stored an equal call in this moment

    async def equal(self, *, principal: str, deduplication_key: str, unclear_since: float) -> Task | None:
        """The task that an equal call joins, else the newest that it has to hear of; `None` when there is neither."""
        values = {"new_principal": principal, "new_wish": deduplication_key, "unclear_since": unclear_since}
        for query in (_EQUAL_JOINED, _EQUAL_UNCLEAR):
            if found := await self._read(query, values):
                return found[0]
        return None

    async def part(self, task_id: str) -> None:
        """No equal call joins this task any more.

        Raises:
            SetupError: the store cannot be written.
        """
        await self._parted(tasks.c.id == task_id)

    async def part_all(self, *, principal: str, deduplication_key: str) -> None:
        """No equal call joins any task any more, also none that cannot be read.

        Raises:
            SetupError: the store cannot be written.
        """
        await self._parted(tasks.c.principal == principal, tasks.c.wish == deduplication_key)

    async def _parted(self, *which: sa.ColumnElement[bool]) -> None:
        with _told():
            await self._database.writer.count(sa.update(tasks).where(*which, _JOINED).values(equal_call=None))

    async def delivered(self, ids: Sequence[str]) -> None:
        """Finished results have reached somebody: equal calls make new tasks from now on."""
        await self._database.writer.count(_DELIVERED, {"ids": list(ids)})

    async def spendings(self, *, since: float, provider: str | None = None, but: str = "") -> list[Spending]:
        """What tasks made since then count, the oldest first; all but one if that is named."""
        query = sa.select(*_SPENT).where(
            tasks.c.created_at > since,
            tasks.c.id != but,
            sa.or_(tasks.c.micro_credits > 0, tasks.c.micro_usd > 0, tasks.c.submission.in_(_SENT)),
        )
        if provider is not None:
            query = query.where(tasks.c.provider == provider)
        with _told():
            rows = await self._database.reader.rows(query.order_by(tasks.c.created_at))
        return [
            Spending(
                at=row["created_at"],
                provider=row["provider"],
                model=row["model"],
                counted=read_charges(row),
                unit=row["cost_unit"],
                is_told=row["cost_source"] == "provider",
                is_sent=row["submission"] in _SENT,
                is_unclear=row["final"] and row["submission"] == Submission.SENT.value,
            )
            for row in rows
        ]

    async def save(self, task: Task, *, owner: str) -> bool:
        """Store what became of a task. Durable on disk when this returns.

        False when `owner` does not hold it any more, or it is final already: then nothing was changed.
        """
        values = {f"new_{name}": value for name, value in changing(task).items()}
        return await self._database.writer.count(_SAVE, {"task": task.id, "owner": owner, **values}) == 1

    async def get(self, ids: Sequence[str], *, principal: str) -> dict[str, Task]:
        """The principal's tasks among these ids."""
        found = await self._read(_GET, {"ids": list(ids), "owner": principal})
        return {task.id: task for task in found}

    async def find(self, task_id: str) -> Task | None:
        """The task of this id, whosever it is."""
        return next(iter(await self._read(sa.select(*READ).where(tasks.c.id == task_id))), None)

    async def newest(self, *, principal: str, since: float, limit: int) -> list[Task]:
        """The principal's tasks made since then, the newest first; of long requests the prompt's beginning alone."""
        query = (
            sa.select(*LISTED)
            .where(tasks.c.principal == principal, tasks.c.created_at >= since)
            .order_by(tasks.c.created_at.desc(), tasks.c.id)
            .limit(limit)
        )
        with _told():
            rows = await self._database.reader.rows(query)
        return [task for row in rows if (task := listed(row))]

    async def naming(self, texts: Sequence[str], *, principal: str) -> list[Task]:
        """The principal's tasks, the newest first, whose results hold one of these texts; a hundred at most."""
        newest = (
            sa.select(tasks.c.id, tasks.c.outcome)
            .where(tasks.c.principal == principal)
            .order_by(tasks.c.created_at.desc())
            .limit(_LOOKED_THROUGH)
            .subquery()
        )
        holding = sa.or_(*(newest.c.outcome.contains(text, autoescape=True) for text in texts))
        query = sa.select(*READ).where(tasks.c.id.in_(sa.select(newest.c.id).where(holding)))
        return await self._read(query.order_by(tasks.c.created_at.desc(), tasks.c.id).limit(_NAMED))

    async def orphans(self, *, now: float, addresses: Iterable[tuple[str, str | None]]) -> list[tuple[Task, str]]:
        """Unfinished tasks that nobody renews, made at these (provider, base URL), each with who held it.

        `None` stands for any base URL.
        """
        at_ours = sa.or_(
            sa.false(),
            *(
                sa.and_(tasks.c.provider == name, sa.true() if url is None else tasks.c.base_url == url)
                for name, url in addresses
            ),
        )
        query = sa.select(*READ, tasks.c.lease_owner).where(_UNFINISHED, tasks.c.lease_until <= now, at_ours)
        rows = await self._database.reader.rows(query)
        return [(task, row["lease_owner"]) for row in rows if (task := readable(row))]

    async def next_expiry(self, *, after: float, but_of: str) -> float | None:
        """Return when the next lease of another owner expires after that time; `None` if there is none."""
        (row,) = await self._database.reader.rows(_NEXT_EXPIRY, {"after": after, "owner": but_of})
        expires_at: float | None = row["expires_at"]
        return expires_at

    async def acquire(self, ids: Sequence[str], *, owner: str, lease_until: float, now: float) -> list[Task]:
        """Hold those of these tasks that are still unfinished and not renewed."""
        return await self._taken(owner, lease_until, tasks.c.id.in_(ids), tasks.c.lease_until <= now)

    async def take(self, task_id: str, *, owner: str, lease_until: float) -> Task | None:
        """Hold an unfinished task, whoever held it; `None` when there is none."""
        return next(iter(await self._taken(owner, lease_until, tasks.c.id == task_id)), None)

    async def take_unsent(self, task_id: str, *, owner: str, lease_until: float) -> Task | None:
        """Hold a task whose request has not left, whoever held it; `None` when there is none: then nothing changes."""
        is_unsent = tasks.c.submission == Submission.PREPARED.value
        return next(iter(await self._taken(owner, lease_until, tasks.c.id == task_id, is_unsent)), None)

    async def _taken(self, owner: str, lease_until: float, *which: sa.ColumnElement[bool]) -> list[Task]:
        """The unfinished tasks of which all this holds, now held by `owner`."""
        statement = (
            sa.update(tasks)
            .where(tasks.c.final.is_(False), *which)
            .values(lease_owner=owner, lease_until=lease_until)
            .returning(*READ)
        )
        return [task for row in await self._database.writer.rows(statement) if (task := readable(row))]

    async def renew(self, ids: Sequence[str], *, owner: str, lease_until: float) -> set[str]:
        """Keep these; the ids of those that `owner` really holds."""
        kept: set[str] = set()
        for start in range(0, len(ids), _TOGETHER):
            some = _rounded(ids[start : start + _TOGETHER])
            statement = (
                sa.update(tasks)
                .where(tasks.c.id.in_(some), tasks.c.lease_owner == owner, tasks.c.final.is_(False))
                .values(lease_until=lease_until)
                .returning(tasks.c.id)
            )
            kept.update(row["id"] for row in await self._database.writer.rows(statement))
        return kept

    async def held(self, ids: Sequence[str], *, owner: str) -> set[str]:
        """The ids of those that `owner` holds."""
        rows = await self._database.reader.rows(_HELD, {"ids": _rounded(ids), "owner": owner})
        return {row["id"] for row in rows}

    async def release(self, *, owner: str) -> None:
        """Leave what `owner` holds to whoever looks next."""
        of_owner = sa.and_(tasks.c.lease_owner == owner, tasks.c.final.is_(False))
        await self._database.writer.count(sa.update(tasks).where(of_owner).values(lease_until=0.0))

    async def delete_older(self, *, than: float) -> int:
        """Delete finished tasks made before then, prompts included; how many there were.

        Of those that cost something, what they cost stays: time, provider, model and amount.
        """
        old = sa.and_(tasks.c.created_at < than, tasks.c.final.is_(True), tasks.c.request != "")
        is_paid = sa.or_(tasks.c.micro_credits > 0, tasks.c.micro_usd > 0)
        emptied = (
            sa.update(tasks)
            .where(old, is_paid)
            .values(
                request="", outcome="", prediction_id=None, wish=None, equal_call=None, relay_due=None, relay_host=None
            )
        )
        paid = await self._database.writer.count(emptied)
        return paid + await self._database.writer.count(sa.delete(tasks).where(old, ~is_paid))

    async def _read(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[Task]:
        with _told():
            rows = await self._database.reader.rows(statement, values)
        return [task for row in rows if (task := readable(row))]


@contextmanager
def _told() -> Iterator[None]:
    """A database that does not answer, in the caller's words."""
    try:
        yield
    except SQLAlchemyError as error:
        raise SetupError(
            f"The task database does not answer: {cause(error)}.",
            next_step="Call again in a moment; if it stays so, ask the person to look at the server's disk.",
        ) from error


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open the database, create or migrate its tables, close it at the end.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
    """
    async with open_database(url) as database:
        yield Store(database)


_JOINED = sa.text("equal_call = 'joins'")
"""In the words of its index: neither SQLite nor PostgreSQL knows it again in others."""
_DELIVERED = (
    sa.update(tasks)
    .where(tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.status == Status.SUCCEEDED.value, _JOINED)
    .values(equal_call=None)
)
_SPENT = [
    *(tasks.c.created_at, tasks.c.provider, tasks.c.model, tasks.c.micro_credits, tasks.c.micro_usd),
    *(tasks.c.cost_unit, tasks.c.cost_source, tasks.c.final, tasks.c.submission),
]
_SENT = {Submission.SENT.value, Submission.ACCEPTED.value}
_LOOKED_THROUGH = 1000
"""So many of a principal's tasks are looked through for a text: milliseconds."""
_NAMED = 100
"""So many of these may hold it: a text as short as the name of a host is in all of them."""
_TOGETHER = 512
"""So many tasks are named in one statement."""


_EQUAL = sa.and_(tasks.c.principal == sa.bindparam("new_principal"), tasks.c.wish == sa.bindparam("new_wish"))
_UNCLEAR = sa.and_(
    sa.text("equal_call = 'refused'"), tasks.c.updated_at > sa.bindparam("unclear_since", type_=sa.Float)
)
_EQUAL_JOINED = sa.select(*READ).where(_EQUAL, _JOINED)
_EQUAL_UNCLEAR = sa.select(*READ).where(_EQUAL, _UNCLEAR).order_by(tasks.c.updated_at.desc()).limit(1)
_NEW = sa.select(*(sa.bindparam(f"new_{column.name}", type_=column.type) for column in NEW)).where(
    ~sa.exists().where(_EQUAL, _JOINED), ~sa.exists().where(_EQUAL, _UNCLEAR)
)
"""A new row, unless an equal call makes none."""
_NAMES = [column.name for column in NEW]
_ADD = sa.insert(tasks).from_select(_NAMES, _NEW)
_HELD = sa.select(tasks.c.id).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.lease_owner == sa.bindparam("owner")
)
_GET = sa.select(*READ).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.principal == sa.bindparam("owner")
)
_SAVE = (
    sa.update(tasks)
    .where(
        tasks.c.id == sa.bindparam("task"),
        tasks.c.lease_owner == sa.bindparam("owner"),
        tasks.c.final.is_(False),
    )
    .values({name: sa.bindparam(f"new_{name}") for name in CHANGING if name != "equal_call"})
    # a task that nobody joins any more stays so: they join another one now
    .values(
        equal_call=sa.case(
            (sa.bindparam("new_equal_call", type_=sa.String) == EqualCall.JOINS.value, tasks.c.equal_call),
            else_=sa.bindparam("new_equal_call", type_=sa.String),
        )
    )
)


_UNFINISHED = sa.text("NOT final")
"""In the words of the index of unfinished tasks: neither SQLite nor PostgreSQL knows it again in others."""


_NEXT_EXPIRY = sa.select(sa.func.min(tasks.c.lease_until).label("expires_at")).where(
    _UNFINISHED,
    tasks.c.lease_until > sa.bindparam("after", type_=sa.Float),
    tasks.c.lease_owner != sa.bindparam("owner"),
)


def _rounded(ids: Sequence[str]) -> list[str]:
    """The same ids, the last one as often as makes their number a power of two.

    SQLite's driver keeps the last 128 statements by their text, and one for every number of ids would fill megabytes.
    """
    return [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]


def _spent(limit: Limit, task: Task) -> sa.ColumnElement[int]:
    """What counts against a limit already, in millionths."""
    counted = tasks.c.micro_credits if limit.unit == "credits" else _micro_usd(limit.credit_prices)
    query = sa.select(sa.func.coalesce(sa.func.sum(counted), 0)).where(
        tasks.c.created_at > limit.since(task.created_at), tasks.c.id != task.id
    )
    if limit.is_per_provider:
        query = query.where(tasks.c.provider == task.provider)
    return query.scalar_subquery()


def _micro_usd(credit_prices: CreditPrices) -> sa.ColumnElement[int]:
    """What a task counts in dollars, in millionths: credits where nothing is known in dollars and they have a price."""
    if not credit_prices:
        return tasks.c.micro_usd
    price = sa.case(*((tasks.c.provider == name, micro(price)) for name, price in credit_prices.items()), else_=0)
    return sa.case((tasks.c.micro_usd > 0, tasks.c.micro_usd), else_=tasks.c.micro_credits * price // MICRO)

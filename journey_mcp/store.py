"""Tasks in SQL: durable, shared by processes, one writer per task by lease. Knows neither providers nor MCP.

Every change is one statement, so no transaction is held over an await, and PostgreSQL runs the same.
A task is written only by the process that holds its lease, and a final one by nobody.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from journey_mcp.budgets import Limit
from journey_mcp.errors import Failure, SetupError
from journey_mcp.images import OutputImage
from journey_mcp.migrations import migrate, rests, tasks
from journey_mcp.requests import ImageRequest
from journey_mcp.tasks import Charges, Cost, Status, Submission, Task, Unit

_log = logging.getLogger(__name__)

_ANOTHER = "Set JOURNEY_MCP_DATA_DIR or JOURNEY_MCP_DATABASE_URL to a place that can be written."


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """A provider that refused lately, and is tried last until then."""

    provider: str
    base_url: str
    until: float
    """Seconds of the Unix epoch."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What one task counts."""

    at: float
    """Seconds of the Unix epoch."""
    provider: str
    model: str
    credits: Decimal
    usd: Decimal


class Store:
    """The tasks of one database, and which providers rest."""

    def __init__(self, engine: AsyncEngine, file: Path | None) -> None:
        self._engine = engine
        self._writer = _Line(engine, database := _Database(file))
        # finished tasks are read while somebody else holds the database's write lock
        self._reader = _Line(engine, database)

    async def open(self) -> None:
        """Connect, and create or migrate the tables."""
        await self._writer.execute(sa.select(sa.literal(1)))

    async def add(self, task: Task, *, owner: str, lease_until: float, limits: Sequence[Limit] = ()) -> bool:
        """Store a new task, held by `owner`. Durable on disk when this returns.

        False, and nothing is stored, when an equal wish of the principal's is kept, or the task's charges would
        pass one of the limits: looked at and stored in one statement, so that no other process comes between.
        """
        row = {**_to_row(task), "lease_owner": owner, "lease_until": lease_until}
        room = (
            _spent(limit, task) + _micro(task.charges, limit.unit) <= int(limit.amount * _MICRO) for limit in limits
        )
        statement = sa.insert(tasks).from_select(_NAMES, _NEW.where(*room)) if limits else _ADD
        try:
            added = await self._writer.execute(statement, {f"new_{name}": value for name, value in row.items()})
        except IntegrityError:
            return False  # another process stored the equal wish in this moment
        return added.rowcount == 1

    async def wished(self, *, principal: str, wish: str) -> Task | None:
        """The task that keeps this wish; `None` when there is none."""
        query = sa.select(*_READ).where(_is_wish(principal, wish))
        return next(iter(await self._read(query)), None)

    async def forget_wish(self, *, principal: str, wish: str) -> None:
        """An equal call shall make a new task."""
        await self._writer.execute(sa.update(tasks).where(_is_wish(principal, wish)).values(wish=None))

    async def delivered(self, ids: Sequence[str]) -> None:
        """Finished results have reached somebody: equal calls make new tasks from now on."""
        reached = sa.and_(tasks.c.id.in_(ids), tasks.c.status == Status.SUCCEEDED.value, tasks.c.wish.is_not(None))
        await self._writer.execute(sa.update(tasks).where(reached).values(wish=None))

    async def spendings(self, *, since: float, provider: str | None = None, but: str = "") -> list[Spending]:
        """What tasks made since then count, the oldest first; all but one if that is named."""
        query = sa.select(
            tasks.c.created_at, tasks.c.provider, tasks.c.model, tasks.c.micro_credits, tasks.c.micro_usd
        ).where(tasks.c.created_at > since, tasks.c.id != but, sa.or_(tasks.c.micro_credits > 0, tasks.c.micro_usd > 0))
        if provider is not None:
            query = query.where(tasks.c.provider == provider)
        rows = (await self._reader.execute(query.order_by(tasks.c.created_at))).mappings().all()
        return [
            Spending(
                at=row["created_at"],
                provider=row["provider"],
                model=row["model"],
                credits=Decimal(row["micro_credits"]) / _MICRO,
                usd=Decimal(row["micro_usd"]) / _MICRO,
            )
            for row in rows
        ]

    async def save(self, task: Task, *, owner: str) -> bool:
        """Store what became of a task. Durable on disk when this returns.

        False when `owner` does not hold it any more, or it is final already: then nothing was changed.
        """
        values = {f"new_{name}": value for name, value in _changing(task).items()}
        result = await self._writer.execute(_SAVE, {"task": task.id, "owner": owner, **values})
        return result.rowcount == 1

    async def get(self, ids: Sequence[str], *, principal: str) -> dict[str, Task]:
        """The principal's tasks among these ids."""
        found = await self._read(_GET, {"ids": list(ids), "owner": principal})
        return {task.id: task for task in found}

    async def find(self, task_id: str) -> Task | None:
        """The task of this id, whosever it is."""
        return next(iter(await self._read(sa.select(*_READ).where(tasks.c.id == task_id))), None)

    async def newest(self, *, principal: str, since: float, limit: int) -> list[Task]:
        """The principal's tasks made since then, the newest first."""
        query = (
            sa.select(*_READ)
            .where(tasks.c.principal == principal, tasks.c.created_at >= since)
            .order_by(tasks.c.created_at.desc(), tasks.c.id)
            .limit(limit)
        )
        return await self._read(query)

    async def running(self, *, provider: str, base_url: str, since: float) -> int:
        """How many unfinished tasks the provider may have, counting those that told something since then."""
        values = {"provider": provider, "base_url": base_url, "since": since}
        return int((await self._reader.execute(_RUNNING, values)).scalar_one())

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
        query = sa.select(*_READ, tasks.c.lease_owner).where(_UNFINISHED, tasks.c.lease_until < now, at_ours)
        rows = (await self._reader.execute(query)).mappings().all()
        return [(task, row["lease_owner"]) for row in rows if (task := _readable(row))]

    async def adopt(self, ids: Sequence[str], *, owner: str, lease_until: float, now: float) -> list[Task]:
        """Hold those of these tasks that are still unfinished and not renewed."""
        statement = (
            sa.update(tasks)
            .where(tasks.c.id.in_(ids), tasks.c.final.is_(False), tasks.c.lease_until < now)
            .values(lease_owner=owner, lease_until=lease_until)
            .returning(*_READ)
        )
        rows = (await self._writer.execute(statement)).mappings().all()
        return [task for row in rows if (task := _readable(row))]

    async def take(self, task_id: str, *, owner: str, lease_until: float) -> Task | None:
        """Hold an unfinished task, whoever held it; `None` when there is none."""
        statement = (
            sa.update(tasks)
            .where(tasks.c.id == task_id, tasks.c.final.is_(False))
            .values(lease_owner=owner, lease_until=lease_until)
            .returning(*_READ)
        )
        rows = (await self._writer.execute(statement)).mappings().all()
        return next((task for row in rows if (task := _readable(row))), None)

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
            kept.update((await self._writer.execute(statement)).scalars())
        return kept

    async def release(self, *, owner: str) -> None:
        """Leave what `owner` holds to whoever looks next."""
        of_owner = sa.and_(tasks.c.lease_owner == owner, tasks.c.final.is_(False))
        await self._writer.execute(sa.update(tasks).where(of_owner).values(lease_until=0.0))

    async def delete_older(self, *, than: float) -> int:
        """Delete finished tasks made before then, prompts included; how many there were.

        Of those that cost something, what they cost stays: time, provider, model and amount.
        """
        old = sa.and_(tasks.c.created_at < than, tasks.c.final.is_(True), tasks.c.request != "")
        is_paid = sa.or_(tasks.c.micro_credits > 0, tasks.c.micro_usd > 0)
        emptied = (
            sa.update(tasks)
            .where(old, is_paid)
            .values(request="", outcome="", prediction_id=None, wish=None, relay_due=None)
        )
        paid = (await self._writer.execute(emptied)).rowcount
        return paid + (await self._writer.execute(sa.delete(tasks).where(old, ~is_paid))).rowcount

    async def to_relay(self, *, now: float, again_at: float, limit: int) -> list[tuple[Task, int]]:
        """Ended tasks of which their callers' webhooks are to be told, each with how often that was tried before.

        They are the asking process's own until `again_at`: then the next one that looks gets them.
        """
        due = sa.select(tasks.c.id).where(tasks.c.relay_due <= now, tasks.c.final.is_(True)).limit(limit)
        query = sa.select(sa.literal(1)).where(due.exists())
        if not (await self._reader.execute(query)).first():
            return []  # without asking for the write lock
        statement = (
            sa.update(tasks)
            .where(tasks.c.id.in_(due), tasks.c.relay_due <= now)
            .values(relay_due=again_at)
            .returning(*_READ, tasks.c.relay_tries)
        )
        rows = (await self._writer.execute(statement)).mappings().all()
        return [(task, row["relay_tries"]) for row in rows if (task := _readable(row))]

    async def relayed(self, task_id: str) -> None:
        """The caller's webhook took the result, which has reached somebody with that."""
        told = sa.update(tasks).where(tasks.c.id == task_id).values(relay_due=None)
        await self._writer.execute(
            told.values(wish=sa.case((tasks.c.status == Status.SUCCEEDED.value, None), else_=tasks.c.wish))
        )

    async def relay_failed(self, task_id: str, again_at: float | None) -> None:
        """The caller's webhook did not take the result; `None` is for never again."""
        tried = sa.update(tasks).where(tasks.c.id == task_id)
        await self._writer.execute(tried.values(relay_due=again_at, relay_tries=tasks.c.relay_tries + 1))

    async def rest(self, rest: Rest) -> None:
        """Note, for every process, that a provider refused; or, with a time that is past, that it works again."""
        where = {"rests_provider": rest.provider, "rests_base_url": rest.base_url}
        values = {"new_until": rest.until, "new_reason": rest.reason}
        if (await self._writer.execute(_REST_AGAIN, {**where, **values})).rowcount:
            return
        try:
            await self._writer.execute(_REST, asdict(rest))
        except IntegrityError:
            # another process noted the same in this moment
            await self._writer.execute(_REST_AGAIN, {**where, **values})

    async def resting(self, *, now: float) -> dict[tuple[str, str], Rest]:
        """Who rests, by provider and base URL."""
        query = sa.select(rests).where(rests.c.until > now)
        try:
            rows = (await self._reader.execute(query)).mappings().all()
        except SQLAlchemyError:
            _log.exception("nobody can tell who rests; everybody is tried in the usual order")
            return {}
        return {(row["provider"], row["base_url"]): Rest(**row) for row in rows}

    async def close(self) -> None:
        """Let the database go."""
        with anyio.CancelScope(shield=True):
            await self._writer.close()
            await self._reader.close()
            await self._engine.dispose()

    async def _read(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[Task]:
        try:
            rows = (await self._reader.execute(statement, values)).mappings().all()
        except SQLAlchemyError as error:
            raise SetupError(
                f"The task database does not answer: {_cause(error)}.",
                next_step="Call again in a moment; if it stays so, ask the person to look at the server's disk.",
            ) from error
        return [task for row in rows if (task := _readable(row))]


class _Database:
    """The file behind the connections, which must stay the one that was opened.

    What is written into a deleted file, nobody ever sees; and opening a new one in its place is not safe while
    connections to the old one are open: SQLite would delete the new one's log with them.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._identity: tuple[int, int] | None = None

    def prepare(self) -> None:
        """Make the file, for its owner only, when it is not there."""
        if self._file is not None and self._identity is None:
            _make_private_file(self._file)
            self._identity = self._look()

    def check(self) -> None:
        """Refuse to go on with a file that was deleted or replaced.

        Raises:
            SetupError: says so.
        """
        if self._look() != self._identity:
            raise SetupError(
                f"The task database {self._file} was deleted or replaced while the server runs; nothing was sent.",
                next_step="Ask the person to restart the server: it then makes a new database.",
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            told = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return (told.st_dev, told.st_ino) if told else None


class _Line:
    """One connection, and one statement on it at a time.

    SQLite has one writer: who has to wait waits here, in order, and not inside of SQLite by sleeping.
    """

    def __init__(self, engine: AsyncEngine, database: "_Database") -> None:
        self._engine = engine
        self._database = database
        self._connected: AsyncConnection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Task[sa.CursorResult[Any]]] = set()

    async def execute(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> sa.CursorResult[Any]:
        """Run a statement; the first one, and the first after an error, on a new connection.

        Whoever is cancelled meanwhile leaves at once, and the statement is carried through all the same: one that
        is cut off leaves SQLAlchemy and its driver waiting for each other for ever.
        """
        running = asyncio.create_task(self._execute(statement, values))
        self._running.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    async def _execute(self, statement: sa.Executable, values: Mapping[str, Any] | None) -> sa.CursorResult[Any]:
        async with self._one_at_a_time:
            try:
                connection = self._connected or await self._connect()
                self._database.check()
                return await connection.execute(statement, values)
            except (SQLAlchemyError, SetupError):
                await self._disconnect()
                raise

    def _ended(self, running: asyncio.Task[sa.CursorResult[Any]]) -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # looked at, also when whoever asked has left

    async def _connect(self) -> AsyncConnection:
        self._database.prepare()
        self._database.check()
        self._connected = connection = await self._engine.connect()
        await migrate(connection)
        return connection

    async def close(self) -> None:
        """Let the connection go, after what is running on it."""
        async with self._one_at_a_time:
            await self._disconnect()

    async def _disconnect(self) -> None:
        connection, self._connected = self._connected, None
        if connection is not None:
            await connection.close()


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open the database, create or migrate its tables, close it at the end.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
    """
    try:
        engine = _new_engine(make_url(url))
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL is no database we can open: {_cause(error)}.", next_step=_ANOTHER
        ) from error
    store = Store(engine, _file_of(engine.url))
    try:
        try:
            await store.open()
        except (SQLAlchemyError, OSError) as error:
            where = engine.url.render_as_string(hide_password=True)
            raise SetupError(f"The database {where} cannot be opened: {_cause(error)}.", next_step=_ANOTHER) from error
        yield store
    finally:
        await store.close()


def _new_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,  # prompts are private: they do not belong into logs
        poolclass=sa.NullPool,  # the store keeps its connection itself
    )
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _file_of(url: URL) -> Path | None:
    """Where the tasks lie, when they lie in a file."""
    is_file = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return Path(str(url.database)) if is_file else None


def _make_private_file(file: Path) -> None:
    try:
        # prompts are private: only the person whose server this is may read them
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT, 0o600))
    except OSError as error:
        raise SetupError(
            f"The database {file} cannot be made: {error.strerror}.",
            next_step=_ANOTHER,
        ) from error


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
        # FULL: a task that was answered for survives a lost machine, not only a killed process
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)


_NOT_READ = {"final", "lease_owner", "lease_until", "model", "relay_due", "relay_tries"}
_READ = [column for column in tasks.c if column.name not in _NOT_READ]
_CHANGING = (
    *("provider", "base_url", "updated_at", "status", "final", "submission", "prediction_id", "outcome"),
    *("micro_credits", "micro_usd", "wish"),
)
_TOGETHER = 512
"""So many tasks are named in one statement."""
_MICRO = 1_000_000
"""Money is kept in whole millionths, so that a database adds it without rounding."""
_NAMES = [column.name for column in tasks.c]
_NEW = sa.select(*(sa.bindparam(f"new_{column.name}", type_=column.type) for column in tasks.c)).where(
    ~sa.exists().where(tasks.c.principal == sa.bindparam("new_principal"), tasks.c.wish == sa.bindparam("new_wish"))
)
"""A new row, unless an equal wish is kept."""
_ADD = sa.insert(tasks).from_select(_NAMES, _NEW)
_GET = sa.select(*_READ).where(
    tasks.c.id.in_(sa.bindparam("ids", expanding=True)), tasks.c.principal == sa.bindparam("owner")
)
_SAVE = (
    sa.update(tasks)
    .where(
        tasks.c.id == sa.bindparam("task"),
        tasks.c.lease_owner == sa.bindparam("owner"),
        tasks.c.final.is_(False),
    )
    .values({name: sa.bindparam(f"new_{name}") for name in _CHANGING if name != "wish"})
    # a wish that was given up meanwhile stays so: another task may have it now
    .values(wish=sa.case((sa.bindparam("new_wish", type_=sa.String).is_(None), None), else_=tasks.c.wish))
)


_UNFINISHED = sa.text("NOT final")
"""In the words of the index of unfinished tasks: neither SQLite nor PostgreSQL knows it again in others."""
_RUNNING = (
    sa.select(sa.func.count())
    .select_from(tasks)
    .where(
        _UNFINISHED,
        tasks.c.provider == sa.bindparam("provider"),
        tasks.c.base_url == sa.bindparam("base_url"),
        tasks.c.submission.in_((Submission.SENT.value, Submission.ACCEPTED.value)),
        tasks.c.updated_at >= sa.bindparam("since"),
    )
)


_REST = sa.insert(rests)
_REST_AGAIN = (
    sa.update(rests)
    .where(
        rests.c.provider == sa.bindparam("rests_provider"),
        rests.c.base_url == sa.bindparam("rests_base_url"),
    )
    .values(until=sa.bindparam("new_until"), reason=sa.bindparam("new_reason"))
)


def _rounded(ids: Sequence[str]) -> list[str]:
    """The same ids, the last one as often as makes their number a power of two.

    SQLite's driver keeps the last 128 statements by their text, and one for every number of ids would fill megabytes.
    """
    return [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]


def _is_wish(principal: str, wish: str | None) -> sa.ColumnElement[bool]:
    return sa.and_(tasks.c.principal == principal, tasks.c.wish == wish)


def _spent(limit: Limit, task: Task) -> sa.ColumnElement[int]:
    """What counts against a limit already, in millionths."""
    column = tasks.c.micro_credits if limit.unit == "credits" else tasks.c.micro_usd
    query = sa.select(sa.func.coalesce(sa.func.sum(column), 0)).where(
        tasks.c.created_at > limit.since(task.created_at), tasks.c.id != task.id
    )
    if limit.is_per_provider:
        query = query.where(tasks.c.provider == task.provider)
    return query.scalar_subquery()


def _micro(charges: Charges, unit: Unit) -> int:
    return int(charges.get(unit, Decimal(0)) * _MICRO)


def _to_row(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "principal": task.principal,
        "created_at": task.created_at,
        "request": _dump(task.request.as_plain()),
        "model": task.request.model,
        "relay_due": None if task.request.webhook_url is None else 0.0,
        "relay_tries": 0,
        **_changing(task),
    }


def _changing(task: Task) -> dict[str, Any]:
    """The columns that a change of the task changes."""
    return {
        "provider": task.provider,
        "base_url": task.base_url,
        "updated_at": task.updated_at,
        "status": task.status.value,
        "final": task.status.is_final,
        "submission": task.submission.value,
        "prediction_id": task.prediction_id,
        "outcome": _dump(_outcome(task)),
        "micro_credits": _micro(task.charges, "credits"),
        "micro_usd": _micro(task.charges, "usd"),
        "wish": task.wish,
    }


def _outcome(task: Task) -> dict[str, Any]:
    """What became of the task, without what is not known."""
    plain = {
        "poll_url": task.poll_url,
        "webhook_secret": task.webhook_secret,
        "answer_by": task.answer_by,
        "progress": task.progress,
        "images": [_known(asdict(image)) for image in task.images],
        "grid_url": task.grid_url,
        "seed": task.seed,
        "cost": task.cost and {**asdict(task.cost), "amount": str(task.cost.amount)},
        "notices": list(task.notices),
        "passing": list(task.passing),
        "failure": task.failure and _known(asdict(task.failure)),
    }
    return {name: value for name, value in plain.items() if value not in (None, [])}


def _readable(row: Mapping[Any, Any]) -> Task | None:
    """The task of a row; one that a newer version wrote in a way we do not know keeps nobody from the others."""
    if not row["request"]:
        return None  # deleted, but for what it cost
    try:
        return _from_row(row)
    except (ValueError, TypeError, KeyError):
        _log.exception("task %s in the store cannot be read", row["id"])
        return None


def _from_row(row: Mapping[Any, Any]) -> Task:
    outcome = json.loads(row["outcome"])
    cost, failure = outcome.get("cost"), outcome.get("failure")
    return Task(
        id=row["id"],
        principal=row["principal"],
        request=ImageRequest.from_plain(json.loads(row["request"])),
        provider=row["provider"],
        base_url=row["base_url"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        status=Status(row["status"]),
        submission=Submission(row["submission"]),
        prediction_id=row["prediction_id"],
        poll_url=outcome.get("poll_url"),
        webhook_secret=outcome.get("webhook_secret"),
        answer_by=outcome.get("answer_by"),
        progress=outcome.get("progress"),
        images=tuple(OutputImage(**image) for image in outcome.get("images", ())),
        grid_url=outcome.get("grid_url"),
        seed=outcome.get("seed"),
        cost=Cost(**{**cost, "amount": Decimal(cost["amount"])}) if cost else None,
        notices=tuple(outcome.get("notices", ())),
        passing=tuple(outcome.get("passing", ())),
        failure=Failure(**failure) if failure else None,
        charges=_read_charges(row),
        wish=row["wish"],
    )


def _read_charges(row: Mapping[Any, Any]) -> Charges:
    millionths: dict[Unit, int] = {"credits": row["micro_credits"], "usd": row["micro_usd"]}
    return {unit: Decimal(count) / _MICRO for unit, count in millionths.items() if count}


def _known(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if value is not None}


def _dump(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))

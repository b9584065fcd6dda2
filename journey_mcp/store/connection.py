"""Connections with their threads, and what it needs to know of the kind of database."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import anyio
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from journey_mcp.core.errors import JourneyError, StoreUnavailable
from journey_mcp.core.next_steps import NextStep
from journey_mcp.core.serial_thread import SerialThread
from journey_mcp.store.migrations import check_version
from journey_mcp.store.prepared import Prepared

_Result = TypeVar("_Result")

_QUICK_S = 0.001
"""How long a statement may block the event loop; on a fast disk a commit takes a quarter of that."""


class Conflict(StoreUnavailable):
    """Another process stored a row that excludes this one."""


class Interrupted(StoreUnavailable):
    """The connection was lost: perhaps the statement was executed."""


class Backend(Protocol):
    """What is particular to a kind of database. Methods run in the threads of connections."""

    engine: sa.Engine
    lock_wait_s: float
    """How long a statement waits for a lock of another process."""
    next_step: str | NextStep | None
    """What helps when the database does not answer; `None` for the standard text."""

    def prepare(self) -> None:
        """Do what must be done before a connection is opened."""
        ...

    def enter(self, connection: sa.Connection) -> None:
        """Set up a new connection; the first one creates or migrates the tables."""
        ...

    def count_at_once(self, connection: sa.Connection, statement: Prepared, values: Mapping[str, Any]) -> int | None:
        """Run a statement and return how many rows it changed; `None` if it had to wait, or failed: nothing changed."""
        ...

    def check(self, connection: sa.Connection) -> bool:
        """Return, before a statement, whether the connection can be used; else a new one is.

        Raises:
            StoreUnavailable: the database was deleted, emptied or replaced; names it.
        """
        ...

    def exclusive(self, connection: sa.Connection, locks: Collection[str]) -> AbstractContextManager[None]:
        """Let no other process run a block with one of these locks at the same time; the block runs one statement."""
        ...

    def is_transient(self, error: Exception) -> bool:
        """Return whether the same statement may succeed later."""
        ...

    def may_have_executed(self, error: Exception) -> bool:
        """Return whether the connection was lost, so that it is unknown whether the statement was executed."""
        ...

    def cannot_be_opened(self, error: Exception) -> JourneyError:
        """Return the error for a database that cannot be opened."""
        ...


class Connections(Protocol):
    """Execution of statements: on one connection, or on the next free one of several."""

    async def rows(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[sa.RowMapping]:
        """Run a statement and return its rows; the first one, and the first after an error, on a new connection.

        A cancelled caller returns at once; the statement completes all the same.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        ...

    async def count(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement without rows in the same way; return how many rows it created or changed."""
        ...

    async def exclusively(
        self, locks: Collection[str], statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None
    ) -> int:
        """Do as `count`, but no other process runs a statement with one of these locks at the same time.

        So a statement that counts rows sees all those that were stored under the same lock.
        """
        ...

    async def open(self) -> None:
        """Connect now.

        Raises:
            SQLAlchemyError: the database cannot be opened.
        """
        ...

    async def close(self) -> None:
        """Close after the statements that wait; they have as long as one statement waits for a lock."""
        ...


class Connection:
    """One connection with its thread, which runs one statement at a time.

    SQLite has one writer: statements wait here, in order, and not inside SQLite, which sleeps. A statement costs one
    hop to the thread and back, whatever the driver does there. Where this process executes statements itself, and the
    last one was quick, a prepared one runs in the event loop: on a fast disk that takes less than the hop.
    """

    def __init__(self, backend: Backend, *, quick_s: float = _QUICK_S) -> None:
        """Take a backend, and how many seconds a statement may have taken for the next one to run in the event loop."""
        self._backend = backend
        self._quick_s = quick_s
        self._last_took_s = math.inf
        self._connected: sa.Connection | None = None
        self._ends_at = math.inf
        self._thread = SerialThread("journey-mcp-store")

    @property
    def pending(self) -> int:
        """The number of statements that run or wait."""
        return self._thread.pending

    async def rows(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[sa.RowMapping]:
        """Run a statement and return its rows."""
        return await self._thread.call(lambda: self._execute(statement, values, _all_rows))

    async def count(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement without rows."""
        if isinstance(statement, Prepared) and (changed := self._count_at_once(statement, values)) is not None:
            return changed
        return await self._thread.call(lambda: self._execute(statement, values, _row_count))

    async def exclusively(
        self, locks: Collection[str], statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None
    ) -> int:
        """Run a statement without rows under locks."""
        return await self._thread.call(lambda: self._execute(statement, values, _row_count, locks))

    async def open(self) -> None:
        """Connect now."""
        await self._thread.call(self._open)

    async def close(self) -> None:
        """Close the connection."""
        self._ends_at = time.monotonic() + self._backend.lock_wait_s
        try:
            await self._thread.call(self._disconnect)
        finally:
            self._thread.stop()

    def _count_at_once(self, statement: Prepared, values: Mapping[str, Any] | None) -> int | None:
        """Run a statement in the event loop; return `None` if it did not run: the thread can wait, and says why."""
        connection = self._connected
        if connection is None or self._last_took_s > self._quick_s or self.pending:
            return None
        return self._measured(lambda: self._backend.count_at_once(connection, statement, values or {}))

    def _measured(self, run: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        result = run()
        self._last_took_s = time.perf_counter() - start
        return result

    def _execute(
        self,
        statement: sa.Executable | Prepared,
        values: Mapping[str, Any] | None,
        read: Callable[[sa.CursorResult[Any]], _Result],
        locks: Collection[str] = (),
    ) -> _Result:
        if time.monotonic() > self._ends_at:
            raise StoreUnavailable("The task database did not answer until the server ended.")
        is_sent = False
        try:
            connection = self._connected or self._connect()
            if not self._backend.check(connection):
                self._disconnect()
                connection = self._connect()
            is_sent = True
            if not locks:
                return self._measured(lambda: read(_run(connection, statement, values)))
            with self._backend.exclusive(connection, locks):
                return read(_run(connection, statement, values))
        except IntegrityError as error:
            raise Conflict(f"The task database refuses a row: {cause(error)}.") from error
        except SQLAlchemyError as error:
            failure = self._failure(error, is_sent=is_sent)
            # kept after a `StoreUnavailable`: with the last connection SQLite writes its log into the file that is
            # there and deletes it, and a file that is put back needs it
            self._disconnect()
            raise failure from error

    def _failure(self, error: SQLAlchemyError, *, is_sent: bool) -> StoreUnavailable:
        try:
            if self._connected is not None and not self._backend.is_transient(error):
                check_version(self._connected)
        except StoreUnavailable as newer:
            return newer
        except SQLAlchemyError:
            pass  # the first error says more
        kind = Interrupted if is_sent and self._backend.may_have_executed(error) else StoreUnavailable
        return kind(f"The task database does not answer: {cause(error)}.", next_step=self._backend.next_step)

    def _open(self) -> None:
        try:
            self._connect()
        except SQLAlchemyError:
            self._disconnect()
            raise

    def _connect(self) -> sa.Connection:
        self._backend.prepare()
        self._connected = connection = self._backend.engine.connect()
        self._backend.enter(connection)
        return connection

    def _disconnect(self) -> None:
        connection, self._connected = self._connected, None
        if connection is not None:
            connection.close()


class Pool:
    """Several connections: a statement that waits for a lock, or for the network, delays no other one."""

    def __init__(self, connections: Sequence[Connection], *, repeats: bool = False) -> None:
        """Take connections; with `repeats`, all statements only read, and run again if a connection was lost."""
        self._connections = connections
        self._repeats = repeats
        self._free = anyio.Semaphore(len(connections), fast_acquire=True)
        # the others are for statements that do not wait for a lock of this kind, such as those that renew leases
        self._free_for_locks = anyio.Semaphore(max(1, len(connections) // 2), fast_acquire=True)

    async def rows(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[sa.RowMapping]:
        """Run a statement and return its rows."""
        async with self._free:
            try:
                return await self._idle().rows(statement, values)
            except Interrupted:
                if not self._repeats:
                    raise
                return await self._idle().rows(statement, values)

    async def count(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement without rows."""
        async with self._free:
            return await self._idle().count(statement, values)

    async def exclusively(
        self, locks: Collection[str], statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None
    ) -> int:
        """Run a statement without rows under locks."""
        async with self._free_for_locks, self._free:
            return await self._idle().exclusively(locks, statement, values)

    async def open(self) -> None:
        """Connect once; the other connections are opened when they are needed."""
        await self._connections[0].open()

    async def close(self) -> None:
        """Close all connections."""
        async with anyio.create_task_group() as group:
            for connection in self._connections:
                group.start_soon(connection.close)

    def _idle(self) -> Connection:
        """Return the connection with the fewest statements: none, unless that of a cancelled caller still runs."""
        return min(self._connections, key=attrgetter("pending"))


def _run(
    connection: sa.Connection, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None
) -> sa.CursorResult[Any]:
    if isinstance(statement, Prepared):
        return statement.execute(connection, values or {})
    return connection.execute(statement, values)


def _all_rows(result: sa.CursorResult[Any]) -> list[sa.RowMapping]:
    return list(result.mappings())


def _row_count(result: sa.CursorResult[Any]) -> int:
    return result.rowcount


def cause(error: Exception) -> str:
    """Return what the database reported, in one line without hints."""
    original = getattr(error, "orig", None) or error
    if message := getattr(getattr(original, "diag", None), "message_primary", None):
        return str(message)
    # the hints of PostgreSQL's library are indented
    lines = [line.rstrip(" .") for line in str(original).splitlines() if not line.startswith("\t")]
    return "; ".join(filter(None, lines))

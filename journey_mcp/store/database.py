"""The database: one connection that writes and one that reads, opened when they are first needed."""

import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from journey_mcp.core.errors import JourneyError, SetupError, StoreUnavailable
from journey_mcp.core.serial_thread import SerialThread
from journey_mcp.store.address import file_of, parse, without_password
from journey_mcp.store.migrations import check_version, identity_of, migrate
from journey_mcp.store.prepared import Prepared

_LOCK_WAIT_S = 10.0
"""How long a statement waits for a lock of another process, unless the URL says `?timeout=`."""

_LONGEST_LOCK_WAIT_S = 3600.0

_Result = TypeVar("_Result")

_ELSEWHERE = "Set JOURNEY_MCP_DATA_DIR or JOURNEY_MCP_DATABASE_URL to a place that can be written."

_REPLACE = (
    "Put a copy of it in its place, or move it away together with the files -wal and -shm beside it: "
    "then a new one is created. Or set JOURNEY_MCP_DATA_DIR or JOURNEY_MCP_DATABASE_URL to another place."
)

_FOUND_IN = "journey_mcp.found_in"
"""The key of a connection's info: the state of the file at the last check of the identity, which is slower than a
small write."""


class Database:
    """The two connections to one database."""

    def __init__(self, engine: sa.Engine, original: "_Original", *, lock_wait_s: float) -> None:
        self._engine = engine
        self.writer = Connection(engine, original, lock_wait_s=lock_wait_s)
        # finished tasks are read while another process holds the database's write lock
        self.reader = Connection(engine, original, lock_wait_s=lock_wait_s)

    async def close(self) -> None:
        """Close both connections."""
        with anyio.CancelScope(shield=True):
            await self.writer.close()
            await self.reader.close()
            self._engine.dispose()


class _Original:
    """The file and the identity of the database that was opened first: every connection must be to this one.

    No process ever reads what is written into a deleted file, and an emptied or replaced one knows neither the running
    tasks nor what was spent. This process creates nothing in its place.
    """

    def __init__(self, url: URL, file: Path | None, now: Callable[[], float]) -> None:
        self._now = now
        self._name = str(file or without_password(url))
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self._file = file
        self._inode: tuple[int, int] | None = None
        self._identity: str | None = None

    def prepare(self) -> None:
        """Create the file, readable by its owner only, if this process has not seen it yet."""
        if self._file is not None and self._inode is None:
            _make_private_file(self._file)
            self._inode = _inode_of(self._stat())
        self._check_file()

    def enter(self, connection: sa.Connection) -> None:
        """Set up a new connection; the first one creates or migrates the tables."""
        if self._identity is None:
            if self._is_sqlite:
                # it lasts for all connections of all processes; it changes the file, so no other file may get it
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            migrate(connection, self._now())
            self._identity = identity_of(connection)
        self.check(connection)

    def check(self, connection: sa.Connection) -> None:
        """Verify that the database was not deleted, emptied or replaced.

        Raises:
            StoreUnavailable: names the database.
        """
        state = self._state(connection, self._check_file())
        if state == connection.info.get(_FOUND_IN):
            return
        try:
            if self._is_sqlite:
                # SQLite's cached pages say nothing about a file that another program has overwritten
                connection.exec_driver_sql("PRAGMA shrink_memory")
            found = identity_of(connection)
        except SQLAlchemyError as error:
            if not _is_unreadable(error):
                raise
            raise self._replaced(f" ({cause(error)})") from error
        if found != self._identity:
            raise self._replaced()
        connection.info[_FOUND_IN] = state

    def _state(self, connection: sa.Connection, file: os.stat_result | None) -> object:
        """Return a value that changes with every commit of another connection and every other change of the file.

        Where that cannot be seen, it equals no other value.
        """
        if file is None:
            return object()
        try:
            driver: Any = connection.connection.driver_connection
            (others_commits,) = driver.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return object()
        return file.st_size, file.st_mtime_ns, file.st_ctime_ns, others_commits

    def _check_file(self) -> os.stat_result | None:
        file = self._stat()
        if _inode_of(file) != self._inode:
            raise self._replaced()
        return file

    def _replaced(self, why: str = "") -> StoreUnavailable:
        return StoreUnavailable(
            f"The task database {self._name} was deleted or replaced{why} while the server runs.",
            next_step="Ask the person to put it back, or to restart the server, which then uses the file there.",
        )

    def _stat(self) -> os.stat_result | None:
        try:
            return self._file.stat() if self._file is not None else None
        except OSError:
            return None


def _inode_of(file: os.stat_result | None) -> tuple[int, int] | None:
    return (file.st_dev, file.st_ino) if file else None


class Conflict(StoreUnavailable):
    """Another process stored a row that excludes this one."""


class Connection:
    """One connection with its thread, which runs one statement at a time.

    SQLite has one writer: statements wait here, in order, and not inside SQLite, which sleeps. A statement costs one
    hop to the thread and back, whatever the driver does there.
    """

    def __init__(self, engine: sa.Engine, original: "_Original", *, lock_wait_s: float) -> None:
        self._engine = engine
        self._lock_wait_s = lock_wait_s
        self._original = original
        self._connected: sa.Connection | None = None
        self._ends_at = math.inf
        self._thread = SerialThread("journey-mcp-store")

    async def rows(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[sa.RowMapping]:
        """Run a statement and return its rows; the first one, and the first after an error, on a new connection.

        A cancelled caller returns at once; the statement completes all the same.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        return await self._thread.call(lambda: self._execute(statement, values, _all_rows))

    async def count(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement without rows in the same way; return how many rows it created or changed."""
        return await self._thread.call(lambda: self._execute(statement, values, _row_count))

    async def open(self) -> None:
        """Connect now.

        Raises:
            SQLAlchemyError: the database cannot be opened.
        """
        await self._thread.call(self._open)

    async def close(self) -> None:
        """Close the connection after the statements that wait; they have as long as one statement waits for a lock."""
        self._ends_at = time.monotonic() + self._lock_wait_s
        try:
            await self._thread.call(self._disconnect)
        finally:
            self._thread.stop()

    def _execute(
        self,
        statement: sa.Executable | Prepared,
        values: Mapping[str, Any] | None,
        read: Callable[[sa.CursorResult[Any]], _Result],
    ) -> _Result:
        if time.monotonic() > self._ends_at:
            raise StoreUnavailable("The task database did not answer until the server ended.")
        try:
            connection = self._connected or self._connect()
            self._original.check(connection)
            if isinstance(statement, Prepared):
                return read(statement.execute(connection, values or {}))
            return read(connection.execute(statement, values))
        except IntegrityError as error:
            self._disconnect()
            raise Conflict(f"The task database refuses a row: {cause(error)}.") from error
        except SQLAlchemyError as error:
            failure = self._failure(error)
            # kept after a `StoreUnavailable`: with the last connection SQLite writes its log into the file that is
            # there and deletes it, and a file that is put back needs it
            self._disconnect()
            raise failure from error

    def _failure(self, error: SQLAlchemyError) -> StoreUnavailable:
        try:
            if self._connected is not None and not _is_transient(error):
                check_version(self._connected)
        except StoreUnavailable as newer:
            return newer
        except SQLAlchemyError:
            pass  # the first error says more
        return StoreUnavailable(f"The task database does not answer: {cause(error)}.")

    def _open(self) -> None:
        try:
            self._connect()
        except SQLAlchemyError:
            self._disconnect()
            raise

    def _connect(self) -> sa.Connection:
        self._original.prepare()
        self._connected = connection = self._engine.connect()
        self._original.enter(connection)
        return connection

    def _disconnect(self) -> None:
        connection, self._connected = self._connected, None
        if connection is not None:
            connection.close()


def _all_rows(result: sa.CursorResult[Any]) -> list[sa.RowMapping]:
    return list(result.mappings())


def _row_count(result: sa.CursorResult[Any]) -> int:
    return result.rowcount


@asynccontextmanager
async def open_database(url: str, now: Callable[[], float]) -> AsyncIterator[Database]:
    """Open a database, create or migrate its tables, close it at the end.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
        StoreUnavailable: it cannot be opened now, or an older server has unfinished tasks in it.
    """
    try:
        address = parse(url)
        lock_wait_s = float(str(address.query.get("timeout", _LOCK_WAIT_S)))
        if not 0 <= lock_wait_s <= _LONGEST_LOCK_WAIT_S:
            raise ValueError(f"timeout={lock_wait_s:g} must be 0 to {_LONGEST_LOCK_WAIT_S:g} seconds")  # noqa: TRY301
        engine = _new_engine(address, lock_wait_s)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL is not a database that can be opened: {cause(error)}.", next_step=_ELSEWHERE
        ) from error
    if engine.dialect.is_async:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL names an asynchronous driver, {engine.dialect.driver}.",
            next_step="Name a plain one, as in sqlite:////folder/tasks.db.",
        )
    database = Database(engine, _Original(engine.url, file_of(engine.url), now), lock_wait_s=lock_wait_s)
    try:
        try:
            for connection in (database.writer, database.reader):
                # both now: a new connection would change a file that is emptied later
                await connection.open()
        except (SQLAlchemyError, OSError) as error:
            raise _cannot_be_opened(without_password(address), error) from error
        yield database
    finally:
        await database.close()


def _cannot_be_opened(where: str, error: Exception) -> JourneyError:
    problem = f"The database {where} cannot be opened: {cause(error)}."
    if _is_transient(error):
        return StoreUnavailable(problem)
    return SetupError(problem, next_step=_REPLACE if _is_unreadable(error) else _ELSEWHERE)


def _new_engine(url: URL, lock_wait_s: float) -> sa.Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite:
        url = url.update_query_dict({"timeout": f"{lock_wait_s:g}"})
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,  # prompts are private: logs must not have them
        execution_options={"preserve_rowcount": True},  # also of an INSERT, with every driver
        poolclass=sa.NullPool,  # the store keeps its connection itself
    )
    if is_sqlite:
        sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _make_private_file(file: Path) -> None:
    try:
        # prompts are private: only the person who runs the server may read them
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT, 0o600))
    except OSError as error:
        raise SetupError(
            f"The database {file} cannot be created: {error.strerror}.",
            next_step=_ELSEWHERE,
        ) from error


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # a task that a client knows survives a power failure, not only a killed process
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _is_unreadable(error: Exception) -> bool:
    """Return whether SQLite finds no database in the file, or a broken one; not for a lock, or an unreachable one."""
    return type(error) is sa.exc.DatabaseError


def _is_transient(error: Exception) -> bool:
    """Return whether SQLite finds the database locked, or the disk full."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL}


def cause(error: Exception) -> str:
    """Return what the database reported."""
    return str(getattr(error, "orig", None) or error)

"""A connection with its thread, and what it needs to know of the kind of database."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.serial_thread import SerialThread
from journey_mcp.store.migrations import check_version
from journey_mcp.store.prepared import Prepared

_Result = TypeVar("_Result")


class Conflict(StoreUnavailable):
    """Another process stored a row that excludes this one."""


class Backend(Protocol):
    """What is particular to a kind of database. Methods run in the threads of connections."""

    engine: sa.Engine
    lock_wait_s: float
    """How long a statement waits for a lock of another process."""

    def prepare(self) -> None:
        """Do what must be done before a connection is opened."""
        ...

    def enter(self, connection: sa.Connection) -> None:
        """Set up a new connection; the first one creates or migrates the tables."""
        ...

    def check(self, connection: sa.Connection) -> None:
        """Verify before a statement that the database is the one that was opened.

        Raises:
            StoreUnavailable: it was deleted, emptied or replaced; names the database.
        """
        ...

    def is_transient(self, error: Exception) -> bool:
        """Return whether the same statement may succeed later."""
        ...


class Connection:
    """One connection with its thread, which runs one statement at a time.

    SQLite has one writer: statements wait here, in order, and not inside SQLite, which sleeps. A statement costs one
    hop to the thread and back, whatever the driver does there.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
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
        self._ends_at = time.monotonic() + self._backend.lock_wait_s
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
            self._backend.check(connection)
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
            if self._connected is not None and not self._backend.is_transient(error):
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
        self._backend.prepare()
        self._connected = connection = self._backend.engine.connect()
        self._backend.enter(connection)
        return connection

    def _disconnect(self) -> None:
        connection, self._connected = self._connected, None
        if connection is not None:
            connection.close()


def _all_rows(result: sa.CursorResult[Any]) -> list[sa.RowMapping]:
    return list(result.mappings())


def _row_count(result: sa.CursorResult[Any]) -> int:
    return result.rowcount


def cause(error: Exception) -> str:
    """Return what the database reported."""
    return str(getattr(error, "orig", None) or error)

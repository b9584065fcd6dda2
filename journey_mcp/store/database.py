"""The database: connections that write and connections that read."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.errors import SetupError
from journey_mcp.store.address import parse
from journey_mcp.store.connection import Backend, Connection, Connections, Pool, cause
from journey_mcp.store.notifications import NoNotifications, Notifications, PostgresqlNotifications
from journey_mcp.store.postgresql import Postgresql
from journey_mcp.store.sqlite import Sqlite
from journey_mcp.store.times import Timeline

_WRITERS, _READERS = 4, 2
"""How many connections a process has to PostgreSQL: a commit costs a round trip, and several share one."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """The connections to one database."""

    backend: Backend
    writer: Connections
    reader: Connections
    timeline: Timeline
    notifications: Notifications
    has_locks: bool
    """Whether `exclusively` waits for other processes; else there is one writer, and any statement does."""

    async def open(self) -> None:
        """Connect now.

        Raises:
            SQLAlchemyError, OSError: the database cannot be opened.
        """
        await self.writer.open()
        await self.reader.open()

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self.writer.close()
            await self.reader.close()
            self.backend.engine.dispose()


@asynccontextmanager
async def open_database(url: str, now: Callable[[], float], listen_url: str | None) -> AsyncIterator[Database]:
    """Open a database, create or migrate its tables, close it at the end.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
        StoreUnavailable: it cannot be opened now, or an older server has unfinished tasks in it.
    """
    database = _new_database(url, now, listen_url)
    try:
        try:
            await database.open()
        except (SQLAlchemyError, OSError) as error:
            raise database.backend.cannot_be_opened(error) from error
        yield database
    finally:
        await database.close()


def _new_database(url: str, now: Callable[[], float], listen_url: str | None) -> Database:
    address = _address(url, "JOURNEY_MCP_DATABASE_URL")
    try:
        if address.get_backend_name() == "sqlite":
            return _on_sqlite(address, now)
        listen_at = _address(listen_url, "JOURNEY_MCP_DATABASE_LISTEN_URL") if listen_url else address
        return _on_postgresql(address, now, listen_at)
    except ImportError as error:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL names PostgreSQL, which needs an extra of journey-mcp: {error}.",
            next_step="Run pip install 'journey-mcp[postgres]', and start the server again.",
        ) from error
    except (SQLAlchemyError, ValueError) as error:
        raise _wrong("JOURNEY_MCP_DATABASE_URL", error) from error


def _address(url: str, variable: str) -> URL:
    try:
        address = parse(url)
        if address.drivername not in _DRIVERS:
            names = ", ".join(f"{driver}://" for driver in _DRIVERS)
            raise ValueError(f"{address.drivername}:// must be one of {names}")  # noqa: TRY301
    except (SQLAlchemyError, ValueError) as error:
        raise _wrong(variable, error) from error
    return address


def _wrong(variable: str, error: Exception) -> SetupError:
    return SetupError(
        f"{variable} is not a database that can be opened: {cause(error)}.",
        next_step=f"Correct {variable}, as in sqlite:////folder/tasks.db or postgresql://user@host/database.",
    )


def _on_sqlite(address: URL, now: Callable[[], float]) -> Database:
    backend = Sqlite(address, now)
    return Database(
        backend=backend,
        writer=Connection(backend),
        # finished tasks are read while another process holds the database's write lock
        reader=Connection(backend),
        timeline=Timeline(now, has_own_clock=False),
        notifications=NoNotifications(),
        has_locks=False,
    )


def _on_postgresql(address: URL, now: Callable[[], float], listen_at: URL) -> Database:
    backend = Postgresql(address, now)
    writer = Pool([Connection(backend) for _ in range(_WRITERS)])
    return Database(
        backend=backend,
        writer=writer,
        reader=Pool([Connection(backend) for _ in range(_READERS)], repeats=True),
        timeline=Timeline(now, has_own_clock=True),
        notifications=PostgresqlNotifications(writer, partial(backend.connect_to, listen_at)),
        has_locks=True,
    )


_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")

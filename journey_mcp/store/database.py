"""The database: connections that write and connections that read."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.errors import SetupError
from journey_mcp.store.address import parse
from journey_mcp.store.connection import Backend, Connection, Connections, Pool, cause
from journey_mcp.store.postgresql import Postgresql
from journey_mcp.store.sqlite import ELSEWHERE, Sqlite
from journey_mcp.store.times import Timeline

_WRITERS, _READERS = 4, 2
"""How many connections a process has to PostgreSQL: a commit costs a round trip, and several share one."""


class Database:
    """The connections to one database."""

    def __init__(
        self, backend: Backend, writer: Connections, reader: Connections, timeline: Timeline, *, has_locks: bool
    ) -> None:
        self.backend = backend
        self.timeline = timeline
        self.writer = writer
        self.reader = reader
        self.has_locks = has_locks
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
async def open_database(url: str, now: Callable[[], float]) -> AsyncIterator[Database]:
    """Open a database, create or migrate its tables, close it at the end.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
        StoreUnavailable: it cannot be opened now, or an older server has unfinished tasks in it.
    """
    database = _new_database(url, now)
    try:
        try:
            await database.open()
        except (SQLAlchemyError, OSError) as error:
            raise database.backend.cannot_be_opened(error) from error
        yield database
    finally:
        await database.close()


def _new_database(url: str, now: Callable[[], float]) -> Database:
    try:
        address = parse(url)
        new = _KINDS.get(address.drivername)
        if new is None:
            raise ValueError(f"{address.drivername}:// must be one of {', '.join(f'{kind}://' for kind in _KINDS)}")  # noqa: TRY301
        return new(address, now)
    except ImportError as error:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL names PostgreSQL, which needs an extra of journey-mcp: {error}.",
            next_step="Run pip install 'journey-mcp[postgres]', and start the server again.",
        ) from error
    except (SQLAlchemyError, ValueError) as error:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL is not a database that can be opened: {cause(error)}.", next_step=ELSEWHERE
        ) from error


def _on_sqlite(address: URL, now: Callable[[], float]) -> Database:
    backend = Sqlite(address, now)
    # two: finished tasks are read while another process holds the database's write lock
    return Database(backend, Connection(backend), Connection(backend), Timeline(), has_locks=False)


def _on_postgresql(address: URL, now: Callable[[], float]) -> Database:
    backend = Postgresql(address, now)
    writers, readers = ([Connection(backend) for _ in range(count)] for count in (_WRITERS, _READERS))
    return Database(backend, Pool(writers), Pool(readers, repeats=True), Timeline(now), has_locks=True)


_KINDS = {
    "sqlite": _on_sqlite,
    "sqlite+pysqlite": _on_sqlite,
    "postgresql": _on_postgresql,
    "postgresql+psycopg": _on_postgresql,
}

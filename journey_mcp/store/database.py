"""The database: one connection that writes and one that reads, opened when they are first needed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.errors import SetupError
from journey_mcp.store.address import parse
from journey_mcp.store.connection import Backend, Connection, cause
from journey_mcp.store.sqlite import ELSEWHERE, Sqlite


class Database:
    """The two connections to one database."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.writer = Connection(backend)
        # finished tasks are read while another process holds the database's write lock
        self.reader = Connection(backend)

    async def open(self) -> None:
        """Connect now, because a new connection would change a file that is emptied later.

        Raises:
            SQLAlchemyError, OSError: the database cannot be opened.
        """
        for connection in (self.writer, self.reader):
            await connection.open()

    async def close(self) -> None:
        """Close both connections."""
        with anyio.CancelScope(shield=True):
            await self.writer.close()
            await self.reader.close()
            self._backend.engine.dispose()


@asynccontextmanager
async def open_database(url: str, now: Callable[[], float]) -> AsyncIterator[Database]:
    """Open a database, create or migrate its tables, close it at the end.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
        StoreUnavailable: it cannot be opened now, or an older server has unfinished tasks in it.
    """
    try:
        backend = Sqlite(parse(url), now)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise SetupError(
            f"JOURNEY_MCP_DATABASE_URL is not a database that can be opened: {cause(error)}.", next_step=ELSEWHERE
        ) from error
    database = Database(backend)
    try:
        try:
            await database.open()
        except (SQLAlchemyError, OSError) as error:
            raise backend.cannot_be_opened(error) from error
        yield database
    finally:
        await database.close()

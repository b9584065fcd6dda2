"""The task database: durable, shared by processes, one writer per task by lease. Knows neither providers nor MCP.

Every change is one statement, so no transaction is held over an await. SQLite and PostgreSQL run the same ones; only
`store/postgresql.py` and its like know which it is. Only the worker that holds a task's lease writes it, and nothing
writes a final task.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import sqlalchemy as sa

from journey_mcp.store.call_counts import CallCounts
from journey_mcp.store.cooldowns import CooldownTable
from journey_mcp.store.copies import CopyTable
from journey_mcp.store.database import Database, open_database
from journey_mcp.store.deduplication import Deduplication
from journey_mcp.store.leases import Leases
from journey_mcp.store.migrations import STEPS
from journey_mcp.store.objects import ObjectTable
from journey_mcp.store.outbox import Outbox
from journey_mcp.store.queue import QueueTable
from journey_mcp.store.spend import Spend
from journey_mcp.store.tasks import TaskTable
from journey_mcp.store.transfer import Transfer
from journey_mcp.store.uploads import UploadTable
from journey_mcp.store.workers import WorkerTable


class Store:
    """One database, by subject.

    Methods of its parts raise `StoreUnavailable` if the database does not answer, unless they say otherwise.
    """

    version = len(STEPS)
    """The version of its tables."""

    def __init__(self, database: Database) -> None:
        self.tasks = TaskTable(database)
        self.leases = Leases(database)
        self.deduplication = Deduplication(database)
        self.spend = Spend(database)
        self.queue = QueueTable(database)
        self.outbox = Outbox(database)
        self.cooldowns = CooldownTable(database)
        self.copies = CopyTable(database)
        self.uploads = UploadTable(database)
        self.call_counts = CallCounts(database)
        self.workers = WorkerTable(database)
        self.is_shared = database.has_locks
        """Whether servers of other machines may be on this database."""
        self.notifications = database.notifications
        self.objects = ObjectTable(database)
        self.transfer = Transfer(database)
        self._database = database

    async def ping(self) -> None:
        """Return when the database has answered."""
        await self._database.reader.rows(_PING)


_PING = sa.select(sa.literal(1))


@asynccontextmanager
async def open_store(
    url: str, now: Callable[[], float] = time.time, *, listen_url: str | None = None
) -> AsyncIterator[Store]:
    """Open the database, create or migrate its tables, close it at the end.

    `now` returns seconds of the Unix epoch: the clock of the times that the caller gives and gets. `listen_url` leads
    to the same database past a pool of connections, on which notifications cannot be received.

    Raises:
        SetupError: it cannot be opened; names the address without its password.
        StoreUnavailable: it cannot be opened now, or an older server has unfinished tasks in it.
    """
    async with open_database(url, now, listen_url) as database:
        yield Store(database)

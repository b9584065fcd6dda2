"""Notifications: which tasks have changed, sent to all processes on the database at once.

They are hints. One may be late or lost, so those who wait for a task also read it now and then.
"""

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import sqlalchemy as sa
from anyio import to_thread

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.store.connection import Connections

if TYPE_CHECKING:
    import psycopg

CHANNEL = "journey_tasks"
_CHECK_EVERY_S = 10.0
"""How often a connection on which nothing arrives is checked."""
_RECONNECT_S = 0.5
_RECEIVED_WITHIN_S = 2.0
"""How soon a new connection must receive its own notification: behind a pool of connections none arrives."""
_DEAF_S = 60.0
"""How long to wait before another one is tried after such a connection."""
_TEST = ""
_DEAF = (
    "notifications of other processes cannot be received, as behind PgBouncer, and changes are seen late; "
    "JOURNEY_MCP_DATABASE_LISTEN_URL can name the database itself"
)

_log = logging.getLogger(__name__)


class Notifications(Protocol):
    """Channel between the processes on the database, for the ids of tasks that have changed."""

    @property
    def is_live(self) -> bool:
        """Whether this process receives notifications of the others now."""
        ...

    async def notify(self, task_id: str) -> None:
        """Notify every process, this one included, of a change that is stored. It returns at once, and never raises.

        Nothing is sent while this process does not `run`.
        """
        ...

    async def send(self, task_ids: Collection[str]) -> None:
        """Notify every process of changes that are stored, before it returns. It never raises."""
        ...

    async def run(self, on_task: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        """Listen and send until cancelled; return at once if there are no notifications.

        Calls `on_task` with the id of each task that has changed, and `on_gap` when some may have been missed.
        """
        ...


class NoNotifications:
    """Those of SQLite, which has none."""

    is_live = False

    async def notify(self, task_id: str) -> None:
        """Do nothing."""

    async def send(self, task_ids: Collection[str]) -> None:
        """Do nothing."""

    async def run(self, on_task: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        """Return."""


class PostgresqlNotifications:
    """NOTIFY, sent by any connection, and LISTEN, on a connection of its own."""

    def __init__(self, writer: Connections, connect: "Callable[[], psycopg.Connection[Any]]") -> None:
        """Take what sends, and what opens the connection that listens.

        Behind a pool that gives every transaction another connection, nothing is received: `connect` must bypass it.
        """
        self._writer = writer
        self._connect = connect
        self._is_running = False
        self._changed: set[str] = set()
        self._has_changes = anyio.Event()
        self.is_live = False

    async def notify(self, task_id: str) -> None:
        """Notify every process of a change."""
        if self._is_running:
            self._changed.add(task_id)
            self._has_changes.set()

    async def send(self, task_ids: Collection[str]) -> None:
        """Notify every process of changes."""
        try:
            # not in the transaction that saves: there it waits for a lock of the whole server
            await self._writer.rows(_NOTIFY, {"channel": CHANNEL, "ids": list(task_ids)})
        except StoreUnavailable as error:
            _log.warning("other processes are not notified of %d changed tasks: %s", len(task_ids), error)

    async def run(self, on_task: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        """Listen and send until cancelled."""
        self._is_running = True
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._send)
                while True:
                    pause_s = await self._listen(on_task, on_gap)
                    await anyio.sleep(pause_s)
        finally:
            self._is_running = False

    async def _send(self) -> None:
        while True:
            await self._has_changes.wait()
            self._has_changes = anyio.Event()
            changed, self._changed = self._changed, set()
            await self.send(changed)

    async def _listen(self, on_task: Callable[[str], None], on_gap: Callable[[], None]) -> float:
        """Listen until the connection is lost; return the seconds after which to try again."""
        try:
            connection = await to_thread.run_sync(self._connect)
        except Exception as error:  # noqa: BLE001  # the driver is not imported here; whatever the cause, it is tried again
            _log.info("notifications of other processes cannot be received: %s", error)
            return _RECONNECT_S
        try:
            await _answered(connection, f"LISTEN {CHANNEL}")
            await self._writer.rows(_NOTIFY, {"channel": CHANNEL, "ids": [_TEST]})
            if not await _received(connection, _RECEIVED_WITHIN_S):
                _log.warning(_DEAF)
                return _DEAF_S
            self.is_live = True
            on_gap()  # what has changed before LISTEN was missed
            while True:
                for task_id in await _received(connection, _CHECK_EVERY_S):
                    if task_id != _TEST:
                        on_task(task_id)
        except Exception as error:  # noqa: BLE001  # as above
            _log.warning("notifications of other processes are not received until the connection is back: %s", error)
            return _RECONNECT_S
        finally:
            self.is_live = False
            connection.close()


async def _received(connection: "psycopg.Connection[Any]", seconds: float) -> list[str]:
    """Return what comes within this time, as soon as something comes; if nothing does, check the connection."""
    with anyio.move_on_after(seconds) as quiet:
        await anyio.wait_readable(connection.fileno())
    if quiet.cancelled_caught:
        await _answered(connection, "SELECT 1")
    return [notification.payload for notification in connection.notifies(timeout=0)]


async def _answered(connection: "psycopg.Connection[Any]", statement: str) -> None:
    await to_thread.run_sync(partial(connection.execute, statement), abandon_on_cancel=True)


_NOTIFY = sa.select(
    sa.func.pg_notify(sa.bindparam("channel"), sa.func.unnest(sa.bindparam("ids", type_=sa.ARRAY(sa.Text))))
)

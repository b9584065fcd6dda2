"""Notifications of changed tasks between processes, also when their connection is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from engine.test_archive import fill, task_id
from postgres import execute, running_server
from processes import TIMEOUT_S, in_thread

from journey_mcp.engine.purge import Purge, Selection
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import Store, open_store


class Received:
    """What one process has received."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self.gaps = 0

    def gap(self) -> None:
        """Count a gap."""
        self.gaps += 1

    async def until_task(self, task_id: str) -> None:
        """Wait until this change was received."""
        with anyio.fail_after(TIMEOUT_S):
            while task_id not in self.tasks:
                await anyio.sleep(0.005)

    async def until_gap(self, number: int) -> None:
        """Wait for the end of so many gaps."""
        with anyio.fail_after(TIMEOUT_S):
            while self.gaps < number:
                await anyio.sleep(0.005)


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[Received]:
    """Listen for as long as the block."""
    received = Received()
    async with anyio.create_task_group() as group:
        group.start_soon(store.notifications.run, received.tasks.append, received.gap)
        await received.until_gap(1)
        yield received
        group.cancel_scope.cancel()


async def test_every_process_is_notified_of_changed_tasks(url: str) -> None:
    """All of them, those that were sent at once too; each process also receives its own."""
    async with open_store(url) as store, open_store(url) as other, listening(store) as here, listening(other) as there:
        assert store.notifications.is_live
        for number in range(100):
            await store.notifications.notify(f"tsk_{number}")
        await other.notifications.notify("tsk_last")
        for received in (here, there):
            await received.until_task("tsk_last")
            await received.until_task("tsk_99")
            assert sorted(received.tasks) == sorted([*(f"tsk_{number}" for number in range(100)), "tsk_last"])
    assert not store.notifications.is_live


async def test_nothing_is_sent_by_a_process_that_does_not_listen(url: str) -> None:
    """A command that ends soon."""
    async with open_store(url) as store, open_store(url) as other, listening(other) as received:
        await store.notifications.notify("tsk_a")
        await other.notifications.notify("tsk_b")
        await received.until_task("tsk_b")
        assert received.tasks == ["tsk_b"]


async def test_a_command_notifies_of_the_tasks_that_it_deletes(url: str, tmp_path: Path) -> None:
    """Servers have them in memory."""
    async with open_store(url) as store, open_store(url) as other, listening(other) as received:
        await fill(store, images := ImageFolder(tmp_path))
        await Purge(store, images).run(Selection())
        for number in range(3):
            await received.until_task(task_id(number))


async def test_a_lost_connection_is_a_gap(url: str) -> None:
    """In which changes may have been missed; then notifications are received again."""
    async with open_store(url) as store, listening(store) as received:
        await in_thread(
            execute, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        await received.until_gap(2)
        await store.notifications.notify("tsk_a")
        await received.until_task("tsk_a")


async def test_notifications_outlive_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """What is sent meanwhile is lost: those who wait read their tasks after the gap."""
    with running_server("wheel") as server:
        async with open_store(server.new_database()) as store, listening(store) as received:
            caplog.set_level("INFO", "journey_mcp")
            await in_thread(server.stop)
            await store.notifications.notify("tsk_lost")
            with anyio.fail_after(TIMEOUT_S):
                while not all(
                    text in caplog.text for text in ("are not notified of 1 changed tasks", "cannot be received")
                ):
                    await anyio.sleep(0.01)
            assert not store.notifications.is_live
            await in_thread(server.start)
            await received.until_gap(2)
            await store.notifications.notify("tsk_a")
            await received.until_task("tsk_a")
            assert received.tasks == ["tsk_a"]

"""A database that does not answer: one error of the store, whatever the cause."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.store import Store, open_store
from journey_mcp.store.cooldowns import Cooldown
from store.examples import TASK


def url(folder: Path) -> str:
    """Return the address of a database in this folder, which waits for locks only briefly."""
    return f"sqlite:///{folder / 'tasks.db'}?timeout=0.05"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the write lock of the database."""
    with closing(sqlite3.connect(folder / "tasks.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full_at(pages: int) -> Iterator[None]:
    """Let every database that is opened meanwhile be full at so many pages."""

    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(sa.Engine, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", limit)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Fail every write beyond this size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def execute(folder: Path, statement: str) -> None:
    """Change the database as another program does."""
    with closing(sqlite3.connect(folder / "tasks.db")) as connection:
        connection.execute(statement)
        connection.commit()


async def each_write(store: Store) -> None:
    """Expect the same of every part that writes."""
    cooldown = Cooldown(provider="journeyapi", base_url="u", until=200.0, reason="r")
    for write in (
        store.tasks.add(replace(TASK, id="tsk_b"), worker_id="me", lease_until=200),
        store.tasks.save(TASK.sent(101), worker_id="me"),
        store.tasks.delete_older(than=101),
        store.leases.renew(["tsk_a"], worker_id="me", lease_until=300),
        store.leases.take_over("tsk_a", worker_id="me", lease_until=300),
        store.leases.release(worker_id="me"),
        store.deduplication.detach("tsk_a"),
        store.deduplication.acknowledge(["tsk_a"]),
        store.queue.enqueue((0, 100.0, "tsk_a"), "waiting"),
        store.outbox.failed("tsk_a", None),
        store.cooldowns.record(cooldown),
    ):
        with pytest.raises(StoreUnavailable, match="The task database does not answer") as raised:
            await write
        failure = raised.value.failure
        assert (failure.code, failure.retryable) == ("store_unavailable", True)
        assert "Call again" in (failure.next_step or "")


async def test_a_locked_database_is_unavailable_until_the_lock_is_gone(tmp_path: Path) -> None:
    """For writers; readers do not wait."""
    async with open_store(url(tmp_path)) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        with locked(tmp_path):
            await each_write(store)
            assert await store.tasks.find(TASK.id) == TASK
        assert await store.tasks.save(TASK.sent(101), worker_id="me")


async def test_a_database_that_is_locked_while_it_is_opened_is_unavailable(tmp_path: Path) -> None:
    """It is not a wrong setting."""
    (tmp_path / "tasks.db").touch()
    with locked(tmp_path), pytest.raises(StoreUnavailable, match="cannot be opened: database is locked"):
        async with open_store(url(tmp_path)):
            pass


async def test_a_full_disk_is_unavailable_and_keeps_what_is_stored(tmp_path: Path) -> None:
    """Tasks that need no room are stored all the same."""
    long = replace(TASK, id="tsk_long", request=replace(TASK.request, prompt="p" * 100_000))
    async with open_store(url(tmp_path)) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
    with full_at((tmp_path / "tasks.db").stat().st_size // 4096 + 2):
        async with open_store(url(tmp_path)) as store:
            with pytest.raises(StoreUnavailable, match="disk is full"):
                await store.tasks.add(long, worker_id="me", lease_until=200)
            assert await store.tasks.find(TASK.id) == TASK
            assert await store.tasks.save(TASK.sent(101), worker_id="me")


async def test_a_database_beside_which_there_is_no_room_is_unavailable(tmp_path: Path) -> None:
    """SQLite calls this an I/O error."""
    async with open_store(url(tmp_path)) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
    full = r"cannot be opened: disk I/O error \(is the disk full\?\)"
    with files_of_at_most(5000), pytest.raises(StoreUnavailable, match=full):
        async with open_store(url(tmp_path)):
            pass
    async with open_store(url(tmp_path)) as store:
        assert await store.tasks.find(TASK.id) == TASK


async def test_a_disk_that_is_full_while_the_tables_are_created_is_unavailable(tmp_path: Path) -> None:
    """What was created is undone."""
    with full_at(4), pytest.raises(StoreUnavailable, match="cannot be opened: database or disk is full"):
        async with open_store(url(tmp_path)):
            pass
    async with open_store(url(tmp_path)) as store:
        assert await store.tasks.add(TASK, worker_id="me", lease_until=200)


async def test_tables_that_another_program_has_changed_are_unavailable(tmp_path: Path) -> None:
    """For readers and writers."""
    async with open_store(url(tmp_path)) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        execute(tmp_path, "ALTER TABLE tasks RENAME TO hidden_tasks")
        execute(tmp_path, "ALTER TABLE cooldowns RENAME TO hidden_cooldowns")
        execute(tmp_path, "ALTER TABLE schema_version RENAME COLUMN version TO number")
        await each_write(store)
        for read in (
            store.tasks.get(["tsk_a"], principal="local"),
            store.tasks.newest(principal="local", since=0, limit=9),
            store.tasks.mentioning(["https://a.test"], principal="local"),
            store.leases.orphans(now=1, addresses=[]),
            store.leases.next_expiry(after=1, except_worker="me"),
            store.leases.held(["tsk_a"], worker_id="me"),
            store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0),
            store.spend.since(0),
            store.queue.running(provider="journeyapi", base_url="u", silent_since=0, now=1),
            store.outbox.next_due(),
        ):
            with pytest.raises(StoreUnavailable, match="does not answer: no such table"):
                await read

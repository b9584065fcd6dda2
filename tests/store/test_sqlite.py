"""What is particular to SQLite: its file, its locks, and its query plans."""

import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from support import explained, statements

from journey_mcp.core.errors import Failure, SetupError
from journey_mcp.core.limits import parse_limits
from journey_mcp.store import Store, open_store
from journey_mcp.store.cooldowns import Cooldown
from store.examples import TASK


def url(folder: Path) -> str:
    """Return the address of a database in this folder."""
    return f"sqlite:///{folder / 'data' / 'tasks.db'}"


@asynccontextmanager
async def store_in(folder: Path) -> AsyncIterator[Store]:
    """Open a store."""
    async with open_store(url(folder)) as store:
        yield store


async def test_a_limit_reads_what_callers_pay_from_an_index_of_its_own(tmp_path: Path) -> None:
    """It is empty where no caller has a key."""
    async with store_in(tmp_path) as store:
        with statements("INSERT INTO tasks") as seen:
            task = replace(TASK, charges={"credits": Decimal(4)})
            await store.tasks.add(task, worker_id="me", lease_until=200, limits=parse_limits("10credits/day"))
    ((statement, values),) = seen
    assert explained(tmp_path / "data", statement, values)[-1] == (
        "SEARCH tasks USING INDEX tasks_with_own_key (created_at>?)"
    )


async def test_reading_leases_reads_the_unfinished_tasks_only(tmp_path: Path) -> None:
    """Every process does so every six seconds at least, however many tasks there were."""
    async with store_in(tmp_path) as store:
        with statements("lease_until") as seen:
            await store.leases.orphans(now=1, addresses=[("journeyapi", "u")], with_own_keys=True)
            await store.leases.next_expiry(after=1, except_worker="me")
    plans = [explained(tmp_path / "data", statement, values) for statement, values in seen]
    assert plans == [
        ["SEARCH tasks USING INDEX tasks_unfinished (lease_until<?)"],
        ["SEARCH tasks USING INDEX tasks_unfinished (lease_until>?)"],
    ]


async def test_a_listing_reads_the_tasks_of_its_page_only(tmp_path: Path) -> None:
    """However many there are; what was spent is read from the index alone."""
    async with store_in(tmp_path) as store:
        with statements("FROM tasks") as seen:
            await store.tasks.newest(principal="local", limit=9)
            await store.tasks.newest(principal="local", limit=9, since=1, until=9, before=TASK, words=["kite"])
            await store.spend.by_provider(principal="local", since=1, except_provider="sandbox")
    page, search, spent = [explained(tmp_path / "data", statement, values) for statement, values in seen]
    assert page[0] == "SEARCH tasks USING INDEX tasks_listed (principal=? AND created_at>?)"
    assert search[0] == "SEARCH tasks USING INDEX tasks_listed (principal=? AND created_at>? AND created_at<?)"
    assert spent[0] == "SEARCH tasks USING COVERING INDEX tasks_spent (principal=? AND created_at>?)"


async def test_a_row_of_an_earlier_version_is_searched(tmp_path: Path) -> None:
    """It stores nothing for searches."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=1)
        with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
            connection.execute(
                """UPDATE tasks SET search = NULL, request = '{"tool":"imagine","prompt":"A Kite","model":"m"}'"""
            )
        connection.close()
        found = [
            [task.id for task in await store.tasks.newest(principal="local", limit=9, words=[word])]
            for word in ("kite", "boat")
        ]
        assert found == [["tsk_a"], []]


async def test_finding_the_tasks_that_refine_an_image_reads_no_others(tmp_path: Path) -> None:
    """However many tasks there are."""
    async with store_in(tmp_path) as store:
        with statements("tasks.parent = ") as seen:
            await store.tasks.refining("tsk_a.1", principal="me")
    ((statement, values),) = seen
    steps = explained(tmp_path / "data", statement, values)
    assert steps[0] == "SEARCH tasks USING INDEX tasks_by_parent (principal=? AND parent=?)"


async def test_a_connection_that_is_closed_waits_for_a_lock_once(tmp_path: Path) -> None:
    """However many statements are left behind: each would wait for itself."""
    with statements("SET duplicate_policy=?") as begun:
        async with open_store(f"{url(tmp_path)}?timeout=0.2") as store:
            await store.tasks.add(TASK, worker_id="me", lease_until=0)
            holder = sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as group:
                for _ in range(40):
                    group.start_soon(store.deduplication.detach, TASK.id)
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
    # the one that waits, and one that may begin in the moment in which the time is up
    assert 1 <= len(begun) <= 3
    holder.close()


async def test_a_row_that_cannot_be_read_does_not_block_the_others(tmp_path: Path) -> None:
    """A newer version may have written what this one does not know."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="gone", lease_until=1)
        await store.tasks.add(replace(TASK, id="tsk_b"), worker_id="gone", lease_until=1)
    with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
        connection.execute(
            """UPDATE tasks SET outcome = '{"failure": {"code": "c", "colour": "red"}}' WHERE id = 'tsk_a'"""
        )
    connection.close()
    async with store_in(tmp_path) as store:
        for limit in (1, 9):
            newest = await store.tasks.newest(principal="local", limit=limit)
            assert [task.id for task in newest] == ["tsk_b"]
        assert [task.id for task, _ in await store.leases.orphans(now=9, addresses=[("journeyapi", "u")])] == ["tsk_b"]


async def test_reads_go_on_while_another_process_holds_the_write_lock(tmp_path: Path) -> None:
    """A backup, or the shell of a person."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=0)
    holder = sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with store_in(tmp_path) as store:
        assert await store.tasks.get([TASK.id], principal="local") == {TASK.id: TASK}
    holder.close()


async def test_prompts_are_private(tmp_path: Path) -> None:
    """Only the owner may read the folder that the store creates."""
    async with store_in(tmp_path):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()} == {0o600}


@pytest.mark.parametrize("wrong", ["folder", "file", "dialect"])
async def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path, wrong: str) -> None:
    """With the setting to change."""
    (tmp_path / "occupied").write_text("x", encoding="utf-8")
    (tmp_path / "broken.db").write_bytes(b"this is not a database" * 100)
    addresses = {
        "folder": f"sqlite:///{tmp_path}/occupied/tasks.db",
        "file": f"sqlite:///{tmp_path}/broken.db",
        "dialect": "nosuch://host/db",
    }
    with pytest.raises(SetupError) as raised:
        async with open_store(addresses[wrong]):
            pass
    assert "JOURNEY_MCP_" in (raised.value.failure.next_step or "")


async def test_an_address_with_the_former_asynchronous_driver_still_opens(tmp_path: Path) -> None:
    """The driver that it names is not needed any more."""
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/tasks.db") as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=0)
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        assert await store.tasks.find(TASK.id) == TASK


async def test_what_only_orders_calls_is_empty_when_it_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Positions in a queue and cooldowns: a call goes on without them, and the log says so."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        await store.queue.enqueue((0, 100.0, TASK.id), "waiting")
        await store.cooldowns.record(Cooldown(provider="journeyapi", base_url="u", until=200, reason="r"))
        with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
            connection.execute("ALTER TABLE tasks RENAME TO hidden_tasks")
            connection.execute("ALTER TABLE cooldowns RENAME TO hidden_cooldowns")
        connection.close()
        assert await store.queue.positions([TASK.id], now=101) == {}
        assert await store.cooldowns.active(101) == {}
    assert "positions in the queue cannot be read" in caplog.text
    assert "cooldowns cannot be read" in caplog.text


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "3601", "soon"])
async def test_a_wait_for_a_lock_that_makes_no_sense_is_refused(tmp_path: Path, seconds: str) -> None:
    """With the setting to change."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_DATABASE_URL"):
        async with open_store(f"{url(tmp_path)}?timeout={seconds}"):
            pass


async def test_any_number_of_old_tasks_is_deleted(tmp_path: Path) -> None:
    """In statements of a thousand each: other processes get their turn between them."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK.failed(Failure(code="c", message="m"), 1), worker_id="me", lease_until=1)
        with closing(sqlite3.connect(tmp_path / "data" / "tasks.db")) as connection:
            id_, *rest = connection.execute("SELECT * FROM tasks").fetchone()
            rows = [(f"{id_}{number}", *rest) for number in range(1000)]
            connection.executemany(f"INSERT INTO tasks VALUES (?{',?' * len(rest)})", rows)
            connection.commit()
        with statements("DELETE FROM tasks") as seen:
            assert await store.tasks.delete_older(than=200.0) == 1001
        assert len(seen) == 3
        assert await store.tasks.newest(principal="local", limit=9) == []


async def test_a_worker_that_was_not_seen_for_a_day_is_forgotten(tmp_path: Path) -> None:
    """When the next one starts."""
    now = 0.0
    async with open_store(url(tmp_path), lambda: now) as store:
        await store.workers.beat("old")
        assert await store.workers.seen_at(["old"]) == {"old": 0.0}
        now = 90_000.0
        await store.workers.beat("new")
        assert await store.workers.seen_at(["old", "new"]) == {"new": now}


async def test_there_are_no_notifications(tmp_path: Path) -> None:
    """Those who wait for a task of another process read it."""
    received: list[str] = []
    async with store_in(tmp_path) as store:
        await store.notifications.notify("tsk_a")
        await store.notifications.send(["tsk_a"])
        await store.notifications.run(received.append, lambda: received.append("gap"))
        assert (store.notifications.is_live, received) == (False, [])

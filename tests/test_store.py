"""The store: what is kept, who may write, and how an older file is brought up."""

import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import explained, statements

from journey_mcp.errors import Failure, SetupError
from journey_mcp.images import OutputImage
from journey_mcp.requests import ImageRequest
from journey_mcp.store import Store, migrations, open_store
from journey_mcp.tasks import Cost, EqualCall, Status, Submission, Task, new_task_id

TASK = Task(
    id="tsk_a",
    principal="local",
    request=ImageRequest(tool="imagine", prompt="p", model="m"),
    provider="journeyapi",
    base_url="u",
    created_at=100.0,
    updated_at=100.0,
)


def url(folder: Path) -> str:
    """A database in this folder."""
    return f"sqlite:///{folder / 'data' / 'tasks.db'}"


@asynccontextmanager
async def store_in(folder: Path) -> AsyncIterator[Store]:
    """An open store."""
    async with open_store(url(folder)) as store:
        yield store


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
tasks = st.builds(
    Task,
    id=st.just(""),
    principal=st.just("local"),
    request=st.builds(
        ImageRequest,
        tool=st.sampled_from(["imagine", "edit_image"]),
        prompt=texts,
        model=texts,
        image=st.none() | texts.filter(bool),
        reference_images=st.lists(texts, max_size=3).map(tuple),
        seed=st.none() | st.integers(-(2**40), 2**40),
    ),
    provider=texts,
    base_url=texts,
    created_at=st.floats(0, 2e9),
    updated_at=st.floats(0, 2e9),
    status=st.sampled_from(Status),
    submission=st.sampled_from(Submission),
    prediction_id=st.none() | texts,
    progress=st.none() | st.floats(0, 1),
    images=st.lists(
        st.builds(
            OutputImage, url=texts, width=st.none() | st.integers(1, 9999), expires_at=st.none() | st.floats(0, 2e9)
        ),
        max_size=4,
    ).map(tuple),
    seed=st.none() | texts.filter(bool),
    cost=st.none()
    | st.builds(
        Cost,
        amount=st.decimals(0, 1000, places=4),
        unit=st.sampled_from(["credits", "usd"]),
        source=st.sampled_from(["registry", "provider"]),
    ),
    notices=st.lists(texts, max_size=2).map(tuple),
    failure=st.none() | st.builds(Failure, code=texts, message=texts, retry_after_s=st.none() | st.floats(0, 600)),
)


@given(task=tasks)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_what_is_stored_is_what_is_read(tmp_path: Path, task: Task) -> None:
    """Every field, whatever is in it."""
    task = replace(task, id=new_task_id())
    async with store_in(tmp_path) as store:
        await store.add(task, owner="me", lease_until=0)
    async with store_in(tmp_path) as store:
        assert await store.get([task.id], principal="local") == {task.id: task}


async def test_only_the_holder_writes_and_nobody_changes_a_final_task(tmp_path: Path) -> None:
    """The store says which write counted."""
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="me", lease_until=200)
        running = TASK.sent(101)
        assert await store.save(running, owner="me")
        assert not await store.save(running, owner="somebody else")
        final = running.failed(Failure(code="c", message="m"), 102)
        assert await store.save(final, owner="me")
        assert not await store.save(running, owner="me")
        assert await store.get([TASK.id], principal="local") == {TASK.id: final}


async def test_an_end_that_is_unclear_is_told_whoever_was_joined_meanwhile(tmp_path: Path) -> None:
    """A fresh twin took the equal calls over while the first one was running."""
    first, twin = (replace(TASK, id=id_, wish="w", equal_call=EqualCall.JOINS) for id_ in ("tsk_a", "tsk_b"))
    async with store_in(tmp_path) as store:
        await store.add(first, owner="me", lease_until=200)
        assert not await store.add(twin, owner="me", lease_until=200)
        await store.part(first.id)
        assert await store.add(twin, owner="me", lease_until=200)
        ended = first.sent(101).failed(Failure(code="submission_unconfirmed", message="m"), 102)
        assert await store.save(ended, owner="me")
        assert await store.equal(principal="local", wish="w", unclear_since=0) == twin
        await store.part(twin.id)
        assert await store.equal(principal="local", wish="w", unclear_since=101) == ended
        assert await store.equal(principal="local", wish="w", unclear_since=102) is None
        third = replace(twin, id="tsk_c")
        assert not await store.add(third, owner="me", lease_until=200, unclear_since=101)
        assert await store.add(third, owner="me", lease_until=200, unclear_since=102)


async def test_leases_are_taken_over_when_their_holder_is_gone(tmp_path: Path) -> None:
    """By one process only, where the task was made, never while renewed."""
    here: list[tuple[str, str | None]] = [("journeyapi", "u")]
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="gone", lease_until=200)
        assert await store.orphans(now=199, addresses=here) == []
        assert await store.renew([TASK.id, "other"], owner="gone", lease_until=210) == {TASK.id}
        assert await store.renew([TASK.id], owner="somebody else", lease_until=999) == set()
        assert await store.orphans(now=205, addresses=here) == []
        assert await store.orphans(now=211, addresses=[("journeyapi", "other")]) == []
        assert await store.orphans(now=211, addresses=[]) == []
        assert await store.orphans(now=211, addresses=[("journeyapi", None)]) == [(TASK, "gone")]
        assert await store.orphans(now=211, addresses=here) == [(TASK, "gone")]
        assert await store.adopt([TASK.id], owner="b", lease_until=300, now=211) == [TASK]
        assert await store.adopt([TASK.id], owner="c", lease_until=300, now=211) == []
        await store.release(owner="b")
        assert await store.adopt([TASK.id], owner="c", lease_until=300, now=211) == [TASK]


async def test_looking_for_orphans_reads_the_unfinished_tasks_only(tmp_path: Path) -> None:
    """Every process does so every two seconds, however many tasks there were."""
    async with store_in(tmp_path) as store:
        with statements("lease_until") as seen:
            await store.orphans(now=1, addresses=[("journeyapi", "u")])
    ((statement, values),) = seen
    told = explained(tmp_path / "data", statement, values)
    assert told == ["SEARCH tasks USING INDEX tasks_unfinished (lease_until<?)"]


async def test_a_row_that_cannot_be_read_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    """A newer version may have written what we do not know."""
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="gone", lease_until=1)
        await store.add(replace(TASK, id="tsk_b"), owner="gone", lease_until=1)
    with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
        connection.execute(
            """UPDATE tasks SET outcome = '{"failure": {"code": "c", "colour": "red"}}' WHERE id = 'tsk_a'"""
        )
    connection.close()
    async with store_in(tmp_path) as store:
        assert [task.id for task in await store.newest(principal="local", since=0, limit=9)] == ["tsk_b"]
        assert [task.id for task, _ in await store.orphans(now=9, addresses=[("journeyapi", "u")])] == ["tsk_b"]


async def test_reading_goes_on_while_somebody_holds_the_write_lock(tmp_path: Path) -> None:
    """A backup, or a curious person's shell."""
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="me", lease_until=0)
    holder = sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with store_in(tmp_path) as store:
        assert await store.get([TASK.id], principal="local") == {TASK.id: TASK}
    holder.close()


async def test_a_store_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """With what to do."""
    async with store_in(tmp_path) as store:
        with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
            connection.execute("DROP TABLE tasks")
        connection.close()
        with pytest.raises(SetupError, match="does not answer"):
            await store.get(["tsk_a"], principal="local")


async def test_the_newest_come_first_and_old_ones_go(tmp_path: Path) -> None:
    """By the time they were made."""
    async with store_in(tmp_path) as store:
        ended = TASK.failed(Failure(code="c", message="m"), 1)
        for number in range(5):
            await store.add(replace(ended, id=f"t{number}", created_at=float(number)), owner="me", lease_until=0)
        await store.add(replace(TASK, id="running", created_at=0.5), owner="me", lease_until=0)
        newest = await store.newest(principal="local", since=1.0, limit=3)
        assert [task.id for task in newest] == ["t4", "t3", "t2"]
        assert await store.delete_older(than=3.0) == 3
        left = await store.newest(principal="local", since=0, limit=9)
        assert [task.id for task in left] == ["t4", "t3", "running"]


async def test_prompts_are_private(tmp_path: Path) -> None:
    """Only the owner may look into the folder that we make."""
    async with store_in(tmp_path):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()} == {0o600}


@pytest.mark.parametrize("wrong", ["folder", "file", "dialect"])
async def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path, wrong: str) -> None:
    """With the setting to change."""
    (tmp_path / "occupied").write_text("x", encoding="utf-8")
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    addresses = {
        "folder": f"sqlite:///{tmp_path}/occupied/tasks.db",
        "file": f"sqlite:///{tmp_path}/broken.db",
        "dialect": "nosuch://host/db",
    }
    with pytest.raises(SetupError) as raised:
        async with open_store(addresses[wrong]):
            pass
    assert "JOURNEY_MCP_" in (raised.value.failure.next_step or "")


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """Its tables may mean something else."""
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="me", lease_until=0)
    with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    connection.close()
    with pytest.raises(SetupError, match="version 99"):
        async with store_in(tmp_path):
            pass


def shape(engine: sa.Engine, table: str) -> tuple[dict[str, Any], list[Any]]:
    """Columns and indexes, as far as the databases tell them alike."""
    inspector = sa.inspect(engine)
    columns = {c["name"]: c["nullable"] for c in inspector.get_columns(table)}
    return columns, sorted((i["name"] or "", i["column_names"]) for i in inspector.get_indexes(table))


async def test_the_steps_lead_to_the_tables_that_the_code_names(tmp_path: Path) -> None:
    """Columns and indexes of a migrated file equal those of the metadata."""
    async with store_in(tmp_path):
        pass
    fresh = sa.create_engine(f"sqlite:///{tmp_path}/fresh.db")
    migrations.metadata.create_all(fresh)
    migrated = sa.create_engine(f"sqlite:///{tmp_path}/data/tasks.db")
    for table in migrations.metadata.tables:
        assert shape(fresh, table) == shape(migrated, table)
    fresh.dispose()
    migrated.dispose()


OLD = """INSERT INTO tasks (id, principal, provider, base_url, created_at, updated_at, status, final, submission,
    prediction_id, lease_owner, lease_until, request, outcome, model, micro_credits, micro_usd, wish, relay_tries)
    VALUES (?, 'local', 'journeyapi', 'u', 100.0, 101.0, ?, 1, ?, NULL, 'gone', 0.0,
    '{"tool": "imagine", "prompt": "p", "model": "m"}', ?, 'm', 4000000, 100000, ?, 0)"""
"""A row of the time before an equal call had a state of its own, and costs a unit."""


async def test_a_file_of_an_earlier_version_keeps_what_it_says(tmp_path: Path) -> None:
    """Which calls are joined, which are refused, and what of the amounts is known."""
    (tmp_path / "data").mkdir()
    engine = sa.create_engine(url(tmp_path))
    with engine.begin() as connection:
        for step in migrations.STEPS[:4]:
            step(connection)
        connection.exec_driver_sql("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO schema_version VALUES (4)")
        told = '{"cost": {"amount": "4", "unit": "credits", "source": "registry"}}'
        for row in (
            ("tsk_a", "succeeded", "accepted", told, "joined"),
            ("tsk_b", "failed", "sent", '{"failure": {"code": "c", "message": "m"}}', "unclear"),
            ("tsk_c", "failed", "accepted", "", None),
            ("tsk_d", "failed", "accepted", '{"cost": "4"}', None),
        ):
            connection.exec_driver_sql(OLD, row)
    engine.dispose()
    async with store_in(tmp_path) as store:
        joined = await store.equal(principal="local", wish="joined", unclear_since=0)
        unclear = await store.equal(principal="local", wish="unclear", unclear_since=0)
        assert [task and (task.id, task.equal_call) for task in (joined, unclear)] == [
            ("tsk_a", EqualCall.JOINS),
            ("tsk_b", EqualCall.REFUSED),
        ]
        units = [(one.unit, one.is_told, one.is_unclear) for one in await store.spendings(since=0)]
        assert units == [("credits", False, False), (None, False, True), *[(None, False, False)] * 2]


async def test_an_address_of_the_asynchronous_time_still_opens(tmp_path: Path) -> None:
    """The driver that it names is not needed any more; of another database's it is said."""
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/tasks.db") as store:
        await store.add(TASK, owner="me", lease_until=0)
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        assert await store.find(TASK.id) == TASK


async def test_a_connection_that_is_closed_waits_for_a_lock_once(tmp_path: Path) -> None:
    """However many statements are left behind: each would wait for itself."""
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="me", lease_until=0)
        holder = sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with anyio.move_on_after(0.1):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(store.part, TASK.id)
        began = time.monotonic()
    assert time.monotonic() - began < 25
    holder.close()


async def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """All or nothing."""
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
        connection.execute("CREATE TABLE tasks (something_else TEXT)")
    connection.close()
    with pytest.raises(SetupError, match="already exists"):
        async with store_in(tmp_path):
            pass
    engine = sa.create_engine(url(tmp_path))
    names = sa.inspect(engine).get_table_names()
    engine.dispose()
    assert names == ["tasks"]


@pytest.mark.parametrize("count", [1, 2, 3, 511, 512, 513, 1100])
async def test_any_number_of_leases_is_renewed(tmp_path: Path, count: int) -> None:
    """In statements of few different lengths; what is somebody else's is not."""
    async with store_in(tmp_path) as store:
        await store.add(TASK, owner="me", lease_until=1.0)
        ids = [f"tsk_{number}" for number in range(count - 1)] + [TASK.id]
        assert await store.renew(ids, owner="me", lease_until=2.0) == {TASK.id}
        assert await store.renew(ids, owner="another", lease_until=3.0) == set()
        assert await store.renew([], owner="me", lease_until=3.0) == set()

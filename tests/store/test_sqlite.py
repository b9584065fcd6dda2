"""What is particular to SQLite: its file, its locks, its query plans, and files of earlier versions."""

import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from support import database_of_version, explained, statements

from journey_mcp.core.errors import SetupError
from journey_mcp.core.money import Cost
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import DuplicatePolicy, Task
from journey_mcp.store import Store, open_store, schema
from journey_mcp.store.cooldowns import Cooldown

TASK = Task(
    id="tsk_a",
    principal=LOCAL,
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


async def test_looking_at_leases_reads_the_unfinished_tasks_only(tmp_path: Path) -> None:
    """Every process does so every six seconds at least, however many tasks there were."""
    async with store_in(tmp_path) as store:
        with statements("lease_until") as seen:
            await store.leases.orphans(now=1, addresses=[("journeyapi", "u")])
            await store.leases.next_expiry(after=1, except_worker="me")
    plans = [explained(tmp_path / "data", statement, values) for statement, values in seen]
    assert plans == [
        ["SEARCH tasks USING INDEX tasks_unfinished (lease_until<?)"],
        ["SEARCH tasks USING INDEX tasks_unfinished (lease_until>?)"],
    ]


async def test_a_connection_that_is_closed_waits_for_a_lock_once(tmp_path: Path) -> None:
    """However many statements are left behind: each would wait for itself."""
    with statements("SET equal_call=?") as begun:
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


async def test_a_row_that_cannot_be_read_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    """A newer version may have written what we do not know."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="gone", lease_until=1)
        await store.tasks.add(replace(TASK, id="tsk_b"), worker_id="gone", lease_until=1)
    with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
        connection.execute(
            """UPDATE tasks SET outcome = '{"failure": {"code": "c", "colour": "red"}}' WHERE id = 'tsk_a'"""
        )
    connection.close()
    async with store_in(tmp_path) as store:
        assert [task.id for task in await store.tasks.newest(principal="local", since=0, limit=9)] == ["tsk_b"]
        assert [task.id for task, _ in await store.leases.orphans(now=9, addresses=[("journeyapi", "u")])] == ["tsk_b"]


async def test_reading_goes_on_while_somebody_holds_the_write_lock(tmp_path: Path) -> None:
    """A backup, or a curious person's shell."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=0)
    holder = sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with store_in(tmp_path) as store:
        assert await store.tasks.get([TASK.id], principal="local") == {TASK.id: TASK}
    holder.close()


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
        await store.tasks.add(TASK, worker_id="me", lease_until=0)
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
    schema.metadata.create_all(fresh)
    migrated = sa.create_engine(f"sqlite:///{tmp_path}/data/tasks.db")
    for table in schema.metadata.tables:
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
    with database_of_version(tmp_path / "data" / "tasks.db", 4) as connection:
        told = '{"cost": {"amount": "4", "unit": "credits", "source": "registry"}}'
        for row in (
            ("tsk_a", "succeeded", "accepted", told, "joined"),
            ("tsk_b", "failed", "sent", '{"failure": {"code": "c", "message": "m"}}', "unclear"),
            ("tsk_c", "failed", "accepted", "", None),
            ("tsk_d", "failed", "accepted", '{"cost": "4"}', None),
        ):
            connection.exec_driver_sql(OLD, row)
    async with store_in(tmp_path) as store:
        joined = await store.deduplication.find(principal="local", deduplication_key="joined", unclear_since=0)
        unclear = await store.deduplication.find(principal="local", deduplication_key="unclear", unclear_since=0)
        assert [task and (task.id, task.duplicate_policy) for task in (joined, unclear)] == [
            ("tsk_a", DuplicatePolicy.JOIN),
            ("tsk_b", DuplicatePolicy.REJECT),
        ]
        units = [(one.unit, one.is_told, one.is_unclear) for one in await store.spend.since(0)]
        assert units == [("credits", False, False), (None, False, True), *[(None, False, False)] * 2]


async def test_a_webhook_of_a_file_of_version_9_is_due_at_its_host(tmp_path: Path) -> None:
    """One whose address cannot be read keeps nobody from the others."""
    request = '{"tool": "imagine", "prompt": "p", "model": "m", "webhook_url": %s}'
    with database_of_version(tmp_path / "data" / "tasks.db", 9) as connection:
        for id_, address in (("tsk_a", '"https://A.test/x"'), ("tsk_b", '"https://b.test/x"'), ("tsk_c", "7")):
            connection.exec_driver_sql(BEFORE_UNITS, (id_, "journeyapi", "{}", 0, 0, None))
            connection.exec_driver_sql(
                "UPDATE tasks SET relay_due = 0, request = ? WHERE id = ?", (request % address, id_)
            )
    async with store_in(tmp_path) as store:
        due = await store.outbox.due(now=1, again_at=60, limit=9, except_hosts=["a.test", ""])
        assert [task.id for task, _ in due] == ["tsk_b"]
        due = await store.outbox.due(now=1, again_at=60, limit=9, except_hosts=[""])
        assert [task.id for task, _ in due] == ["tsk_a"]


async def test_passwords_in_addresses_of_an_earlier_version_are_taken_out(tmp_path: Path) -> None:
    """The same tasks are found at the same address."""
    with database_of_version(tmp_path / "data" / "tasks.db", 7) as connection:
        for id_, address in (("tsk_a", "https://kim:p@ss@host/api"), ("tsk_b", "https://host/@api")):
            row = (id_, "failed", "accepted", "{}", None)
            connection.exec_driver_sql(OLD.replace("'u'", f"'{address}'"), row)
        connection.exec_driver_sql("INSERT INTO rests VALUES ('bfl', 'https://kim:p@ss@host', 1.0, 'r')")
    async with store_in(tmp_path) as store:
        tasks = await store.tasks.get(["tsk_a", "tsk_b"], principal="local")
        assert [task.base_url for task in tasks.values()] == ["https://host/api", "https://host/@api"]
        assert await store.cooldowns.active(0.0) == {}


async def test_an_address_of_the_asynchronous_time_still_opens(tmp_path: Path) -> None:
    """The driver that it names is not needed any more; of another database's it is said."""
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/tasks.db") as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=0)
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        assert await store.tasks.find(TASK.id) == TASK


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


async def test_what_only_orders_calls_is_empty_when_it_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Places in a queue and cooldowns: a call goes on without them, and the log says so."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        await store.queue.enqueue((0, 100.0, TASK.id), "waits")
        await store.cooldowns.record(Cooldown(provider="journeyapi", base_url="u", until=200, reason="r"))
        with sqlite3.connect(tmp_path / "data" / "tasks.db") as connection:
            connection.execute("ALTER TABLE tasks RENAME TO hidden_tasks")
            connection.execute("ALTER TABLE rests RENAME TO hidden_rests")
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


BEFORE_UNITS = """INSERT INTO tasks (id, principal, provider, base_url, created_at, updated_at, status, final,
    submission, prediction_id, lease_owner, lease_until, request, outcome, model, micro_credits, micro_usd, cost_unit,
    cost_source, relay_tries) VALUES (?, 'local', ?, 'u', 100.0, 101.0, 'succeeded', 1, 'accepted',
    'p', 'gone', 0.0, '{"tool": "imagine", "prompt": "p", "model": "m"}', ?, 'm', ?, ?, ?, 'provider', 0)"""
"""A row of version 7: every task counts in both units, and Black Forest Labs tells credits."""


async def test_a_file_of_version_7_counts_in_the_units_that_providers_charge_in(tmp_path: Path) -> None:
    """Once each; what Black Forest Labs told in credits is dollars, in the task too."""
    told = '{"seed":"é","cost":{"amount":"%s","unit":"%s","source":"provider"}}'
    with database_of_version(tmp_path / "data" / "tasks.db", 7) as connection:
        for row in (
            ("tsk_a", "journeyapi", told % ("4", "credits"), 4_000_000, 100_000, "credits"),
            ("tsk_b", "bfl", told % ("4.5", "credits"), 4_500_000, 40_000, "credits"),
            ("tsk_c", "bfl", told % ("0.04", "usd"), 8_000_000, 40_000, "usd"),
            ("tsk_d", "bfl", "{}", 8_000_000, 100_000, None),
            ("tsk_e", "bfl", "", 7_000_000, 40_000, "credits"),  # deleted, but for what it cost
            ("tsk_f", "bfl", '{"cost": "credits"}', 0, 0, None),
            ("tsk_g", "vtrix", told % ("0.04", "usd"), 8_000_000, 40_000, "usd"),
            ("tsk_h", "replicate", "{}", 8_000_000, 100_000, None),
            ("tsk_i", "journeyapi", "{}", 8_000_000, 100_000, None),
        ):
            connection.exec_driver_sql(BEFORE_UNITS, row)
    async with store_in(tmp_path) as store:
        counted = [
            (one.unit, *(f"{amount.normalize():f} {unit}" for unit, amount in one.counted.items()))
            for one in await store.spend.since(0)
        ]
        costs = {id_: task.cost for id_, task in (await store.tasks.get(["tsk_a", "tsk_b"], principal="local")).items()}
    assert counted == [
        ("credits", "4 credits"),
        ("usd", "0.045 usd"),
        ("usd", "0.04 usd"),
        (None, "0.1 usd"),
        ("usd", "0.07 usd"),
        (None,),
        ("usd", "0.04 usd"),
        (None, "8 credits", "0.1 usd"),
        (None, "8 credits"),
    ]
    assert costs == {
        "tsk_a": Cost(amount=Decimal(4), unit="credits", source="provider"),
        "tsk_b": Cost(amount=Decimal("0.045"), unit="usd", source="provider"),
    }

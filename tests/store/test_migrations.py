"""Files of earlier versions: what they say stays, and a server that may still need them is waited for."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support import database_of_version

from journey_mcp.core.errors import SetupError, StoreUnavailable
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import DuplicatePolicy, Submission
from journey_mcp.core.worker_id import new_worker_id
from journey_mcp.store import Store, open_store, schema
from journey_mcp.store.cooldowns import Cooldown
from store.examples import TASK


def url(folder: Path) -> str:
    """Return the address of a database in this folder."""
    return f"sqlite:///{folder / 'data' / 'tasks.db'}"


@asynccontextmanager
async def store_in(folder: Path, now: float = 0.0) -> AsyncIterator[Store]:
    """Open a store when the calendar shows `now`."""
    async with open_store(url(folder), lambda: now) as store:
        yield store


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
"""A row of the versions in which duplicate calls had no policy and costs had no unit."""


async def test_a_file_of_an_earlier_version_keeps_what_it_says(tmp_path: Path) -> None:
    """Which calls are joined, which are rejected, and what is known of the amounts."""
    with database_of_version(tmp_path / "data" / "tasks.db", 4) as connection:
        priced = '{"cost": {"amount": "4", "unit": "credits", "source": "registry"}}'
        for row in (
            ("tsk_a", "succeeded", "accepted", priced, "joined"),
            ("tsk_b", "failed", "sent", '{"failure": {"code": "c", "message": "m"}}', "unclear"),
            ("tsk_c", "failed", "accepted", "", None),
            ("tsk_d", "failed", "accepted", '{"cost": "4"}', None),
        ):
            connection.exec_driver_sql(OLD, row)
    async with store_in(tmp_path) as store:
        joined = await store.deduplication.find(principal="local", deduplication_key="joined", unconfirmed_since=0)
        unclear = await store.deduplication.find(principal="local", deduplication_key="unclear", unconfirmed_since=0)
        assert [task and (task.id, task.duplicate_policy) for task in (joined, unclear)] == [
            ("tsk_a", DuplicatePolicy.JOIN),
            ("tsk_b", DuplicatePolicy.REJECT),
        ]
        units = [(one.unit, one.is_reported, one.is_unconfirmed) for one in await store.spend.since(0)]
        assert units == [("credits", False, False), (None, False, True), *[(None, False, False)] * 2]


async def test_a_webhook_of_a_file_of_version_9_is_due_at_its_host(tmp_path: Path) -> None:
    """One whose address cannot be read does not block the others."""
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


async def test_passwords_in_addresses_of_an_earlier_version_are_removed(tmp_path: Path) -> None:
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


async def test_a_task_of_an_earlier_version_refines_nothing(tmp_path: Path) -> None:
    """Its kind is its model."""
    with database_of_version(tmp_path / "data" / "tasks.db", 11) as connection:
        connection.exec_driver_sql(OLD, ("tsk_a", "succeeded", "accepted", "{}", None))
    async with store_in(tmp_path) as store:
        (task,) = (await store.tasks.get(["tsk_a"], principal="local")).values()
        assert (task.request.action, task.request.kind) == (None, "m")
        assert await store.tasks.refining("tsk_a.1", principal="local") == []


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


BEFORE_UNITS = """INSERT INTO tasks (id, principal, provider, base_url, created_at, updated_at, status, final,
    submission, prediction_id, lease_owner, lease_until, request, outcome, model, micro_credits, micro_usd, cost_unit,
    cost_source, relay_tries) VALUES (?, 'local', ?, 'u', 100.0, 101.0, 'succeeded', 1, 'accepted',
    'p', 'gone', 0.0, '{"tool": "imagine", "prompt": "p", "model": "m"}', ?, 'm', ?, ?, ?, 'provider', 0)"""
"""A row of version 7: every task counts in both units, and Black Forest Labs reports credits."""


async def test_a_file_of_version_7_counts_in_the_units_that_providers_charge_in(tmp_path: Path) -> None:
    """Once each; what Black Forest Labs reported in credits is dollars, in the task too."""
    priced = '{"seed":"é","cost":{"amount":"%s","unit":"%s","source":"provider"}}'
    with database_of_version(tmp_path / "data" / "tasks.db", 7) as connection:
        for row in (
            ("tsk_a", "journeyapi", priced % ("4", "credits"), 4_000_000, 100_000, "credits"),
            ("tsk_b", "bfl", priced % ("4.5", "credits"), 4_500_000, 40_000, "credits"),
            ("tsk_c", "bfl", priced % ("0.04", "usd"), 8_000_000, 40_000, "usd"),
            ("tsk_d", "bfl", "{}", 8_000_000, 100_000, None),
            ("tsk_e", "bfl", "", 7_000_000, 40_000, "credits"),  # deleted, but for what it cost
            ("tsk_f", "bfl", '{"cost": "credits"}', 0, 0, None),
            ("tsk_g", "vtrix", priced % ("0.04", "usd"), 8_000_000, 40_000, "usd"),
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


VERSION_11 = """INSERT INTO tasks (id, principal, provider, base_url, created_at, updated_at, status, final, submission,
    prediction_id, lease_owner, lease_until, request, outcome, model, micro_credits, micro_usd, wish, equal_call,
    relay_due, relay_tries, relay_host, line, line_round, line_since) VALUES (:id, 'local', 'journeyapi', 'u', 100.0,
    101.0, :status, :final, :submission, :prediction, :owner, :until, :request, :outcome, 'm', 0, 0, :wish,
    :equal_call, :due, :tries, :host, :line, :round, :since)"""
"""A row of version 11, the last one with private names."""


def row_11(task_id: str, **more: Any) -> dict[str, Any]:
    """Return the values of a row of version 11: a task that was sent, unless `more` says otherwise."""
    names = ("prediction", "wish", "equal_call", "due", "host", "line", "round", "since")
    request = json.dumps({"tool": "imagine", "prompt": "p", "model": "m", **more.pop("request", {})})
    outcome = json.dumps(more.pop("outcome", {}))
    standard = {"status": "running", "final": 0, "submission": "sent", "owner": "gone", "until": 0.0, "tries": 0}
    return {"id": task_id, **dict.fromkeys(names), **standard, "request": request, "outcome": outcome, **more}


def file_11(folder: Path, *rows: dict[str, Any]) -> None:
    """Make a database of version 11 with these rows."""
    with database_of_version(folder / "data" / "tasks.db", 11) as connection:
        for row in rows:
            connection.execute(sa.text(VERSION_11), row)


async def test_a_file_of_version_11_keeps_every_task_under_the_new_names(tmp_path: Path) -> None:
    """Columns, words and keys: duplicates, queue, outbox, cooldowns, and what a task says."""
    hook, passing = {"webhook_url": "https://a.test/hook"}, [{"code": "option_idle", "parameters": {"passing": "x"}}]
    done = {"status": "succeeded", "final": 1, "submission": "accepted", "prediction": "p1"}
    file_11(
        tmp_path,
        row_11("sent", outcome={"answer_by": 900.0, "passing": passing, "webhook_secret": "s"}, until=500.0),
        row_11("joined", wish="w", equal_call="joins", outcome={"images": [{"url": "https://a.test/1"}]}, **done),
        row_11("unclear", wish="v", equal_call="refused", status="failed", final=1),
        row_11("due", request=hook, due=50.0, tries=2, host="a.test", **done),
        row_11("waits", submission="prepared", status="queued", line="waits", round=3, since=100.0, until=500.0),
        row_11("refused", submission="prepared", status="queued", line="refused", round=4, since=101.0, until=500.0),
        row_11("turn", submission="prepared", status="queued", line="turn", until=500.0),
        {**row_11("unreadable"), "outcome": '{"answer_by":'},
    )
    with closing(sqlite3.connect(tmp_path / "data" / "tasks.db")) as connection:
        connection.execute("INSERT INTO rests VALUES ('bfl', 'u', 900.0, 'r')")
        connection.commit()
    account: dict[str, Any] = {"provider": "journeyapi", "base_url": "u", "now": 400.0}
    async with store_in(tmp_path, now=600.0) as store:
        sent = await store.tasks.find("sent")
        assert sent == replace(
            TASK,
            id="sent",
            updated_at=101.0,
            status=Status.RUNNING,
            submission=Submission.SENT,
            callback_deadline=900.0,
            webhook_secret="s",
            transient_notices=(Notice.of("option_idle", passing="x"),),
        )
        joined = await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0)
        assert joined is not None
        assert (joined.id, joined.images) == ("joined", (OutputImage(url="https://a.test/1"),))
        assert joined.duplicate_policy is DuplicatePolicy.JOIN
        unclear = await store.deduplication.find(principal="local", deduplication_key="v", unconfirmed_since=0)
        assert unclear is not None
        assert unclear.duplicate_policy is DuplicatePolicy.REJECT
        assert not await store.tasks.add(replace(joined, id="again"), worker_id="me", lease_until=0)
        ((due, tries),) = await store.outbox.due(now=60, again_at=99, limit=9)
        assert (due.id, tries) == ("due", 2)
        entries = await store.queue.waiting_elsewhere(except_worker="me", **account)
        assert [(entry.key, entry.is_refused) for entry in entries] == [
            ((3, 100.0, "waits"), False),
            ((4, 101.0, "refused"), True),
        ]
        # with a slot: one that is granted, and those that were sent and may run
        assert await store.queue.running(silent_since=100, **account) == 3
        cooldown = Cooldown(provider="bfl", base_url="u", until=900.0, reason="r")
        assert await store.cooldowns.active(800.0) == {("bfl", "u"): cooldown}


async def test_the_tasks_of_an_earlier_version_are_found_by_their_words(tmp_path: Path) -> None:
    """Each by its own; a row that cannot be read is left as it is."""
    file_11(
        tmp_path,
        row_11("kite", request={"prompt": "A Red KITE", "model": "Z-Image"}),
        row_11("boat", request={"prompt": "ein STRASSENBILD"}),
        {**row_11("unreadable"), "request": "{}"},
        {**row_11("deleted"), "request": ""},
    )
    async with store_in(tmp_path) as store:
        for word, expected in (("kite", ["kite"]), ("z-image", ["kite"]), ("strassenbild", ["boat"])):
            found = await store.tasks.newest(principal="local", limit=9, words=[word])
            assert [task.id for task in found] == expected
    with closing(sqlite3.connect(tmp_path / "data" / "tasks.db")) as connection:
        rows = connection.execute("SELECT id, search FROM tasks ORDER BY id").fetchall()
    assert rows == [
        ("boat", "ein strassenbild\nm"),
        ("deleted", None),
        ("kite", "a red kite\nz-image"),
        ("unreadable", None),
    ]


def dead_worker() -> str:
    """Return the id of a process that has ended."""
    code = "from journey_mcp.core.worker_id import new_worker_id; print(new_worker_id())"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


ELSEWHERE = "000000000000:7:birthday:token"
"""The id of a process on another machine."""


@pytest.mark.parametrize(
    ("holder", "submission", "now", "process"),
    [
        ("this", "sent", 199, "process PID."),
        ("this", "prepared", 199, "process PID."),
        ("this", "accepted", 199, "process PID."),
        # it was suspended: it may wake up with the answer
        ("this", "sent", 201, "process PID."),
        ("this", "accepted", 201, None),
        ("dead", "sent", 199, None),
        ("elsewhere", "sent", 199, "process 7 of another machine or container."),
        ("elsewhere", "sent", 201, None),
    ],
)
async def test_a_database_is_not_changed_while_an_older_server_may_store_an_answer(
    tmp_path: Path, holder: str, submission: str, now: float, process: str | None
) -> None:
    """The error names its process; once that has stored the answer, it is found under the new names."""
    holders: Mapping[str, Callable[[], str]] = {
        "this": new_worker_id,
        "dead": dead_worker,
        "elsewhere": lambda: ELSEWHERE,
    }
    owner = holders[holder]()
    file_11(tmp_path, row_11("tsk_a", owner=owner, until=200.0, submission=submission))
    with closing(sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)) as older:
        older.execute("SELECT count(*) FROM tasks")
        if process is not None:
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="An older journey-mcp has unfinished tasks") as raised:
                    async with store_in(tmp_path, now=now):
                        pass
                assert str(raised.value).endswith(process.replace("PID", str(os.getpid())))
                assert "end that process" in (raised.value.failure.next_step or "")
            answered = "status = 'succeeded', final = 1, submission = 'accepted', outcome = '{\"seed\":\"7\"}'"
            older.execute(f"UPDATE tasks SET {answered} WHERE id = 'tsk_a' AND lease_owner = ?", (owner,))
        async with store_in(tmp_path, now=now) as store:
            task = await store.tasks.find("tsk_a")
            assert task is not None
            assert (task.submission, task.seed) == (
                (Submission(submission), None) if process is None else (Submission.ACCEPTED, "7")
            )
            # the next statement of the older server fails, before it sends anything
            with pytest.raises(sqlite3.OperationalError, match="no such column: lease_owner"):
                older.execute("UPDATE tasks SET lease_until = 300 WHERE lease_owner = 'x'")


async def test_a_server_says_that_a_newer_one_has_changed_the_database_under_it(tmp_path: Path) -> None:
    """Statements that need what is gone; the others go on."""
    async with store_in(tmp_path) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=200)
        with closing(sqlite3.connect(tmp_path / "data" / "tasks.db", isolation_level=None)) as newer:
            newer.execute("ALTER TABLE tasks RENAME COLUMN lease_worker TO lease_holder")
            newer.execute("INSERT INTO schema_version VALUES (99)")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"newer journey-mcp .* to version 99; this one knows") as raised:
                await store.tasks.add(replace(TASK, id="tsk_b"), worker_id="me", lease_until=200)
            assert "restart this server" in (raised.value.failure.next_step or "")
        assert await store.tasks.find("tsk_a") == TASK

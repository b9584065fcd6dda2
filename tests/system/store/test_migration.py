"""Migrations on PostgreSQL: the tables that the code names, and servers of the version before that go on meanwhile."""

import os
import subprocess
import threading
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from postgres import execute
from processes import COMMAND, TIMEOUT_S, in_thread
from store.examples import TASK

from journey_mcp.core.errors import SetupError
from journey_mcp.store import Store, open_store, schema
from journey_mcp.store.migrations import STEPS
from system.store.older import life_of_a_task

BEFORE = 15
"""The version of the tables that servers of the version before know."""


def create_version(url: str, version: int) -> None:
    """Create the tables of a release with so many migrations."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for step in STEPS[:version]:
            step(connection)
        connection.exec_driver_sql("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
        connection.execute(sa.insert(schema.schema_versions).values(version=version))
    engine.dispose()


def shape(url: str, table: str) -> dict[str, Any]:
    """Return columns and indexes with all that PostgreSQL knows of them."""
    columns = f"""SELECT column_name, data_type, is_nullable FROM information_schema.columns
        WHERE table_name = '{table}' ORDER BY column_name"""
    indexes = f"SELECT indexdef FROM pg_indexes WHERE tablename = '{table}' ORDER BY indexdef"
    return {"columns": execute(url, columns), "indexes": execute(url, indexes)}


async def test_the_steps_lead_to_the_tables_that_the_code_names(url: str) -> None:
    """With their types, and the conditions of their indexes."""
    engine = sa.create_engine(url)
    schema.metadata.create_all(engine)
    named = {table: shape(url, table) for table in schema.metadata.tables}
    schema.metadata.drop_all(engine)
    engine.dispose()
    async with open_store(url):
        pass
    assert {table: shape(url, table) for table in schema.metadata.tables} == named
    assert "character varying" not in str(named)


class OlderServer(threading.Thread):
    """Process that creates and changes tasks with the statements of the version before, until it is stopped."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.is_over = threading.Event()
        self.ended = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        """Do what a thread does."""
        try:
            with psycopg.connect(self._url, autocommit=True, prepare_threshold=None) as connection:
                while not self.is_over.is_set():
                    life_of_a_task(connection.cursor(), f"older{self.ended}")
                    self.ended += 1
        except Exception as error:  # noqa: BLE001  # the test raises it
            self.problem = error

    def until_more(self, count: int) -> None:
        """Wait until so many more tasks have passed."""
        wanted = self.ended + count
        while self.is_alive() and self.ended < wanted:
            self.join(0.01)
        assert self.problem is None


async def test_a_server_of_the_version_before_goes_on_while_the_database_is_migrated(url: str) -> None:
    """And after that; both see each other's tasks."""
    create_version(url, BEFORE)
    older = OlderServer(url)
    older.start()
    try:
        await in_thread(older.until_more, 20)
        async with open_store(url) as store:
            await in_thread(older.until_more, 20)
            _, *found = await store.tasks.newest(principal="local", limit=5)  # the first one may be on its way
            assert found
            assert [task.prediction_id for task in found] == [task.id for task in found]
            assert await store.tasks.add(TASK, worker_id="me", lease_until=1.0)
            await in_thread(older.until_more, 20)
    finally:
        older.is_over.set()
        older.join()
    assert older.problem is None
    assert execute(url, "SELECT count(*) FROM tasks WHERE submission = 'accepted'") == [(older.ended,)]


async def test_a_step_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    """All or nothing; the next one migrates it once the cause is gone."""
    execute(url, "CREATE TABLE copies (something_else TEXT)")
    with pytest.raises(SetupError, match='relation "copies" already exists'):
        async with open_store(url):
            pass
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    assert execute(url, tables) == [("copies",)]
    execute(url, "DROP TABLE copies")
    async with open_store(url) as store:
        assert await store.tasks.add(TASK, worker_id="me", lease_until=1.0)


async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    """Its tables may mean something else."""
    async with open_store(url):
        execute(url, "INSERT INTO schema_version VALUES (99)")
    with pytest.raises(SetupError, match="version 99"):
        async with open_store(url):
            pass


def test_the_command_migrates(url: str) -> None:
    """Before any server starts; it shows no password."""
    create_version(url, BEFORE)
    environment = {**os.environ, "JOURNEY_MCP_DATABASE_URL": url.replace("postgres@", "postgres:s3cret-word@")}
    done = subprocess.run(
        [*COMMAND, "migrate"], env=environment, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    assert done.stdout.startswith("postgresql://postgres:***@127.0.0.1:")
    assert done.stdout.endswith(f"has version {Store.version}.\n")
    assert execute(url, "SELECT max(version) FROM schema_version") == [(Store.version,)]


async def test_leases_and_limits_read_few_rows(url: str) -> None:
    """The indexes are used: the clock of the database is one time for a statement."""
    async with open_store(url) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=1.0)
        execute(
            url,
            """INSERT INTO tasks SELECT (json_populate_record(tasks, json_build_object('id', 'f' || n, 'final', true,
                'created_at', n))).* FROM tasks, generate_series(1, 20000) AS n WHERE id = 'tsk_a'""",
        )
        execute(url, "VACUUM ANALYZE tasks")
    for condition, index in (
        ("NOT final AND lease_until <= 1 + extract(epoch FROM statement_timestamp())::double precision", "unfinished"),
        ("provider = 'journeyapi' AND created_at > 19000", "charged"),
    ):
        plan = execute(url, f"EXPLAIN SELECT sum(micro_credits) FROM tasks WHERE {condition}")
        assert f"tasks_{index}" in str(plan)

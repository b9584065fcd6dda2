"""A server that is restarted, killed or slow: nothing that was acknowledged is lost, and nothing is stored twice."""

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import anyio
import psycopg
import pytest
from postgres import SOURCES, Server, execute, running_server
from processes import TIMEOUT_S, in_thread
from store.examples import TASK
from store.test_unavailable import each_write
from support import free_port

from journey_mcp.core.errors import Failure, SetupError, StoreUnavailable
from journey_mcp.core.limits import parse_limits
from journey_mcp.core.tasks import Task
from journey_mcp.store import Store, open_store
from journey_mcp.store.advisory_locks import lock_statements

STOPS = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
WRITERS = 6


class Load:
    """Six writers that create tasks and end them; each step is repeated until it is acknowledged."""

    def __init__(self, store: Store) -> None:
        self.ended: list[str] = []
        self.errors: list[str] = []
        self.is_over = False
        self._store = store

    async def write(self, writer: int) -> None:
        """Create and end tasks, until it is over."""
        number = writer
        while not self.is_over:
            task = replace(TASK, id=f"t{number}")
            # every second one behind a lock, in a transaction
            limits = parse_limits("1credits/day") if number % 2 else ()
            until = time.time() + 600
            await self._repeat(lambda: self._store.tasks.add(task, worker_id="me", lease_until=until, limits=limits))  # noqa: B023
            final = task.failed(Failure(code="c", message="m"), 200.0)
            await self._repeat(lambda: self._store.tasks.save(final, worker_id="me"))  # noqa: B023  # called at once
            self.ended.append(task.id)
            number += WRITERS

    async def _repeat(self, step: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                assert await step()
            except StoreUnavailable as error:
                self.errors.append(str(error))
                await anyio.sleep(0.01)
            else:
                return

    async def until_more(self, count: int) -> None:
        """Wait until so many more tasks have ended."""
        wanted = len(self.ended) + count
        with anyio.fail_after(TIMEOUT_S):
            while len(self.ended) < wanted:
                await anyio.sleep(0.01)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
async def test_no_acknowledged_commit_is_lost_when_the_server_is_restarted(source: str, stop: signal.Signals) -> None:
    """Each task is there once, and has ended."""
    with running_server(source) as server:
        url = server.new_database()
        async with open_store(url) as store, anyio.create_task_group() as group:
            load = Load(store)
            for writer in range(WRITERS):
                group.start_soon(load.write, writer)
            for _ in range(2):
                await load.until_more(40)
                await in_thread(server.stop, stop)
                await in_thread(server.start)
            await load.until_more(40)
            load.is_over = True
        stored = execute(url, "SELECT id, final FROM tasks")
    assert sorted(stored) == sorted((task_id, True) for task_id in load.ended)
    assert load.errors, "the server was away"
    assert all("The task database does not answer" in error for error in load.errors)


@pytest.mark.parametrize("source", SOURCES)
async def test_no_acknowledged_commit_is_lost_by_a_failover(source: str) -> None:
    """To a synchronous standby, which the address names as the second host."""
    with running_server(source) as primary, running_server(source, primary) as standby:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        url = primary.new_database().replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
        async with open_store(url) as store, anyio.create_task_group() as group:
            load = Load(store)
            for writer in range(WRITERS):
                group.start_soon(load.write, writer)
            await load.until_more(40)
            await in_thread(primary.stop, signal.SIGKILL)
            await in_thread(standby.execute, "SELECT pg_promote()")
            await load.until_more(40)
            load.is_over = True
        stored = standby.execute("SELECT id, final FROM tasks", url.rpartition("/")[2])
    assert sorted(stored) == sorted((task_id, True) for task_id in load.ended)


@asynccontextmanager
async def holder(url: str, statement: str) -> AsyncIterator[None]:
    """Hold the locks of a statement in an open transaction."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(statement)
        yield
        await connection.rollback()


def terminate(url: str, query: str) -> None:
    """End the connections that run such a query, as an administrator does, or a server that shuts down."""
    deadline = time.monotonic() + TIMEOUT_S
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'journey-mcp' AND query"
    )
    while not execute(url, f"{statement} LIKE %s AND wait_event_type = 'Lock'", (query,)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


LOCK_TASKS = "LOCK TABLE tasks IN SHARE MODE"
"""Readers go on."""


async def test_a_task_is_stored_once_although_its_connection_is_lost(url: str) -> None:
    """While the statement runs: it runs again, on another connection."""
    stored: list[bool] = []
    async with open_store(url) as store:

        async def create() -> None:
            stored.append(await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6))

        async with anyio.create_task_group() as group, holder(url, LOCK_TASKS):
            group.start_soon(create)
            await in_thread(terminate, url, "INSERT%")
        assert stored == [True]
        assert await store.tasks.find(TASK.id) == TASK
        stored.clear()

        async def end() -> None:
            stored.append(await store.tasks.save(TASK.sent(101), worker_id="me"))

        async with anyio.create_task_group() as group, holder(url, LOCK_TASKS):
            group.start_soon(end)
            await in_thread(terminate, url, "UPDATE%")
        assert stored == [True]


async def test_what_reads_runs_again_if_its_connection_is_lost(url: str) -> None:
    """Nobody notices."""
    found: list[Task | None] = []
    async with open_store(url) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)

        async def find() -> None:
            found.append(await store.tasks.find(TASK.id))

        async with anyio.create_task_group() as group, holder(url, "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"):
            group.start_soon(find)
            await in_thread(terminate, url, "SELECT%")
        assert found == [TASK]


async def test_everything_is_unavailable_while_the_server_is_away() -> None:
    """What writes and what reads; then all goes on."""
    with running_server("wheel") as server:
        async with open_store(server.new_database()) as store:
            await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)
            await in_thread(server.stop)
            await each_write(store)
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await store.tasks.find(TASK.id)
            await in_thread(server.start)
            assert await store.tasks.find(TASK.id) == TASK
            assert await store.tasks.save(TASK.sent(101), worker_id="me")


async def test_connections_that_were_ended_while_nothing_ran_are_replaced(url: str) -> None:
    """Before the next statement, of readers and of writers: none fails."""
    async with open_store(url) as store:
        for number in range(3):
            assert await store.tasks.add(replace(TASK, id=f"t{number}"), worker_id="me", lease_until=time.time() + 6)
            assert await store.tasks.find(f"t{number}") is not None
            ended = (
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'journey-mcp'"
            )
            await in_thread(execute, url, ended)


async def test_a_lock_or_a_statement_that_takes_too_long_is_unavailable(url: str) -> None:
    """Others go on; once the lock is gone, so does this one."""
    async with open_store(f"{url}?options=-c%20lock_timeout=100ms%20-c%20statement_timeout=2s") as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)
        async with holder(url, LOCK_TASKS):
            with pytest.raises(StoreUnavailable, match="lock timeout") as raised:
                await store.tasks.save(TASK.sent(101), worker_id="me")
            assert "database server" in (raised.value.failure.next_step or "")
            assert await store.tasks.find(TASK.id) == TASK
        assert await store.tasks.save(TASK.sent(101), worker_id="me")
    async with open_store(f"{url}?options=-c%20statement_timeout=100ms") as store, holder(url, LOCK_TASKS):
        with pytest.raises(StoreUnavailable, match="statement timeout"):
            await store.tasks.save(TASK.sent(102), worker_id="me")


async def test_those_that_wait_for_a_budget_do_not_delay_leases(url: str) -> None:
    """Half of the connections are left for what waits for no lock."""
    limits, stored = parse_limits("9credits/day"), []
    async with open_store(url) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)

        async def create(number: int) -> None:
            task = replace(TASK, id=f"t{number}", charges={"credits": Decimal(1)})
            stored.append(await store.tasks.add(task, worker_id="me", lease_until=time.time() + 6, limits=limits))

        async with anyio.create_task_group() as group, holder(url, lock_statements(["budget:journeyapi:*"])):
            for number in range(8):
                group.start_soon(create, number)
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            with anyio.fail_after(TIMEOUT_S):
                while await in_thread(execute, url, waiting) != [(2,)]:
                    await anyio.sleep(0.01)
            assert await store.leases.renew([TASK.id], worker_id="me", lease_until=time.time() + 60) == {TASK.id}
            assert stored == []
        assert stored == [True] * 8


async def test_a_database_that_is_replaced_is_not_written(server: Server) -> None:
    """It knows neither the running tasks nor what was spent; one that is restored goes on."""
    url = server.new_database()
    name = url.rpartition("/")[2]
    async with open_store(url) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)
        await in_thread(
            server.execute, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        await in_thread(server.execute, f"ALTER DATABASE {name} RENAME TO {name}_before")
        await in_thread(server.execute, f"CREATE DATABASE {name}")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=f"{name} was deleted or replaced") as raised:
                await store.tasks.save(TASK.sent(101), worker_id="me")
            assert "restore it" in (raised.value.failure.next_step or "")
        await in_thread(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
        with pytest.raises(StoreUnavailable, match="does not exist"):
            await store.tasks.save(TASK.sent(101), worker_id="me")
        await in_thread(server.execute, f"ALTER DATABASE {name}_before RENAME TO {name}")
        assert await store.tasks.save(TASK.sent(101), worker_id="me")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("postgres@", "nobody@"), 'role "nobody" does not exist'),
        (("/test_", "/nothing_"), "does not exist"),
        (("?", "?sslmode=require&"), "does not support SSL"),
    ],
)
async def test_what_the_server_refuses_is_a_wrong_setting(url: str, change: tuple[str, str], fault: str) -> None:
    """The error names the database, and what to correct."""
    with pytest.raises(SetupError, match=fault) as raised:
        async with open_store(f"{url}?".replace(*change)):
            pass
    assert "Correct JOURNEY_MCP_DATABASE_URL" in (raised.value.failure.next_step or "")


async def test_a_database_in_which_not_every_prompt_can_be_stored_is_refused(server: Server) -> None:
    """Another encoding than UTF-8."""
    url = server.new_database("ENCODING 'LATIN1'", "TEMPLATE template0")
    with pytest.raises(SetupError, match="the encoding LATIN1") as raised:
        async with open_store(url):
            pass
    assert "ENCODING 'UTF8'" in (raised.value.failure.next_step or "")


async def test_the_first_host_that_answers_is_used(server: Server) -> None:
    """Of several, as after a failover: the first one is gone."""
    url = server.new_database().replace("@", f"@127.0.0.1:{free_port()},")
    async with open_store(url) as store:
        assert await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)


async def test_a_standby_is_not_written(server: Server) -> None:
    """A server that only reads is passing: after a failover another one writes."""
    url = server.new_database()
    async with open_store(url) as store:
        await store.tasks.add(TASK, worker_id="me", lease_until=time.time() + 6)
    with pytest.raises(StoreUnavailable, match="read-only transaction"):
        async with open_store(f"{url}?options=-c%20default_transaction_read_only=on") as store:
            await store.tasks.save(TASK.sent(101), worker_id="me")

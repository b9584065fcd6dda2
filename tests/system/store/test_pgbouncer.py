"""PgBouncer in transaction mode, which gives every transaction another connection to the server."""

import time
from dataclasses import replace

import anyio
import pytest
from postgres import Server, execute
from processes import TIMEOUT_S
from store.examples import TASK

from journey_mcp.core.limits import parse_limits
from journey_mcp.store import open_store
from system.store.test_exactness import run_at_once
from system.store.test_notifications import listening


@pytest.fixture
def direct_url(server: Server) -> str:
    """Return the address of an empty database."""
    return server.new_database()


@pytest.fixture
def url(server: Server, bouncer: int, direct_url: str) -> str:
    """Return its address through PgBouncer."""
    return direct_url.replace(f":{server.port}/", f":{bouncer}/")


async def test_the_store_works_through_pgbouncer(url: str) -> None:
    """Every statement often, because a driver prepares those that come often; transactions with a lock too."""
    limits = parse_limits("99credits/day")
    async with open_store(url) as store, open_store(url) as other:
        for number in range(20):
            task = replace(TASK, id=f"t{number}")
            assert await store.tasks.add(task, worker_id="me", lease_until=time.time() + 6, limits=limits)
            assert await other.leases.held([task.id], worker_id="me") == {task.id}
            assert await store.tasks.save(task.sent(101), worker_id="me")
            assert (await other.tasks.find(task.id)) == task.sent(101)


def test_a_budget_is_never_overspent_through_pgbouncer(url: str, direct_url: str) -> None:
    """The lock is that of a transaction, not of a session."""
    assert len(run_at_once("spend", url)) == 60
    assert execute(direct_url, "SELECT count(*) FROM tasks") == [(60,)]


async def test_notifications_are_received_past_pgbouncer(url: str, direct_url: str) -> None:
    """By the address for listening; what is sent goes through PgBouncer."""
    async with open_store(url, listen_url=direct_url) as store, listening(store) as received:
        assert store.notifications.is_live
        await store.notifications.notify("tsk_a")
        await received.until_task("tsk_a")
        assert received.tasks == ["tsk_a"]


async def test_a_process_notices_that_it_hears_nothing(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Through PgBouncer: it reads its tasks often, and says which setting helps."""
    received: list[str] = []
    async with open_store(url) as store, anyio.create_task_group() as group:
        group.start_soon(store.notifications.run, received.append, lambda: received.append("gap"))
        with anyio.fail_after(TIMEOUT_S):
            while "JOURNEY_MCP_DATABASE_LISTEN_URL" not in caplog.text:
                await anyio.sleep(0.01)
        assert (store.notifications.is_live, received) == (False, [])
        group.cancel_scope.cancel()

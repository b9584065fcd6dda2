"""A database that does not answer while tasks are stored, queued, sent and polled: nothing is lost or sent twice."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from manual_clock import ManualClock, until
from support import (
    Environment,
    created,
    database_away,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
    settings_for,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission
from journey_mcp.studio import Studio


def rows(folder: Path, columns: str) -> list[tuple[Any, ...]]:
    """Return columns of all tasks in the database, the oldest first."""
    with closing(sqlite3.connect(folder / "tasks.db")) as connection:
        return connection.execute(f"SELECT {columns} FROM tasks ORDER BY created_at").fetchall()


@contextmanager
def answers_lost(part: str) -> Iterator[None]:
    """Let statements with this text fail after they were executed, as when the connection breaks before the answer."""

    def lose(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        if part in statement:
            raise sa.exc.OperationalError(statement, values, Exception("the connection was closed"))

    sa.event.listen(sa.Engine, "after_cursor_execute", lose)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", lose)


@asynccontextmanager
async def beside_a_server(folder: Path, *faults: str, **more: Any) -> AsyncIterator[tuple[Environment, Studio, Path]]:
    """Return an environment, a second server on its database, and the link by which that one reaches the database."""
    link = folder / "link.db"
    async with make_environment_without_copies(folder, *faults, **more) as here:
        link.symlink_to(folder / "tasks.db")
        settings = settings_for(here.upstream.base_url, folder, JOURNEY_MCP_DATABASE_URL=f"sqlite:///{link}")
        async with running_studio(settings, here.clock) as other:
            yield here, other, link
            other.begin_shutdown()


@contextmanager
def cut_off(link: Path) -> Iterator[None]:
    """Cut the server with this link off from the database, which others still reach."""
    target = link.readlink()
    link.unlink()
    try:
        yield
    finally:
        link.symlink_to(target)


async def test_an_unsent_task_outlives_the_database(tmp_path: Path) -> None:
    """It is sent once, when it can be stored as sent; until then it is free, and says what it waits for."""
    async with sandbox.running(sandbox.Settings(speed=0)) as gone:
        port = int(gone.origin.rsplit(":", 1)[1])
    async with running_studio(settings_for(gone.base_url, tmp_path), clock := ManualClock()) as studio:
        task = await created(studio, make_request())
        async with sandbox.running(sandbox.Settings(speed=0), port=port) as upstream:
            with database_away(tmp_path):
                await clock.sleep(30)
                waiting = (await studio.fetch([task.id], LOCAL))[task.id]
                assert (waiting.status, waiting.submission) == (Status.QUEUED, Submission.PREPARED)
                assert waiting.transient_notices[-1] == Notice.of("database_awaited")
                assert upstream.sandbox.request_log.requests["imagine"] == 0
            made = (await studio.fetch([task.id], LOCAL, seconds=10))[task.id]
            assert (made.status, made.transient_notices) == (Status.SUCCEEDED, ())
            assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_an_unsent_task_ends_free_after_a_minute(tmp_path: Path) -> None:
    """It may be made again without a doubt; the row says the same once it can be written."""
    async with sandbox.running(sandbox.Settings(speed=0)) as gone:
        port = int(gone.origin.rsplit(":", 1)[1])
    async with running_studio(settings_for(gone.base_url, tmp_path), clock := ManualClock()) as studio:
        task = await created(studio, make_request())
        async with sandbox.running(sandbox.Settings(speed=0), port=port) as upstream:
            with database_away(tmp_path):
                ended = (await studio.fetch([task.id], LOCAL, seconds=120))[task.id]
                assert ended.failure is not None
                assert (ended.status, ended.failure.code) == (Status.FAILED, "store_unavailable")
                assert 60 <= clock.elapsed() <= 65
            await clock.sleep(5)
            assert rows(tmp_path, "submission, status, micro_credits") == [("refused", "failed", 0)]
            assert upstream.sandbox.request_log.requests["imagine"] == 0


async def test_a_task_in_the_queue_outlives_the_database(tmp_path: Path) -> None:
    """Nobody gets a slot meanwhile; afterwards the queue goes on."""
    more = {"JOURNEY_MCP_MAX_CONCURRENT": "1"}
    async with make_environment_without_copies(tmp_path, "fetch:delay=5,times=2", **more) as here:
        await created(here.studio, make_request(model="midjourney"))
        await until(lambda: here.created)
        second = await created(here.studio, make_request(prompt="the second"))
        await until(lambda: here.studio.position(second.id))
        with database_away(tmp_path):
            await here.clock.sleep(30)
            assert len(here.created) == 1
        made = (await here.studio.fetch([second.id], LOCAL, seconds=120))[second.id]
        assert (made.status, len(here.created)) == (Status.SUCCEEDED, 2)


async def test_a_call_whose_task_was_stored_though_it_failed_is_not_charged(tmp_path: Path) -> None:
    """The caller was told that nothing was sent, so the row ends as that; a repeated call makes a new task."""
    async with make_environment_without_copies(tmp_path) as here:
        with answers_lost("INSERT INTO tasks"), pytest.raises(StoreUnavailable, match="Nothing was sent"):
            await here.studio.create(make_request(), LOCAL)
        assert rows(tmp_path, "submission, final") == [("sent", 0)]
        again = await here.studio.create(make_request(), LOCAL)
        assert again.notice is None
        assert rows(tmp_path, "submission, status, micro_credits")[0] == ("refused", "failed", 0)
        assert (await here.studio.wait_for_new(again.task, 60)).status is Status.SUCCEEDED
        assert (here.asked["imagine"], len(rows(tmp_path, "id"))) == (1, 2)


async def test_such_a_task_ends_without_another_call(tmp_path: Path) -> None:
    """Also if the database is away for longer than its lease: it is not taken for one that was sent."""
    async with make_environment_without_copies(tmp_path) as here:
        with answers_lost("INSERT INTO tasks"), pytest.raises(StoreUnavailable):
            await here.studio.create(make_request(), LOCAL)
        with database_away(tmp_path):
            await here.clock.sleep(30)
        await here.clock.sleep(10)
        assert rows(tmp_path, "submission, status, micro_credits") == [("refused", "failed", 0)]
        assert here.asked["imagine"] == 0


async def test_a_server_that_was_cut_off_goes_on_with_what_is_still_its_own(tmp_path: Path) -> None:
    """An accepted task is polled elsewhere; an answer that came meanwhile is stored when the database is back."""
    async with beside_a_server(tmp_path, "submit:delay=20,after=1") as (here, other, link):
        accepted = await created(other, make_request(model="midjourney", prompt="accepted"))
        await until(lambda: here.created)
        sent = await created(other, make_request(prompt="sent"))
        await until(lambda: here.asked["imagine"] == 2)
        with cut_off(link):
            await here.clock.sleep(30)
            found = await here.studio.fetch([accepted.id, sent.id], LOCAL)
            assert (found[accepted.id].status, len(found[accepted.id].images)) == (Status.SUCCEEDED, 4)
            assert (found[sent.id].status, found[sent.id].submission) == (Status.RUNNING, Submission.SENT)
            # its own caller need not wait for the database
            assert (await other.fetch([sent.id], LOCAL))[sent.id].status is Status.SUCCEEDED
        made = (await here.studio.fetch([sent.id], LOCAL, seconds=10))[sent.id]
        assert (made.status, here.asked["imagine"]) == (Status.SUCCEEDED, 2)


async def test_a_server_that_was_cut_off_does_not_send_what_was_taken_over(tmp_path: Path) -> None:
    """Its queued task has ended elsewhere, at no cost: it learns that before it could send it."""
    async with beside_a_server(tmp_path, "submit:status=429,header.Retry-After=10") as (here, other, link):
        task = await created(other, make_request())
        await until(lambda: here.asked["imagine"])
        with cut_off(link):
            await here.clock.sleep(20)
            with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as connection:
                connection.execute("UPDATE tasks SET lease_worker = 'third', status = 'canceled', final = 1")
        await here.clock.sleep(60)
        assert (await other.fetch([task.id], LOCAL))[task.id].status is Status.CANCELED
        assert here.asked["imagine"] == 1


async def test_a_failover_outlives_the_database(tmp_path: Path) -> None:
    """What was spent is read again before the next provider gets the request."""
    fault, budget = "journeyapi/submit:status=402", {"JOURNEY_MCP_BUDGET": "9usd/day"}
    async with make_wide_environment_without_copies(tmp_path, fault, services=("journeyapi", "bfl"), **budget) as here:
        task = await created(here.studio, make_request(model="flux-2-max"))
        with answers_lost("micro_usd >"):
            await here.clock.sleep(30)
            assert here.asked["imagine"] == 1
            assert here.created == []
        made = (await here.studio.fetch([task.id], LOCAL, seconds=60))[task.id]
        assert (made.status, made.provider, here.created) == (Status.SUCCEEDED, "bfl", ["bfl"])


async def test_a_failover_ends_free_after_a_minute(tmp_path: Path) -> None:
    """Nothing more is sent while it is unknown whether the budget allows it."""
    fault, budget = "journeyapi/submit:status=402", {"JOURNEY_MCP_BUDGET": "9usd/day"}
    async with make_wide_environment_without_copies(tmp_path, fault, services=("journeyapi", "bfl"), **budget) as here:
        task = await created(here.studio, make_request(model="flux-2-max"))
        with answers_lost("micro_usd >"):
            ended = (await here.studio.fetch([task.id], LOCAL, seconds=120))[task.id]
        assert ended.failure is not None
        assert (ended.failure.code, ended.charges, here.created) == ("store_unavailable", {}, [])
        assert "Nothing was charged" in (ended.failure.next_step or "")


@pytest.mark.parametrize("seconds", [30, 90])
async def test_the_end_of_a_server_waits_for_a_paid_answer_that_cannot_be_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds: int
) -> None:
    """For a minute after its client has left; after that the log has the provider's id."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream, anyio.create_task_group() as group:
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:delay=1")])
        settings, clock = settings_for(upstream.base_url, tmp_path), ManualClock()

        async def be_away() -> None:
            with database_away(tmp_path):
                await clock.sleep(seconds)

        async with running_studio(settings, clock) as studio:
            await created(studio, make_request())
            await until(lambda: upstream.sandbox.request_log.requests["imagine"])
            group.start_soon(be_away)
        group.cancel_scope.cancel()
    assert rows(tmp_path, "submission") == [("accepted",) if seconds == 30 else ("sent",)]
    assert ("cannot be stored before the server ends" in caplog.text) is (seconds == 90)


async def test_after_an_outage_servers_get_a_cycle_to_renew(tmp_path: Path) -> None:
    """All leases have expired then, and none of these servers is dead: no task moves."""
    async with (
        make_environment_without_copies(tmp_path, "submit:hang") as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        for studio in (here.studio, other):
            await until_accepted(studio, await created(studio, make_request(model="midjourney")))
            await here.clock.sleep(1)
        before = rows(tmp_path, "id, lease_worker")
        assert len({worker for _, worker in before}) == 2
        with database_away(tmp_path):
            await here.clock.sleep(30.7)
        await here.clock.sleep(10)
        assert rows(tmp_path, "id, lease_worker") == before
        other.begin_shutdown()

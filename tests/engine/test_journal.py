"""The journal: a store that fails for a while, and leases that other processes have taken over."""

import shutil
import sqlite3
from pathlib import Path

import anyio
import pytest
from manual_clock import until
from support import Environment, created, make_environment, make_request, running_studio, settings_for

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission


def execute(folder: Path, statement: str) -> None:
    """Change the database behind the server's back."""
    connection = sqlite3.connect(folder / "tasks.db", isolation_level=None)
    connection.execute(statement)
    connection.close()


def hide(folder: Path) -> None:
    """Let every statement fail from now on."""
    execute(folder, "ALTER TABLE tasks RENAME TO hidden")


def show(folder: Path) -> None:
    """Let statements work again."""
    execute(folder, "ALTER TABLE hidden RENAME TO tasks")


def count(folder: Path, condition: str) -> int:
    """Return how many tasks in the database match the condition."""
    connection = sqlite3.connect(folder / "tasks.db")
    (found,) = connection.execute(f"SELECT count(*) FROM tasks WHERE {condition}").fetchone()
    connection.close()
    return int(found)


async def test_what_could_not_be_stored_is_stored_at_the_end(tmp_path: Path) -> None:
    """Also if the store works again at the last moment."""
    async with make_environment(tmp_path, "submit:delay=0.2") as here:
        task = await created(here.studio, make_request())
        await until_asked(here, "imagine")
        hide(tmp_path)
        assert (await here.studio.wait_for_new(task, 300)).status is Status.SUCCEEDED
        show(tmp_path)
    assert count(tmp_path, "final") == 1


async def test_without_its_database_a_server_sends_nothing_that_costs(tmp_path: Path) -> None:
    """Nothing is sent that could not be found again; the error says what to do."""
    async with make_environment(tmp_path / "data") as here:
        await here.made()
        shutil.rmtree(tmp_path / "data")
        with pytest.raises(StoreUnavailable, match="deleted or replaced") as raised:
            await created(here.studio, make_request())
        assert "restart" in (raised.value.failure.next_step or "")
        assert here.asked["imagine"] == 1
    async with make_environment(tmp_path / "data") as here:
        assert (await here.made()).status is Status.SUCCEEDED


async def test_a_store_that_is_gone_does_not_disturb_the_shut_down(tmp_path: Path) -> None:
    """The leases expire by themselves."""
    async with make_environment(tmp_path) as here:
        await here.made()
        hide(tmp_path)
    show(tmp_path)
    assert count(tmp_path, "final") == 1


async def until_asked(here: Environment, endpoint: str) -> None:
    """Wait until the sandbox has received a request."""
    await until(lambda: here.asked[endpoint])


async def test_without_a_store_nothing_is_sent(tmp_path: Path) -> None:
    """The error says that nothing was sent, and who can help."""
    async with make_environment(tmp_path) as here:
        hide(tmp_path)
        with pytest.raises(StoreUnavailable, match="Nothing was sent") as raised:
            await created(here.studio, make_request())
        assert "disk" in (raised.value.failure.next_step or "")
        assert here.asked["imagine"] == 0
        show(tmp_path)
        assert (await here.made()).status is Status.SUCCEEDED


async def test_calls_at_the_same_time_after_one_that_could_not_be_stored(tmp_path: Path) -> None:
    """Each of them first ends the task that may be stored all the same."""
    async with make_environment(tmp_path) as here:
        hide(tmp_path)
        with pytest.raises(StoreUnavailable):
            await created(here.studio, make_request())
        show(tmp_path)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(here.made)
        assert count(tmp_path, "status = 'succeeded'") == 3


async def test_an_answer_that_cannot_be_stored_is_kept_and_stored_later(tmp_path: Path) -> None:
    """The caller gets it at once, the store as soon as it works again."""
    async with make_environment(tmp_path, "submit:delay=0.2", JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await created(here.studio, make_request())
        await until_asked(here, "imagine")
        hide(tmp_path)
        reported = await here.studio.wait_for_new(task, 300)
        assert reported.status is Status.SUCCEEDED
        show(tmp_path)
        await until(lambda: count(tmp_path, "final"))
        assert count(tmp_path, "final") == 1
    async with running_studio(settings_for("http://127.0.0.1:9", tmp_path)) as studio:
        assert await studio.fetch([task.id], LOCAL) == {task.id: reported}


async def test_a_request_that_cannot_be_stored_as_sent_is_not_sent(tmp_path: Path) -> None:
    """After a crash it would be lost."""
    async with make_environment(tmp_path, "submit:status=429,header.Retry-After=30") as here:
        task = await created(here.studio, make_request())
        await until_asked(here, "imagine")
        hide(tmp_path)
        reported = await here.studio.wait_for_new(task, 300)
        assert reported.failure is not None
        assert (reported.failure.code, reported.submission) == ("store_unavailable", Submission.REFUSED)
        assert here.asked["imagine"] == 1
        show(tmp_path)


async def test_a_task_that_another_process_took_over_is_not_written_any_more(tmp_path: Path) -> None:
    """The first worker learns that it lost the lease and drops the task."""
    async with make_environment(tmp_path, "submit:status=429,header.Retry-After=20,times=always") as here:
        task = await created(here.studio, make_request())
        await until_asked(here, "imagine")
        execute(
            tmp_path, "UPDATE tasks SET lease_worker = 'another', lease_until = 9e9, status = 'canceled', final = 1"
        )
        stood = (await here.studio.fetch([task.id], LOCAL, seconds=60))[task.id]
        assert stood.status is Status.CANCELED
        await here.clock.sleep(60)
        assert here.asked["imagine"] == 1

"""Finished tasks in memory: which are kept, for how long, and when they are forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest
from manual_clock import ManualClock
from store.examples import TASK
from support import Environment, make_environment, statements

from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import DuplicatePolicy, Task
from journey_mcp.engine.final_tasks import FinalTasks
from journey_mcp.store import open_store

READ = "tasks.id IN"
DAY_S = 86400.0


def ended(clock: ManualClock, **more: object) -> Task:
    """Return a task that has ended, and whose result a client has."""
    return replace(TASK, created_at=clock.now(), status=Status.SUCCEEDED, **more)  # type: ignore[arg-type]


@pytest.fixture
async def clock() -> ManualClock:
    """Return the clock of the running loop."""
    return ManualClock()


async def test_a_task_is_kept_for_a_minute_and_for_its_principal_only(clock: ManualClock) -> None:
    """For others it does not exist."""
    final = FinalTasks(clock, keep_s=DAY_S)
    final.add(task := ended(clock))
    assert final.get(task.id, principal=LOCAL) is task
    assert final.get(task.id, principal=Principal("another")) is None
    assert final.get("tsk_other", principal=LOCAL) is None
    clock.advance(59)
    assert final.get(task.id, principal=LOCAL) is task
    clock.advance(2)
    assert final.get(task.id, principal=LOCAL) is None


async def test_a_task_that_may_still_change_is_not_kept(clock: ManualClock) -> None:
    """One that runs, and one whose duplicates join it until a client has its result."""
    final = FinalTasks(clock, keep_s=DAY_S)
    for task in (replace(ended(clock), status=Status.RUNNING), ended(clock, duplicate_policy=DuplicatePolicy.JOIN)):
        final.add(task)
        assert final.get(task.id, principal=LOCAL) is None


async def test_a_task_that_retention_deletes_is_not_returned(clock: ManualClock) -> None:
    """Whichever process deletes it."""
    final = FinalTasks(clock, keep_s=DAY_S)
    final.add(task := replace(ended(clock), created_at=clock.now() - DAY_S + 10))
    assert final.get(task.id, principal=LOCAL) is task
    clock.advance(11)
    assert final.get(task.id, principal=LOCAL) is None


async def test_at_most_a_thousand_are_kept_those_that_were_read_last(clock: ManualClock) -> None:
    """Memory is bounded."""
    final = FinalTasks(clock, keep_s=DAY_S)
    for number in range(1000):
        final.add(ended(clock, id=f"tsk_{number}"))
    assert final.get("tsk_0", principal=LOCAL)
    final.add(ended(clock, id="tsk_new"))
    assert final.get("tsk_1", principal=LOCAL) is None
    assert all(final.get(id_, principal=LOCAL) for id_ in ("tsk_0", "tsk_2", "tsk_new"))
    final.forget("tsk_0")
    final.forget("tsk_unknown")
    assert final.get("tsk_0", principal=LOCAL) is None
    final.clear()
    assert final.get("tsk_2", principal=LOCAL) is None


async def fetched(here: Environment, task: Task) -> Task | None:
    """Return the task as `fetch_task` does."""
    return (await here.studio.fetch([task.id], LOCAL)).get(task.id)


async def test_a_finished_task_is_read_once_a_minute(tmp_path: Path) -> None:
    """From the time on from which its result is acknowledged: until then that changes how duplicates are treated."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made()
        here.studio.acknowledge([task])
        await here.clock.sleep(2)
        first = await fetched(here, task)
        with statements("SELECT") as seen:
            for _ in range(5):
                assert await fetched(here, task) is first
            assert seen == []
        await here.clock.sleep(61)
        with statements(READ) as reads:
            again = await fetched(here, task)
            assert again == first
            assert len(reads) == 1
        assert await here.studio.fetch([task.id], Principal("another")) == {}


async def test_a_deleted_task_is_unknown_after_a_minute_without_news(tmp_path: Path) -> None:
    """News of the deletion arrive at once, where there are any."""
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        task = await here.made()
        here.studio.acknowledge([task])
        await here.clock.sleep(2)
        assert await fetched(here, task)
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            await store.tasks.delete_older(than=here.clock.now())
        assert await fetched(here, task)
        await here.clock.sleep(60)
        assert await fetched(here, task) is None


async def test_images_that_are_copied_later_are_found_at_once(tmp_path: Path) -> None:
    """As long as one may still be copied, every call looks for it; then nothing is looked up any more."""
    async with make_environment(tmp_path, "image:status=503,times=3", JOURNEY_MCP_KEEP_IMAGES="all") as here:
        task = await here.made()
        here.studio.acknowledge([task])
        await here.clock.sleep(2)
        first = await fetched(here, task)
        assert first is not None
        assert first.images[0].path is None
        await here.clock.sleep(20)
        second = await fetched(here, task)
        assert second is not None
        assert second.images[0].path
        with statements("SELECT") as seen:
            assert await fetched(here, task) is second
            assert seen == []

"""Deduplication: duplicate calls share a task until a client has received its result."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from manual_clock import until
from support import (
    Environment,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
    until_accepted,
)

from journey_mcp.core.errors import OverBudget, PerhapsPaid
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.engine.deduplication import Deduplication, digest
from journey_mcp.engine.journal import Journal
from journey_mcp.store import open_store

SLOW: dict[str, Any] = {"model": "midjourney", "prompt": "a red kite over the dunes"}


async def test_a_duplicate_call_returns_the_running_task(tmp_path: Path) -> None:
    """And says so; nothing more is sent."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        first = await here.studio.create(make_request(**SLOW), LOCAL)
        await until_accepted(here.studio, first.task)
        second = await here.studio.create(make_request(**SLOW), LOCAL)
        assert (second.task.id, first.notice) == (first.task.id, None)
        assert second.notice == Notice.of("duplicate_running", age_s=0)
        assert here.asked["imagine"] == 1


async def test_fifty_duplicate_calls_at_once_make_one_request(tmp_path: Path) -> None:
    """Also when they come to two processes."""
    async with (
        make_environment_without_copies(tmp_path) as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        made = []

        async def call(number: int) -> None:
            made.append(await (other if number % 2 else here.studio).create(make_request(**SLOW), LOCAL))

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(call, number)
        assert len({one.task.id for one in made}) == 1
        assert sum(one.notice is None for one in made) == 1
        await here.studio.fetch([made[0].task.id], LOCAL, seconds=900)
        assert here.asked["imagine"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "a blue kite over the dunes"},
        {"model": "z-image"},
        {"aspect_ratio": "16:9"},
        {"webhook_url": "https://127.0.0.1:9/hook"},
    ],
)
async def test_another_argument_makes_another_task(tmp_path: Path, other: dict[str, Any]) -> None:
    """Every one counts."""
    async with make_environment_without_copies(tmp_path, "submit:hang", JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1") as here:
        first = await here.studio.create(make_request(**SLOW), LOCAL)
        second = await here.studio.create(make_request(**{**SLOW, **other}), LOCAL)
        assert second.task.id != first.task.id
        assert second.notice is None


async def test_another_principal_makes_another_task(tmp_path: Path) -> None:
    """Nobody sees what others do."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        first = await here.studio.create(make_request(**SLOW), LOCAL)
        second = await here.studio.create(make_request(**SLOW), Principal("another"))
        assert second.task.id != first.task.id


async def test_fresh_makes_a_new_one_that_later_calls_join(tmp_path: Path) -> None:
    """It is the caller's word."""
    async with make_environment_without_copies(tmp_path, "submit:hang,times=always") as here:
        first = await here.studio.create(make_request(**SLOW), LOCAL)
        second = await here.studio.create(make_request(**SLOW), LOCAL, fresh=True)
        third = await here.studio.create(make_request(**SLOW), LOCAL)
        assert first.task.id != second.task.id == third.task.id


async def test_a_result_that_no_client_received_is_returned_for_ten_minutes(tmp_path: Path) -> None:
    """A client that gave up asks again and gets its image; afterwards a call makes a new one."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.studio.create(make_request(**SLOW), LOCAL)
        await here.studio.wait_for_new(first.task, 900)
        second = await here.studio.create(make_request(**SLOW), LOCAL)
        assert (second.task.id, second.task.status) == (first.task.id, Status.SUCCEEDED)
        assert second.notice is not None
        assert second.notice.code == "duplicate_finished"
        here.clock.shift_calendar(601)
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id != first.task.id


async def test_a_delivered_result_is_never_joined(tmp_path: Path) -> None:
    """Asking twice for the same thing on purpose gives two images."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.made(**SLOW)
        await acknowledge(here, first.id)
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id != first.id


async def test_a_result_that_was_just_delivered_is_not_joined(tmp_path: Path) -> None:
    """Though the store does not know yet."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.made(**SLOW)
        here.studio.acknowledge([first])
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id != first.id


async def test_what_was_delivered_may_be_stored_twice_at_once(tmp_path: Path) -> None:
    """By the loop that does so, and by the end of the process."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.made(**SLOW)
        async with deduplication(here) as other, anyio.create_task_group() as group:
            other.acknowledge([first])
            for _ in range(2):
                group.start_soon(other.store_acknowledged)
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id != first.id


async def test_a_failed_task_is_never_joined(tmp_path: Path) -> None:
    """The call is made anew."""
    async with make_environment_without_copies(tmp_path, "submit:fail_task=Out of paint") as here:
        first = await here.made(**SLOW)
        assert first.status is Status.FAILED
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id != first.id


async def test_after_an_unconfirmed_end_a_duplicate_call_is_refused_unless_it_is_fresh(tmp_path: Path) -> None:
    """The reflex of repeating it is what costs money."""
    async with make_environment_without_copies(tmp_path, "submit:reset_after") as here:
        first = await here.made(**SLOW)
        assert first.failure is not None
        assert first.failure.code == "submission_unconfirmed"
        await acknowledge(here, first.id)
        with pytest.raises(PerhapsPaid) as raised:
            await here.studio.create(make_request(**SLOW), LOCAL)
        assert first.id in str(raised.value)
        assert "fresh=true" in (raised.value.failure.next_step or "")
        assert here.asked["imagine"] == 1
        here.clock.shift_calendar(601)
        assert (await here.made(**SLOW)).status is Status.SUCCEEDED
        assert (await here.made(**{**SLOW, "prompt": "another"})).status is Status.SUCCEEDED


async def test_a_fresh_duplicate_takes_no_warning_away(tmp_path: Path) -> None:
    """The unclear end of the first one is reported for its ten minutes, whatever a fresh call made meanwhile."""
    async with make_environment_without_copies(tmp_path, "submit:reset_after") as here:
        first = await here.made(**SLOW)
        assert first.failure is not None
        second = await here.made(**SLOW)  # it is fresh
        assert (second.status, here.asked["imagine"]) == (Status.SUCCEEDED, 2)
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id == second.id
        await acknowledge(here, second.id)
        with pytest.raises(PerhapsPaid, match=first.id):
            await here.studio.create(make_request(**SLOW), LOCAL)
        assert here.asked["imagine"] == 2
        here.clock.shift_calendar(601)
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id not in {first.id, second.id}


async def test_of_two_servers_that_find_an_old_result_one_makes_a_new_one(tmp_path: Path) -> None:
    """What the second one parts from is what it has seen, not what the first one has made meanwhile."""
    async with make_environment_without_copies(tmp_path, "submit:hang,after=1,times=always") as here:
        async with running_studio(here.studio.settings, here.clock) as other:
            old = await here.made(**SLOW)
            here.clock.shift_calendar(601)
            made = []

            async def call(number: int) -> None:
                made.append(await (other if number % 2 else here.studio).create(make_request(**SLOW), LOCAL))

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(call, number)
            assert len({one.task.id for one in made} - {old.id}) == 1
            await until_accepted(here.studio, made[0].task)
            here.studio.begin_shutdown()
            other.begin_shutdown()
        assert here.asked["imagine"] == 2


async def test_a_fresh_call_that_has_no_budget_parts_nothing(tmp_path: Path) -> None:
    """The one that runs is still joined."""
    async with make_environment_without_copies(
        tmp_path, "submit:hang,times=always", JOURNEY_MCP_BUDGET="4credits/day"
    ) as here:
        first = await here.studio.create(make_request(**SLOW), LOCAL)
        with pytest.raises(OverBudget):
            await here.studio.create(make_request(**SLOW), LOCAL, fresh=True)
        assert (await here.studio.create(make_request(**SLOW), LOCAL)).task.id == first.task.id


@contextmanager
def slow_statements(here: Environment) -> Iterator[None]:
    """Let a millisecond pass in every statement."""

    def pass_time(*_arguments: Any) -> None:
        here.clock.advance(0.001)

    sa.event.listen(sa.Engine, "after_cursor_execute", pass_time)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", pass_time)


async def test_a_call_that_comes_when_the_warning_ends_is_made(tmp_path: Path) -> None:
    """Whoever looks first and whoever stores go by the same time."""
    async with make_environment_without_copies(tmp_path, "submit:reset_after") as here:
        await here.made()
        here.clock.shift_calendar(599)
        with anyio.fail_after(2), slow_statements(here):
            while True:
                try:
                    created = await here.studio.create(make_request(), LOCAL)
                except PerhapsPaid:
                    continue
                break
        assert created.notice is None


async def test_other_processes_find_an_acknowledgement_by_themselves(tmp_path: Path) -> None:
    """As soon as it is stored: no call waits for that, and nobody has to ask for it."""
    async with make_environment_without_copies(tmp_path) as here:
        first = await here.made(**SLOW)
        here.studio.acknowledge([first])
        database = sqlite3.connect(tmp_path / "tasks.db")
        await until(lambda: database.execute("SELECT duplicate_policy FROM tasks").fetchone() == (None,))
        database.close()


async def test_another_image_under_the_same_path_is_another_request(tmp_path: Path) -> None:
    """What lies in the file counts, not its name."""
    from studio.test_inputs import image_bytes  # noqa: PLC0415

    path = tmp_path / "cat.png"
    edit = {"tool": "edit_image", "model": "flux-kontext-pro", "prompt": "make it blue", "image": str(path)}
    async with make_wide_environment_without_copies(
        tmp_path / "data", "submit:hang,times=always", services=["bfl"], JOURNEY_MCP_IMAGE_DIRS=tmp_path
    ) as here:
        path.write_bytes(image_bytes())
        first = await here.studio.create(make_request(**edit), LOCAL)
        assert (await here.studio.create(make_request(**edit), LOCAL)).task.id == first.task.id
        path.write_bytes(image_bytes(size=(170, 120)))
        assert (await here.studio.create(make_request(**edit), LOCAL)).task.id != first.task.id


def test_a_digest_reveals_nothing_of_the_prompt() -> None:
    """And is the same every time."""
    request = ImageRequest(tool="imagine", prompt="a secret plan", model="midjourney")
    assert digest(request) == digest(request)
    assert len(digest(request)) == 64
    assert digest(request) != digest(request, ["aa"])


async def acknowledge(here: Environment, task_id: str) -> None:
    """Acknowledge the task, and store that."""
    async with deduplication(here) as other:
        other.acknowledge(list((await here.studio.fetch([task_id], LOCAL)).values()))
        await other.store_acknowledged()


@asynccontextmanager
async def deduplication(here: Environment) -> AsyncIterator[Deduplication]:
    """Another process's, at the same database."""
    async with open_store(here.studio.settings.resolved_database_url()) as store:
        yield Deduplication(Journal(store, here.clock, store.notifications), store, here.clock)


@pytest.mark.parametrize("others", [False, True])
async def test_a_fresh_call_leaves_the_earlier_one_whole(tmp_path: Path, others: bool) -> None:
    """Its result is stored, though another task has its deduplication key now; also from another process."""
    async with (
        make_environment_without_copies(tmp_path, "submit:delay=0.5") as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        first = (await here.studio.create(make_request(), LOCAL)).task
        await until(lambda: here.sent)
        second = (await (other if others else here.studio).create(make_request(), LOCAL, fresh=True)).task
        assert second.id != first.id
        done = await here.studio.wait_for_new(first, 60)
        assert done.status is Status.SUCCEEDED
        rows = sqlite3.connect(tmp_path / "tasks.db").execute("SELECT id, status FROM tasks").fetchall()
        assert dict(rows)[first.id] == "succeeded"

"""Waits that outlive a database that does not answer. The database is moved away, and back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from manual_clock import until
from support import Environment, database_away, make_environment_without_copies, running_studio

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.studio import Studio

SILENT = Notice.of("database_silent")


@dataclass
class Caller:
    """A call that waits for a task, and what it was told meanwhile."""

    beats: list[tuple[float, str]] = field(default_factory=list)
    result: Task | None = None
    error: StoreUnavailable | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the call has returned."""
        return self.result is not None or self.error is not None

    async def fetch(self, studio: Studio, task_id: str, seconds: float, principal: Principal = LOCAL) -> None:
        """Fetch the task, with a wait."""
        try:
            found = await studio.fetch([task_id], principal, seconds=seconds, report=self._report)
        except StoreUnavailable as error:
            self.error = error
        else:
            self.result = found[task_id]

    async def _report(self, progress: float, message: str) -> None:
        self.beats.append((progress, message))


@asynccontextmanager
async def two_servers(folder: Path, *faults: str) -> AsyncIterator[tuple[Environment, Studio, Task]]:
    """Return a server with a running task, another server on its database, and the task."""
    async with (
        make_environment_without_copies(folder, *faults) as here,
        running_studio(here.studio.settings, here.clock) as other,
    ):
        yield here, other, await here.accepted(model="midjourney")
        other.begin_shutdown()


async def test_a_wait_for_a_task_of_another_server_outlives_the_database(tmp_path: Path) -> None:
    """It returns the result as soon as the database is back, as if nothing had been."""
    async with (
        two_servers(tmp_path, "fetch:delay=10,times=2") as (here, other, task),
        anyio.create_task_group() as group,
    ):
        caller = Caller()
        group.start_soon(caller.fetch, other, task.id, 120.0)
        await here.clock.sleep(1)
        with database_away(tmp_path):
            await here.clock.sleep(30)
            assert not caller.has_ended
        await until(lambda: caller.has_ended)
        assert caller.result is not None
        assert (caller.result.status, len(caller.result.images)) == (Status.SUCCEEDED, 4)
        assert SILENT not in caller.result.notices
        assert all(before < after for (before, _), (after, _) in pairwise(caller.beats))
        assert here.asked["imagine"] == 1


async def test_the_end_of_the_last_task_is_no_progress(tmp_path: Path) -> None:
    """The result follows at once, and says more."""
    async with (
        make_environment_without_copies(tmp_path, "fetch:delay=10,times=2") as here,
        anyio.create_task_group() as group,
    ):
        task, caller = await here.accepted(model="midjourney"), Caller()
        group.start_soon(caller.fetch, here.studio, task.id, 120.0)
        await until(lambda: caller.has_ended)
        assert caller.result is not None
        assert caller.result.status is Status.SUCCEEDED
        assert [message for _, message in caller.beats if "done" in message] == []
        assert len(caller.beats) > 2


async def test_after_its_time_a_wait_returns_what_was_last_known(tmp_path: Path) -> None:
    """The task is running, with a notice; it has not failed, and nothing of the notice is stored."""
    async with two_servers(tmp_path, "submit:hang") as (here, other, task), anyio.create_task_group() as group:
        caller = Caller()
        group.start_soon(caller.fetch, other, task.id, 25.0)
        await here.clock.sleep(1)
        with database_away(tmp_path):
            began = here.clock.elapsed()
            await until(lambda: caller.has_ended)
            assert here.clock.elapsed() - began == pytest.approx(24, abs=0.2)
        assert caller.result is not None
        assert (caller.result.status, caller.result.submission) == (Status.RUNNING, Submission.ACCEPTED)
        assert caller.result.notices[-1] == SILENT
        assert "goes on" in str(SILENT)
        assert SILENT not in (await other.fetch([task.id], LOCAL))[task.id].notices


async def test_a_fetch_reads_again_until_the_database_is_back(tmp_path: Path) -> None:
    """Its first read failed; meanwhile the caller gets heartbeats, and its time is not prolonged."""
    async with two_servers(tmp_path, "submit:hang") as (here, other, task), anyio.create_task_group() as group:
        caller, began = Caller(), here.clock.elapsed()
        with database_away(tmp_path):
            group.start_soon(caller.fetch, other, task.id, 40.0)
            await here.clock.sleep(31)
            assert {message for _, message in caller.beats} == {"The task database does not answer; trying again"}
            assert len(caller.beats) == 10
        await until(lambda: caller.has_ended)
        assert here.clock.elapsed() - began == pytest.approx(40, abs=0.2)
        assert caller.result is not None
        assert (caller.result.status, caller.result.notices) == (Status.RUNNING, ())
        assert all(0 < before < after < 1 for (before, _), (after, _) in pairwise(caller.beats))


async def test_a_fetch_that_could_never_read_fails_when_its_time_is_up(tmp_path: Path) -> None:
    """It is not known whether there is such a task, so it has no status."""
    async with two_servers(tmp_path, "submit:hang") as (here, other, task):
        for seconds in (0.0, 25.0):
            with database_away(tmp_path):
                began = here.clock.elapsed()
                caller = Caller()
                await caller.fetch(other, task.id, seconds)
            assert here.clock.elapsed() - began == pytest.approx(seconds, abs=0.1)
            assert caller.error is not None
            assert (caller.error.code, caller.error.retryable) == ("store_unavailable", True)


async def test_a_fetch_that_cannot_read_ends_with_the_server(tmp_path: Path) -> None:
    """A shut-down waits for no database."""
    async with two_servers(tmp_path, "submit:hang") as (here, other, task), anyio.create_task_group() as group:
        caller = Caller()
        with database_away(tmp_path):
            group.start_soon(caller.fetch, other, task.id, 300.0)
            await here.clock.sleep(5)
            other.begin_shutdown()
            await here.clock.sleep(0.1)
            assert caller.error is not None


async def test_a_task_of_this_server_needs_no_database_while_it_runs(tmp_path: Path) -> None:
    """Its caller gets the result from memory."""
    async with two_servers(tmp_path, "fetch:delay=10,times=2") as (here, _, task):
        with database_away(tmp_path):
            made = (await here.studio.fetch([task.id], LOCAL, seconds=120))[task.id]
            assert made.status is Status.SUCCEEDED
            assert SILENT not in made.notices

"""What is right for a task whose process died, by how far its request had come."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from support import FastClock, created, fast_studio, settings_for, wish, world

from journey_mcp import sandbox
from journey_mcp.copies import Copies
from journey_mcp.fetching import Fetcher, Trusted
from journey_mcp.holdings import LEASE_S, Holdings
from journey_mcp.leases import keep
from journey_mcp.owners import is_alive, new_owner
from journey_mcp.store import open_store
from journey_mcp.studio import Studio
from journey_mcp.tasks import Status, Submission, Task


def left_behind(base_url: str, **more: object) -> Task:
    """A task of a process that is gone."""
    fields: dict[str, object] = {
        "id": "tsk_left",
        "principal": "local",
        "request": wish(model="midjourney"),
        "provider": "journeyapi",
        "base_url": base_url,
        "created_at": FastClock().now() - 5,
        "updated_at": 0.0,
    }
    return Task(**{**fields, **more})  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("submission", "code", "is_charged"),
    [(Submission.PREPARED, "not_submitted", False), (Submission.SENT, "submission_unconfirmed", True)],
)
async def test_a_request_without_an_answer_ends_as_what_is_known_of_it(
    tmp_path: Path, submission: Submission, code: str, is_charged: bool
) -> None:
    """Never sent: free. Sent without an answer: perhaps charged, and never sent again."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with open_store(settings.resolved_database_url()) as store:
            await store.add(left_behind(upstream.base_url, submission=submission), owner="gone", lease_until=1)
        async with fast_studio(settings) as studio:
            task = (await studio.fetch(["tsk_left"], seconds=60))["tsk_left"]
            assert task.failure is not None
            assert (task.status, task.failure.code) == (Status.FAILED, code)
            assert ("charged" in task.failure.message) is is_charged
        assert upstream.sandbox.ledger.requests["imagine"] == 0


async def test_an_accepted_task_of_a_model_that_is_gone_is_still_asked_for(tmp_path: Path) -> None:
    """What was paid is fetched, whatever the registry says today."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with fast_studio(settings) as studio:
            made = await studio.wait_for_new(await created(studio, wish()), 300)
        lost = left_behind(
            upstream.base_url,
            request=wish(model="no-longer-offered"),
            submission=Submission.ACCEPTED,
            status=Status.RUNNING,
            prediction_id=made.prediction_id,
        )
        async with open_store(settings.resolved_database_url()) as store:
            await store.add(lost, owner="gone", lease_until=1)
        async with fast_studio(settings) as studio:
            task = (await studio.fetch(["tsk_left"], seconds=60))["tsk_left"]
            assert (task.status, task.images) == (Status.SUCCEEDED, made.images)


@asynccontextmanager
async def beside_a_paused_process(folder: Path, submission: Submission) -> AsyncIterator[tuple[Studio, float]]:
    """A studio beside a living process that does not renew, and when that last wrote its task."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings, clock = settings_for(upstream.base_url, folder), FastClock()
        written_at = clock.now()
        waiting = left_behind(upstream.base_url, submission=submission, updated_at=written_at)
        async with open_store(settings.resolved_database_url()) as store:
            await store.add(waiting, owner=new_owner(), lease_until=1)
        async with fast_studio(settings, clock) as studio:
            yield studio, written_at


async def test_a_process_that_is_paused_keeps_the_request_that_it_waits_for(tmp_path: Path) -> None:
    """Its answer may still come; only after every wait could have ended is it taken from a living one."""
    async with beside_a_paused_process(tmp_path, Submission.SENT) as (studio, sent_at):
        seen = (await studio.fetch(["tsk_left"], seconds=60))["tsk_left"]
        assert not seen.status.is_final
        ended = (await studio.fetch(["tsk_left"], seconds=600))["tsk_left"]
        assert ended.failure is not None
        assert ended.failure.code == "submission_unconfirmed"
        assert ended.updated_at - sent_at > 360


async def test_a_process_that_is_paused_keeps_what_stands_in_line_there(tmp_path: Path) -> None:
    """However long: nothing was sent, and it goes on when the process does."""
    async with beside_a_paused_process(tmp_path, Submission.PREPARED) as (studio, _):
        seen = (await studio.fetch(["tsk_left"], seconds=900))["tsk_left"]
        assert seen.status is Status.QUEUED


def test_a_name_tells_whether_its_process_lives() -> None:
    """Here; of other machines nothing is known."""
    assert is_alive(new_owner()) is True
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, pid, birth, _ = new_owner().split(":")
    assert is_alive(f"{host}:{ended.pid}:{birth}:x") is False
    assert is_alive(f"{host}:{10**30}:{birth}:x") is False
    assert is_alive("elsewhere:1:x:y") is None
    assert is_alive("gone") is None
    # after a restart of the machine, or of a container, another process has the number
    assert is_alive(f"{host}:{pid}:another:x") is (sys.platform != "linux")


async def test_what_an_unknown_machine_has_not_sent_is_ended_at_once(tmp_path: Path) -> None:
    """It cannot be sent there any more; what was sent may still be answered there."""
    async with world(tmp_path) as here:
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            for name, submission in (("prepared", Submission.PREPARED), ("sent", Submission.SENT)):
                now = here.clock.now()
                task = left_behind(here.upstream.base_url, submission=submission, updated_at=now)
                await store.add(replace(task, id=name), owner="elsewhere:1:x:y", lease_until=1)
        ended = (await here.studio.fetch(["prepared"], seconds=60))["prepared"]
        assert ended.failure is not None
        assert (ended.failure.code, ended.submission) == ("not_submitted", Submission.REFUSED)
        assert not (await here.studio.fetch(["sent"]))["sent"].status.is_final


async def test_what_is_ours_by_the_store_and_not_in_memory_is_ended(tmp_path: Path) -> None:
    """Something broke off in between: nobody else would look after it."""
    async with world(tmp_path) as here:
        await here.made()
        ((owner,),) = sqlite3.connect(tmp_path / "tasks.db").execute("SELECT lease_owner FROM tasks").fetchall()
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            task = left_behind(here.upstream.base_url, updated_at=here.clock.now())
            await store.add(task, owner=owner, lease_until=1)
        ended = (await here.studio.fetch(["tsk_left"], seconds=60))["tsk_left"]
        assert ended.failure is not None
        assert ended.failure.code == "not_submitted"


class SleepyClock(FastClock):
    """A machine that falls asleep for an hour in each of its first pauses."""

    sleeps = 2

    async def sleep(self, seconds: float) -> None:
        """Pause, and perhaps wake up an hour later."""
        await super().sleep(seconds)
        if self.sleeps:
            self.sleeps -= 1
            self.leap(3600)


async def test_after_a_pause_of_the_machine_others_get_a_round_to_renew(tmp_path: Path) -> None:
    """Every lease looks old then: nothing is taken over in the first moment, what stays old afterwards is."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        clock = SleepyClock()
        holdings = Holdings(store, clock)
        await store.add(left_behind("u"), owner="another", lease_until=clock.now() + LEASE_S)
        looked_at: list[float] = []

        def addresses() -> list[tuple[str, str | None]]:
            looked_at.append(clock.now())
            return [("journeyapi", "u")]

        started = clock.now()
        async with anyio.create_task_group() as group:
            group.start_soon(
                partial(
                    keep,
                    holdings,
                    addresses=addresses,
                    go_on=lambda _task: None,
                    forget_older=Copies(tmp_path, 0, Fetcher(Trusted()), clock).forget_older,
                    keep_s=1e9,
                )
            )
            with anyio.fail_after(20):
                while len(looked_at) < 2:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        # it looks once at the start; the two rounds after an hour's sleep are left out; the next one looks again
        assert [round((at - started) / 3600) for at in looked_at[:2]] == [0, 2]


async def test_a_store_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    """Renewal and take-over go on once it does."""
    async with world(tmp_path, "submit:hang") as here:
        task = await here.accepted(model="midjourney")
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("ALTER TABLE tasks RENAME TO hidden")
        await here.clock.sleep(10)
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("ALTER TABLE hidden RENAME TO tasks")
        connection.close()
        await here.clock.sleep(10)
        assert (await here.studio.fetch([task.id]))[task.id].status is Status.RUNNING

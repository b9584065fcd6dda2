"""Recovery of a task whose process died, by how far its request had come."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from manual_clock import ManualClock
from support import (
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    running_studio,
    settings_for,
    statements,
)

from journey_mcp import sandbox
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.worker_id import new_worker_id
from journey_mcp.engine.journal import LEASE_S, Journal
from journey_mcp.engine.liveness import Liveness
from journey_mcp.engine.recovery import RENEW_AFTER_S, Recovery
from journey_mcp.engine.retention import Retention
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.providers.http import MAX_SUBMIT_S
from journey_mcp.store import Store, open_store
from journey_mcp.store.leases import Leases
from journey_mcp.studio import Studio


def left_behind(base_url: str, **more: object) -> Task:
    """Return a task of a dead process."""
    fields: dict[str, object] = {
        "id": "tsk_left",
        "principal": "local",
        "request": make_request(model="midjourney"),
        "provider": "journeyapi",
        "base_url": base_url,
        "created_at": ManualClock().now() - 5,
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
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with open_store(settings.resolved_database_url()) as store:
            await store.tasks.add(
                left_behind(upstream.base_url, submission=submission), worker_id="gone", lease_until=1
            )
        async with running_studio(settings) as studio:
            task = (await studio.fetch(["tsk_left"], LOCAL, seconds=60))["tsk_left"]
            assert task.failure is not None
            assert (task.status, task.failure.code) == (Status.FAILED, code)
            assert ("charged" in task.failure.message) is is_charged
        assert upstream.sandbox.request_log.requests["imagine"] == 0


async def test_an_accepted_task_of_a_removed_model_is_still_polled(tmp_path: Path) -> None:
    """What was paid is fetched, whatever the registry has today."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with running_studio(settings) as studio:
            made = await studio.wait_for_new(await created(studio, make_request()), 300)
        lost = left_behind(
            upstream.base_url,
            request=make_request(model="no-longer-offered"),
            submission=Submission.ACCEPTED,
            status=Status.RUNNING,
            prediction_id=made.prediction_id,
        )
        async with open_store(settings.resolved_database_url()) as store:
            await store.tasks.add(lost, worker_id="gone", lease_until=1)
        async with running_studio(settings) as studio:
            task = (await studio.fetch(["tsk_left"], LOCAL, seconds=60))["tsk_left"]
            # the rest of what is known of an image comes with its copy
            assert task.status is Status.SUCCEEDED
            assert [image.url for image in task.images] == [image.url for image in made.images]


@asynccontextmanager
async def beside_a_paused_process(
    folder: Path, submission: Submission
) -> AsyncIterator[tuple[Studio, ManualClock, float]]:
    """Return a studio beside a process that runs but does not renew, its clock, and when that last wrote its task."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings, clock = settings_for(upstream.base_url, folder), ManualClock()
        written_at = clock.now()
        waiting = left_behind(upstream.base_url, submission=submission, updated_at=written_at)
        async with open_store(settings.resolved_database_url()) as store:
            await store.tasks.add(waiting, worker_id=new_worker_id(), lease_until=1)
        async with running_studio(settings, clock) as studio:
            yield studio, clock, written_at


async def test_a_paused_process_keeps_the_request_whose_answer_it_awaits(tmp_path: Path) -> None:
    """The answer may still come; only after every wait must have ended is it taken over."""
    async with beside_a_paused_process(tmp_path, Submission.SENT) as (studio, clock, sent_at):
        longest_s = MAX_SUBMIT_S + 60
        await clock.sleep(longest_s - 1)
        seen = (await studio.fetch(["tsk_left"], LOCAL))["tsk_left"]
        assert not seen.status.is_final
        await clock.sleep(LEASE_S + 1)
        ended = (await studio.fetch(["tsk_left"], LOCAL))["tsk_left"]
        assert ended.failure is not None
        assert ended.failure.code == "submission_unconfirmed"
        assert longest_s <= ended.updated_at - sent_at <= longest_s + LEASE_S


async def test_a_paused_process_keeps_its_queued_tasks(tmp_path: Path) -> None:
    """For any time: nothing was sent, and they continue when the process does."""
    async with beside_a_paused_process(tmp_path, Submission.PREPARED) as (studio, clock, _):
        await clock.sleep(900)
        seen = (await studio.fetch(["tsk_left"], LOCAL))["tsk_left"]
        assert seen.status is Status.QUEUED


async def test_an_unsent_task_of_an_unknown_machine_ends_at_once(tmp_path: Path) -> None:
    """It cannot be sent there any more; what was sent may still be answered there."""
    async with make_environment_without_copies(tmp_path) as here:
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            for name, submission in (("prepared", Submission.PREPARED), ("sent", Submission.SENT)):
                now = here.clock.now()
                task = left_behind(here.upstream.base_url, submission=submission, updated_at=now)
                await store.tasks.add(replace(task, id=name), worker_id="elsewhere:1:x:y", lease_until=1)
        ended = (await here.studio.fetch(["prepared"], LOCAL, seconds=60))["prepared"]
        assert ended.failure is not None
        assert (ended.failure.code, ended.submission) == ("not_submitted", Submission.REFUSED)
        assert not (await here.studio.fetch(["sent"], LOCAL))["sent"].status.is_final


async def test_a_task_that_is_leased_here_but_not_in_memory_ends(tmp_path: Path) -> None:
    """Its acquisition was interrupted: no process would poll it."""
    async with make_environment_without_copies(tmp_path) as here:
        await here.made()
        ((owner,),) = sqlite3.connect(tmp_path / "tasks.db").execute("SELECT lease_worker FROM tasks").fetchall()
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            task = left_behind(here.upstream.base_url, updated_at=here.clock.now())
            await store.tasks.add(task, worker_id=owner, lease_until=1)
        ended = (await here.studio.fetch(["tsk_left"], LOCAL, seconds=60))["tsk_left"]
        assert ended.failure is not None
        assert ended.failure.code == "not_submitted"


class NoUpstreams:
    """Nothing is polled or taken over."""

    def addresses(self) -> list[tuple[str, str | None]]:
        """Return none."""
        return []

    def serves(self, task: Task) -> bool:
        """Never."""
        raise AssertionError(task.id)

    def lacks_key_of(self, task: Task) -> bool:
        """Never."""
        raise AssertionError(task.id)

    def add(self, task: Task, *, now: bool = False) -> None:
        """Never."""
        raise AssertionError(task.id, now)


def recovery_of(
    journal: Journal, store: Store, clock: ManualClock, folder: Path, upstreams: NoUpstreams | None = None
) -> Recovery:
    """Return a recovery with these upstreams, or without any."""
    upstreams = upstreams or NoUpstreams()
    retention = Retention(ImageFolder(folder), store, clock, max_bytes=1)
    liveness = Liveness(store.workers, clock, journal.worker_id)
    return Recovery(journal, store, clock, upstreams, upstreams, retention, liveness, keep_s=1e9)


class SleepyClock(ManualClock):
    """A machine that is suspended for an hour in each of its first pauses."""

    sleeps = 2

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait, and perhaps wake up an hour later."""
        is_set = await super().wait(event, seconds)
        if self.sleeps:
            self.sleeps -= 1
            self.shift_calendar(3600)
        return is_set


async def test_after_the_machine_sleeps_others_get_a_cycle_to_renew(tmp_path: Path) -> None:
    """Every lease looks expired then: none is taken over at first, those that stay expired are afterwards."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        clock = SleepyClock()
        journal = Journal(store, clock, store.notifications)
        await store.tasks.add(left_behind("u"), worker_id="another", lease_until=clock.now() + LEASE_S)
        looked_at: list[float] = []

        class Looking(NoUpstreams):
            def addresses(self) -> list[tuple[str, str | None]]:
                looked_at.append(clock.now())
                return [("journeyapi", "u")]

            def serves(self, task: Task) -> bool:
                return not task.has_own_key

            def lacks_key_of(self, task: Task) -> bool:
                return task.has_own_key

        # it was not accepted: there is nothing to poll
        recovery = recovery_of(journal, store, clock, tmp_path, Looking())
        started = clock.now()
        async with anyio.create_task_group() as group:
            group.start_soon(recovery.run)
            await clock.sleep(LEASE_S + 2 * RENEW_AFTER_S + 1)
            group.cancel_scope.cancel()
        # it looks once at the start; the two rounds after an hour's sleep are left out; the next one looks again
        again_s = 2 * 3600 + LEASE_S + 2 * RENEW_AFTER_S
        assert [at - started for at in looked_at] == pytest.approx([0, again_s])


async def test_a_store_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    """Renewal and take-over continue once it does."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        task = await here.accepted(model="midjourney")
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("ALTER TABLE tasks RENAME TO hidden")
        await here.clock.sleep(10)
        with sqlite3.connect(tmp_path / "tasks.db") as connection:
            connection.execute("ALTER TABLE hidden RENAME TO tasks")
        connection.close()
        await here.clock.sleep(10)
        assert (await here.studio.fetch([task.id], LOCAL))[task.id].status is Status.RUNNING


LOOK, RENEWAL = "tasks.lease_until <=", "SET lease_until"
"""In the statements that look for expired leases, and in those that renew own ones."""


async def test_an_idle_server_checks_leases_once_per_lease(tmp_path: Path) -> None:
    """A process that dies later is noticed in time; more checks would be useless."""
    async with make_environment_without_copies(tmp_path) as here:
        await here.clock.sleep(1)
        with statements(LOOK) as looks, statements(RENEWAL) as renewals:
            await here.clock.sleep(100 * LEASE_S)
        assert (len(looks), renewals) == (100, [])


async def test_a_task_is_taken_over_when_its_lease_expires(tmp_path: Path) -> None:
    """No later: the loop sleeps until then, and not until its next cycle."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings, clock = settings_for(upstream.base_url, tmp_path), ManualClock()
        started = clock.now()
        expiries = [started + seconds for seconds in (2.5, 4.25, 13.0)]
        async with open_store(settings.resolved_database_url()) as store:
            for number, expires_at in enumerate(expiries):
                task = replace(left_behind(upstream.base_url), id=f"tsk_{number}")
                await store.tasks.add(task, worker_id="gone", lease_until=expires_at)
        async with running_studio(settings, clock) as studio:
            with statements(LOOK) as looks:
                await clock.sleep(20)
            ended = await studio.fetch(["tsk_0", "tsk_1", "tsk_2"], LOCAL)
        assert [ended[id_].updated_at for id_ in sorted(ended)] == pytest.approx(expiries, abs=0.001)
        # two seconds after a task was acquired it would be renewed
        looked_at = [values[0] - started for statement, values in looks if statement.startswith("SELECT")]
        assert looked_at == pytest.approx([0, 2.5, 4.25, 6.25, 12.25, 13, 15], abs=0.01)


async def test_an_acquired_task_is_renewed_in_time_though_nothing_was_due(tmp_path: Path) -> None:
    """The loop of an idle server sleeps longer than that; a second task does not delay the first one."""
    async with make_environment_without_copies(tmp_path, "submit:hang,times=always") as here:
        await here.clock.sleep(1)
        acquired_at = here.clock.now()
        with statements(RENEWAL) as renewals:
            await here.accepted(model="midjourney", prompt="a kite")
            await here.clock.sleep(1.5)
            await here.accepted(model="midjourney", prompt="a boat")
            assert here.clock.now() == pytest.approx(acquired_at + 1.5, abs=0.1)
            await here.clock.sleep(0.3)
            assert renewals == []
            await here.clock.sleep(0.3)
            assert len(renewals) == 1
            # a lease is renewed every two seconds from then on, both tasks in one statement
            await here.clock.sleep(20)
            assert len(renewals) == 11
        connection = sqlite3.connect(tmp_path / "tasks.db")
        leases = connection.execute("SELECT lease_until FROM tasks").fetchall()
        connection.close()
        assert [lease for (lease,) in leases] == pytest.approx([acquired_at + 22 + LEASE_S] * 2, abs=0.1)


class CountingClock(ManualClock):
    """Counts the waits of a loop."""

    waits = 0

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Count, and wait."""
        self.waits += 1
        return await super().wait(event, seconds)


async def test_tasks_that_come_while_one_is_leased_do_not_wake_the_loop(tmp_path: Path) -> None:
    """It wakes for the first one, and to renew all of them."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        clock = CountingClock()
        journal = Journal(store, clock, store.notifications)
        async with anyio.create_task_group() as group:
            group.start_soon(recovery_of(journal, store, clock, tmp_path).run)
            await clock.sleep(1)
            assert clock.waits == 1
            for number in range(100):
                await journal.add(replace(left_behind("u"), id=f"tsk_{number}"))
                await clock.sleep(0.01)
            assert clock.waits == 2
            with statements(RENEWAL) as renewals:
                await clock.sleep(RENEW_AFTER_S)
            assert (clock.waits, len(renewals)) == (3, 1)
            group.cancel_scope.cancel()


class LateNews:
    """The leases of a store, where a task is acquired just after they were read."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.acquire: Callable[[], Awaitable[object]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)

    async def next_expiry(self, **given: Any) -> float | None:
        """Return when the next lease expires."""
        found = await self._leases.next_expiry(**given)
        acquire, self.acquire = self.acquire, None
        if acquire:
            await acquire()
        return found


async def test_a_task_that_is_acquired_at_the_end_of_a_cycle_is_renewed_in_time(tmp_path: Path) -> None:
    """The loop has decided by then to sleep for the length of a lease."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store:
        store.leases = leases = cast(Any, LateNews(store.leases))
        clock = ManualClock()
        journal = Journal(store, clock, store.notifications)
        async with anyio.create_task_group() as group:
            group.start_soon(recovery_of(journal, store, clock, tmp_path).run)
            await clock.sleep(1)
            leases.acquire = partial(journal.add, left_behind("u"))
            with statements(RENEWAL) as renewals:
                await clock.sleep(LEASE_S - 1 + RENEW_AFTER_S + 0.1)
            assert len(renewals) == 1
            group.cancel_scope.cancel()


async def test_a_request_that_waits_for_its_webhook_ends_also_after_a_second_take_over(tmp_path: Path) -> None:
    """The first take-over leaves a notice; the second one changes nothing, and must check the deadline all the same."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        now = ManualClock().now()
        waiting = left_behind(
            upstream.base_url,
            submission=Submission.SENT,
            status=Status.RUNNING,
            updated_at=now,
            callback_deadline=now + 500,
        )
        host, _, birth, _ = new_worker_id().split(":")
        async with open_store(settings.resolved_database_url()) as store:
            await store.tasks.add(waiting, worker_id=(dead := f"{host}:{10**30}:{birth}:x"), lease_until=1)
        for lives_s in (100, 600):
            async with running_studio(settings, clock := ManualClock()) as studio:
                await clock.sleep(lives_s)
                task = (await studio.fetch(["tsk_left"], LOCAL))["tsk_left"]
                assert task.status.is_final is (lives_s == 600)
                studio.begin_shutdown()
            # the next one is to find the task of a process that is gone, and not of this one
            with sqlite3.connect(tmp_path / "tasks.db") as connection:
                connection.execute("UPDATE tasks SET lease_worker = ?", (dead,))
            connection.close()
        assert task.failure is not None
        assert task.failure.code == "submission_unconfirmed"
        assert task.updated_at - now == pytest.approx(500, abs=0.1)

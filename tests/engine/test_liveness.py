"""Workers that run, are dead, or cannot be seen: what happens to their tasks."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest
from manual_clock import ManualClock
from store.examples import TASK
from support import make_environment_without_copies, statements

from engine.test_outages import answers_lost
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.worker_id import new_worker_id
from journey_mcp.engine.journal import LEASE_S, Journal
from journey_mcp.engine.liveness import ANSWERED_WITHIN_S, Liveness
from journey_mcp.engine.recovery import Recovery
from journey_mcp.engine.retention import Retention
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import open_store

ELSEWHERE = "another-host:1:x:y"


@dataclass
class Heartbeats:
    """The `Workers` of one process alone."""

    clock: ManualClock
    seen: dict[str, float] = field(default_factory=dict)
    beats: list[float] = field(default_factory=list)

    async def beat(self, worker_id: str) -> None:
        """Keep the time."""
        self.seen[worker_id] = self.clock.now()
        self.beats.append(self.clock.elapsed())

    async def seen_at(self, worker_ids: Collection[str]) -> Mapping[str, float]:
        """Return what is kept."""
        return {worker_id: at for worker_id, at in self.seen.items() if worker_id in worker_ids}


@dataclass
class Polled:
    """Poller of tasks at one address, which keeps which they are, and when each was taken over."""

    clock: ManualClock
    tasks: dict[str, float] = field(default_factory=dict)

    def addresses(self) -> Iterable[tuple[str, str | None]]:
        """Return the address of the example."""
        return [(TASK.provider, TASK.base_url)]

    def serves(self, task: Task) -> bool:
        """Return that it runs with a key of the settings."""
        return not task.has_own_key

    def lacks_key_of(self, task: Task) -> bool:
        """Return the opposite."""
        return task.has_own_key

    def add(self, task: Task, *, now: bool = False) -> None:
        """Keep the time."""
        assert now
        self.tasks[task.id] = self.clock.elapsed()


async def test_a_worker_of_another_machine_runs_as_long_as_it_is_seen() -> None:
    """One that is not seen may be cut off from the database only, so it is not known to be dead."""
    clock = ManualClock()
    here, gone = new_worker_id(), f"{new_worker_id().partition(':')[0]}:{10**30}:b:x"
    beats = Heartbeats(clock, {ELSEWHERE: clock.now(), gone: clock.now()})
    liveness = Liveness(beats, clock, here)
    workers = [here, gone, ELSEWHERE, "another-host:2:x:y"]
    assert await liveness.running(workers) == dict(zip(workers, (True, False, True, None), strict=True))
    clock.advance(59)
    assert (await liveness.running([ELSEWHERE])) == {ELSEWHERE: True}
    clock.advance(2)
    assert (await liveness.running([ELSEWHERE])) == {ELSEWHERE: None}


async def test_each_task_of_a_silent_worker_waits_as_long_as_it_must(tmp_path: Path) -> None:
    """An accepted one is polled at once; an unsent one ends after a minute; an answer may come for 11 minutes."""
    clock = ManualClock()
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as store, anyio.create_task_group() as group:
        for submission in (Submission.PREPARED, Submission.SENT, Submission.ACCEPTED):
            task = replace(TASK, id=submission.value, submission=submission, updated_at=clock.now())
            await store.tasks.add(task, worker_id=ELSEWHERE, lease_until=clock.now() + LEASE_S)
        journal, polled = Journal(store, clock, store.notifications), Polled(clock)
        beats = Heartbeats(clock, {ELSEWHERE: clock.now()})
        retention = Retention(ImageFolder(tmp_path), store, clock, max_bytes=1)
        liveness = Liveness(beats, clock, journal.worker_id)
        group.start_soon(Recovery(journal, store, clock, polled, polled, retention, liveness, keep_s=1e9).run)

        async def ended_at(submission: Submission) -> float:
            while not (task := await store.tasks.find(submission.value)) or not task.status.is_final:
                await clock.sleep(1)
            assert task.status is Status.FAILED
            return clock.elapsed()

        started = clock.elapsed()
        assert 60 <= await ended_at(Submission.PREPARED) - started <= 60 + LEASE_S + 1
        assert polled.tasks == {"accepted": pytest.approx(LEASE_S, abs=0.1)}
        assert ANSWERED_WITHIN_S <= await ended_at(Submission.SENT) - started <= ANSWERED_WITHIN_S + LEASE_S + 1
        gaps = {round(after - before) for before, after in zip(beats.beats, beats.beats[1:], strict=False)}
        assert gaps <= set(range(15, 21))
        group.cancel_scope.cancel()


async def test_the_notice_says_until_when_an_answer_may_come(tmp_path: Path) -> None:
    """Only of a task whose worker cannot be seen; a paused process of this machine still gets its answer."""
    async with make_environment_without_copies(tmp_path) as here:
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            now = here.clock.now()
            for worker_id, name in ((ELSEWHERE, "lost"), (new_worker_id(), "paused")):
                sent = replace(
                    TASK,
                    id=name,
                    base_url=here.upstream.base_url,
                    submission=Submission.SENT,
                    status=Status.RUNNING,
                    created_at=now,
                    updated_at=now,
                )
                await store.tasks.add(sent, worker_id=worker_id, lease_until=now + LEASE_S)
        found = await here.studio.fetch(["lost", "paused"], LOCAL)
        assert [task.notices for task in found.values()] == [(), ()]
        await here.clock.sleep(LEASE_S + 1)
        found = await here.studio.fetch(["lost", "paused"], LOCAL)
        (notice,) = found["lost"].notices
        assert notice.code == "sender_lost"
        assert "Nothing is sent again" in str(notice)
        assert found["paused"].notices == ()


async def test_a_notice_that_cannot_be_found_out_is_left_out(tmp_path: Path) -> None:
    """The task itself was read; the answer to a caller does not fail for a notice."""
    async with make_environment_without_copies(tmp_path) as here:
        async with open_store(here.studio.settings.resolved_database_url()) as store:
            now = here.clock.now()
            sent = replace(TASK, base_url=here.upstream.base_url, submission=Submission.SENT, updated_at=now)
            await store.tasks.add(sent, worker_id=ELSEWHERE, lease_until=now + LEASE_S)
        await here.clock.sleep(LEASE_S + 1)
        with answers_lost("tasks.lease_worker"):
            assert (await here.studio.fetch([TASK.id], LOCAL))[TASK.id].notices == ()
        assert (await here.studio.fetch([TASK.id], LOCAL))[TASK.id].notices != ()


async def test_only_a_request_without_an_answer_costs_another_look(tmp_path: Path) -> None:
    """The leases of others are not read for a task that is finished, or that this process sent."""
    async with make_environment_without_copies(tmp_path, "submit:hang") as here:
        made = await here.accepted(model="midjourney")
        with statements("lease_worker") as seen:
            await here.studio.fetch([made.id], LOCAL)
        expired = [statement for statement, _ in seen if "lease_until <= " in statement]
        # recovery, which also looks for tasks with keys of callers, may come at any moment
        assert [statement for statement in expired if "sealed_key IS NOT NULL" not in statement] == []

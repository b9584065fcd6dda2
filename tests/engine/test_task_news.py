"""News between processes: two journals on one database, connected by queues. A queue is what a network would be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from manual_clock import ManualClock
from store.examples import TASK
from support import database_away, statements

from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task
from journey_mcp.engine.final_tasks import FinalTasks
from journey_mcp.engine.journal import LEASE_S, Journal
from journey_mcp.engine.liveness import Liveness
from journey_mcp.engine.task_reader import TaskReader
from journey_mcp.engine.waiting import Wait, Waiting, all_answered, all_final
from journey_mcp.store import Store, open_store

READ = "tasks.id IN"
"""In the statement by which a waiting caller reads tasks."""


@dataclass
class QueuedNews:
    """`Notifications` over queues: one for each process."""

    listeners: list["QueuedNews"]
    received: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    is_live: bool = False
    sent: list[str] = field(default_factory=list)
    is_lossy: bool = False

    async def notify(self, task_id: str) -> None:
        """Put the id into the queue of every process."""
        self.sent.append(task_id)
        for listener in self.listeners:
            if not self.is_lossy:
                listener.received.put_nowait(task_id)

    async def send(self, task_ids: Collection[str]) -> None:
        """Do the same for several."""
        for task_id in task_ids:
            await self.notify(task_id)

    async def run(self, on_task: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        """Hear until the connection breaks, and again."""
        while True:
            self.is_live = True
            on_gap()
            while (task_id := await self.received.get()) is not None:
                on_task(task_id)
            self.is_live = False
            await anyio.sleep(60)


@dataclass(frozen=True)
class Process:
    """What one process has."""

    store: Store
    journal: Journal
    news: QueuedNews
    reader: TaskReader
    clock: ManualClock

    async def waited(self, task_id: str, is_enough: Callable[[Mapping[str, Task]], bool]) -> tuple[Task, float]:
        """Wait for a task; return it, and when that was."""
        request = Wait(task_ids=[task_id], principal=LOCAL, seconds=60.0, is_enough=is_enough)
        known = await self.reader.known([task_id], principal=LOCAL)
        found = await Waiting(self.reader, self.journal, self.clock).wait(request, known)
        return found[task_id], self.clock.elapsed()

    async def report(self, task_id: str, status: Status, progress: float | None = None) -> None:
        """Apply what the provider reports."""
        prediction = Prediction(prediction_id="p", status=status, progress=progress)
        await self.journal.change(task_id, lambda task, now: task.accepted(prediction, now).apply(prediction, now))


@asynccontextmanager
async def two_processes(folder: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Return two processes on one database; the first one leases a task that was sent."""
    url, clock, listeners = f"sqlite:///{folder}/tasks.db", ManualClock(), list[QueuedNews]()
    async with open_store(url) as first, open_store(url) as second, anyio.create_task_group() as group:
        processes = []
        for store in (first, second):
            news = QueuedNews(listeners)
            listeners.append(news)
            journal = Journal(store, clock, news)
            liveness = Liveness(store.workers, clock, journal.worker_id)
            reader = TaskReader(store, journal, clock, news, liveness, FinalTasks(clock, keep_s=1e9))
            processes.append(Process(store, journal, news, reader, clock))
            group.start_soon(processes[-1].reader.run)
        assert await processes[0].journal.add(replace(TASK, created_at=clock.now()).sent(clock.now()))
        await clock.sleep(1)
        yield processes[0], processes[1]
        group.cancel_scope.cancel()


async def result_of(
    process: Process, act: Callable[[], Awaitable[None]], is_enough: Callable[[Mapping[str, Task]], bool] = all_final
) -> tuple[Task, float]:
    """Wait at this process, let something happen after ten seconds, and return the result with its delay."""
    results: list[tuple[Task, float]] = []

    async def wait() -> None:
        results.append(await process.waited(TASK.id, is_enough))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await process.clock.sleep(10.3)
        began = process.clock.elapsed()
        await act()
    (task, ended), *_ = results
    return task, ended - began


async def test_a_result_wakes_a_caller_at_another_process(tmp_path: Path) -> None:
    """At once; without news it reads every five seconds only."""
    async with two_processes(tmp_path) as (here, there):
        with statements(READ) as reads:
            task, delay_s = await result_of(there, lambda: here.report(TASK.id, Status.SUCCEEDED))
        assert task.status is Status.SUCCEEDED
        assert delay_s < 0.01
        # at its beginning, at the beginning of the wait, after 5 and 10 seconds, and when it was woken
        assert len(reads) == 5


async def test_an_answer_wakes_a_caller_that_waits_for_it(tmp_path: Path) -> None:
    """Progress alone notifies nobody: at 10,000 tasks that would be a thousand a second."""
    async with two_processes(tmp_path) as (here, there):
        task, delay_s = await result_of(
            there, lambda: here.report(TASK.id, Status.RUNNING, 0.1), is_enough=all_answered
        )
        assert task.status is Status.RUNNING
        assert delay_s < 0.01
        for progress in (0.2, 0.5):
            await here.report(TASK.id, Status.RUNNING, progress)
        assert here.news.sent == [TASK.id]
        await here.report(TASK.id, Status.SUCCEEDED)
        assert here.news.sent == [TASK.id, TASK.id]


async def test_lost_news_delay_a_result_by_seconds(tmp_path: Path) -> None:
    """News are hints; without a connection the store is read every half second, as ever."""
    async with two_processes(tmp_path) as (here, there):
        here.news.is_lossy = True
        task, delay_s = await result_of(there, lambda: here.report(TASK.id, Status.SUCCEEDED))
        assert task.status is Status.SUCCEEDED
        assert 4 < delay_s <= 5.1


async def test_a_process_without_notifications_reads_every_half_second(tmp_path: Path) -> None:
    """As on SQLite."""
    async with two_processes(tmp_path) as (here, there):
        there.news.received.put_nowait(None)
        await there.clock.sleep(0.1)
        assert not there.news.is_live
        task, delay_s = await result_of(there, lambda: here.report(TASK.id, Status.SUCCEEDED))
        assert task.status is Status.SUCCEEDED
        assert delay_s <= 0.5


async def test_after_a_gap_all_waiting_callers_read_again(tmp_path: Path) -> None:
    """What came in between was missed."""
    async with two_processes(tmp_path) as (here, there):

        async def missed() -> None:
            here.news.is_lossy = True
            await here.report(TASK.id, Status.SUCCEEDED)
            there.journal.refresh_all()

        task, delay_s = await result_of(there, missed)
        assert task.status is Status.SUCCEEDED
        assert delay_s < 0.01


async def test_a_webhook_at_another_process_wakes_the_caller_of_the_one_that_had_the_lease(tmp_path: Path) -> None:
    """That one believes that it still has the task, until it looks."""
    async with two_processes(tmp_path) as (here, there):

        async def taken_over() -> None:
            until = there.clock.now() + LEASE_S
            taken = await there.store.leases.take_over(TASK.id, worker_id=there.journal.worker_id, lease_until=until)
            assert taken
            there.journal.add_leased([taken])
            await there.report(TASK.id, Status.SUCCEEDED)

        task, delay_s = await result_of(here, taken_over)
        assert task.status is Status.SUCCEEDED
        assert delay_s < 0.01
        assert TASK.id not in here.journal


async def test_what_is_stored_late_is_told_then(tmp_path: Path) -> None:
    """Nobody is told of what cannot be read yet."""
    async with two_processes(tmp_path) as (here, there):
        with database_away(tmp_path):
            await here.report(TASK.id, Status.SUCCEEDED)
            assert here.news.sent == []
        task, delay_s = await result_of(there, here.journal.flush_pending)
        assert task.status is Status.SUCCEEDED
        assert delay_s < 0.01
        assert here.news.sent == [TASK.id]


async def test_news_of_a_task_in_memory_let_it_be_read_again(tmp_path: Path) -> None:
    """It may have been deleted; after a gap this holds for all."""
    async with two_processes(tmp_path) as (here, there):
        await here.report(TASK.id, Status.SUCCEEDED)
        await here.store.deduplication.acknowledge([TASK.id])
        await here.clock.sleep(1)

        async def known() -> bool:
            return TASK.id in await there.reader.known([TASK.id], principal=LOCAL)

        assert await known()
        await here.store.tasks.delete_older(than=here.clock.now() + 1)
        assert await known()
        await here.news.notify(TASK.id)
        await here.clock.sleep(0.1)
        assert not await known()

"""Waiting for tasks: any number of callers share one poll, and get a heartbeat every few seconds.

A wait outlives a database that does not answer: it goes on with what is known of the tasks.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.backoff import Heartbeat
from journey_mcp.engine.journal import Journal
from journey_mcp.store import Store

HEARTBEAT_S = 3.0
"""How often a heartbeat is sent; clients drop a call that is silent for long."""
_REFRESH_S = 0.5
"""How often tasks that another process leases are read from the store."""

_LEAST_PROGRESS = 1e-6
"""By this much progress grows while nothing is known. In the longest wait that stays below what a wait for tasks first
reports."""
_NOT_READ = "The task database does not answer; trying again"

Report = Callable[[float, str], Awaitable[None]]
"""Takes progress (0 to 1, strictly increasing) and a short message."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A wait for tasks."""

    task_ids: Sequence[str]
    principal: Principal | None
    """Whose tasks are read from the store while another process has their leases; `None` to read none."""
    seconds: float
    is_enough: Callable[[Mapping[str, Task]], bool]
    usual_s: tuple[int, int] | None = None
    report: Report | None = None
    position_of: Callable[[str], int | None] = lambda _id: None
    """Returns the position of a queued task, from 1."""


async def read(
    journal: Journal,
    clock: Clock,
    task_ids: Sequence[str],
    *,
    principal: Principal,
    seconds: float,
    report: Report | None,
) -> dict[str, Task]:
    """Return the principal's tasks among these; while the database does not answer, try again for so many seconds.

    Raises:
        StoreUnavailable: it did not answer in this time.
    """
    started, beats = clock.elapsed(), 0
    with journal.watch(task_ids) as watch:
        while True:
            try:
                return await journal.known(task_ids, principal=principal)
            except StoreUnavailable:
                elapsed_s = clock.elapsed() - started
                if elapsed_s >= seconds or journal.is_shutting_down:
                    raise
            if report and elapsed_s >= (beats + 1) * HEARTBEAT_S:
                beats += 1
                await report(beats * _LEAST_PROGRESS, _NOT_READ)
            await watch.wait(clock, min(_REFRESH_S, seconds - elapsed_s))
            watch.latest.clear()


async def wait(
    journal: Journal, store: Store, clock: Clock, request: Wait, known: Mapping[str, Task]
) -> dict[str, Task]:
    """Return the tasks once it is enough, once the time is up, or once the process shuts down.

    `known` is how they are at the start, without those that are not the principal's. A running task of another process
    has a notice if the database did not answer at the end.
    """
    tasks = dict(known)
    unread: list[str] = []
    started = clock.elapsed()
    heartbeat, next_beat_s = Heartbeat(request.usual_s), HEARTBEAT_S
    with journal.watch(tasks) as watch:
        tasks.update({id_: task for id_ in tasks if (task := journal.get(id_))})
        while not (journal.is_shutting_down or request.is_enough(tasks)):
            if (elapsed_s := clock.elapsed() - started) >= request.seconds:
                break
            remote = _elsewhere(journal, tasks) if request.principal is not None else []
            delay_s = min(request.seconds - elapsed_s, next_beat_s - elapsed_s)
            await watch.wait(clock, min(delay_s, _REFRESH_S) if remote else delay_s)
            has_news = bool(watch.latest)
            tasks.update(watch.latest)
            watch.latest.clear()
            if remote and request.principal is not None:
                try:
                    tasks.update(await store.tasks.get(remote, principal=request.principal))
                    unread = []
                except StoreUnavailable as error:
                    if not unread:
                        _log.warning("tasks cannot be read; the wait for them goes on: %s", error)
                    unread = remote
            elapsed_s = clock.elapsed() - started
            if request.report and (has_news or elapsed_s >= next_beat_s):
                queued = [id_ for id_ in remote if tasks[id_].status is Status.QUEUED]
                positions = await store.queue.positions(queued, now=clock.now()) if queued else {}
                positions |= {id_: position for id_ in tasks if (position := request.position_of(id_))}
                await request.report(heartbeat.next(elapsed_s, _progress(tasks)), _message(tasks, positions))
            if elapsed_s >= next_beat_s:
                next_beat_s = elapsed_s + HEARTBEAT_S
    return {**tasks, **{id_: _last_known(tasks[id_]) for id_ in unread}}


def _last_known(task: Task) -> Task:
    """Return a running task with the notice that this is how it was last known."""
    if task.status.is_final:
        return task
    return replace(task, notices=(*task.notices, Notice.of("database_silent")))


def _elsewhere(journal: Journal, tasks: Mapping[str, Task]) -> list[str]:
    return [id_ for id_, task in tasks.items() if not task.status.is_final and id_ not in journal]


def stage(task: Task, position: int | None = None) -> str:
    """Return the status of a task in a few words; `position` is its position in the queue."""
    place = f", position {position} at {task.provider}" if position else ""
    percent = f", {task.progress:.0%}" if task.progress and not task.status.is_final else ""
    return f"{task.request.label}: {task.status}{place}{percent}"


def all_final(tasks: Mapping[str, Task]) -> bool:
    """Return whether all of them have ended."""
    return all(task.status.is_final for task in tasks.values())


def all_answered(tasks: Mapping[str, Task]) -> bool:
    """Return whether the provider has answered the creating request of each, or it has ended."""
    return all(task.status.is_final or task.submission is Submission.ACCEPTED for task in tasks.values())


def any_final(running: Collection[str]) -> Callable[[Mapping[str, Task]], bool]:
    """Return a condition: one of the running tasks has ended, or none was running."""
    return lambda tasks: not running or any(tasks[id_].status.is_final for id_ in running)


def _progress(tasks: Mapping[str, Task]) -> float:
    progress = [1.0 if task.status.is_final else task.progress or 0.0 for task in tasks.values()]
    return sum(progress) / len(progress)


def _message(tasks: Mapping[str, Task], positions: Mapping[str, int]) -> str:
    open_ = [task for task in tasks.values() if not task.status.is_final]
    if len(tasks) == 1 and open_:
        return stage(open_[0], positions.get(open_[0].id))
    queued = sum(task.status is Status.QUEUED for task in open_)
    return f"{len(tasks) - len(open_)} of {len(tasks)} done{f', {queued} queued' if queued else ''}"

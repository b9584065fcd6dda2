"""Waiting for tasks: any number of callers share one poll, and get a heartbeat every few seconds.

A wait outlives a database that does not answer: it goes on with what is known of the tasks.
"""

import logging
import math
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
from journey_mcp.engine.task_reader import TaskReader

HEARTBEAT_S = 3.0
"""How often a heartbeat is sent; clients drop a call that is silent for long."""
_RETRY_S = 0.5
"""How soon a first read that failed is tried again."""

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


class Waiting:
    """Wait for tasks, whichever process leases them."""

    def __init__(self, reader: TaskReader, journal: Journal, clock: Clock) -> None:
        self._reader = reader
        self._journal = journal
        self._clock = clock

    def kept(self, task_id: str, *, principal: Principal) -> Task | None:
        """Return the principal's task of this id if it has ended and is in memory."""
        return self._reader.kept(task_id, principal=principal)

    async def read(
        self, task_ids: Sequence[str], *, principal: Principal, seconds: float, report: Report | None
    ) -> dict[str, Task]:
        """Return the principal's tasks among these; while the database does not answer, try again for so many seconds.

        Raises:
            StoreUnavailable: it did not answer in this time.
        """
        try:
            return await self._reader.known(task_ids, principal=principal)
        except StoreUnavailable:
            if seconds <= 0:
                raise
        started, beats = self._clock.elapsed(), 0
        with self._journal.watch(task_ids) as watch:
            while True:
                elapsed_s = self._clock.elapsed() - started
                if report and elapsed_s >= (beats + 1) * HEARTBEAT_S:
                    beats += 1
                    await report(beats * _LEAST_PROGRESS, _NOT_READ)
                await watch.wait(self._clock, min(_RETRY_S, seconds - elapsed_s))
                watch.take()
                try:
                    return await self._reader.known(task_ids, principal=principal)
                except StoreUnavailable:
                    if self._clock.elapsed() - started >= seconds or self._journal.is_shutting_down:
                        raise

    async def wait(self, request: Wait, known: Mapping[str, Task]) -> dict[str, Task]:
        """Return the tasks once it is enough, once the time is up, or once the process shuts down.

        `known` is how they are at the start, without those that are not the principal's. A running task of another
        process has a notice if the database did not answer at the end.
        """
        started = self._clock.elapsed()
        with self._journal.watch(known) as watch:
            view = _View(known, self._reader, self._journal, request)
            heartbeat, next_beat_s = Heartbeat(request.usual_s), HEARTBEAT_S
            while not self._is_over(request, view.tasks):
                if (elapsed_s := self._clock.elapsed() - started) >= request.seconds:
                    break
                next_s = min(request.seconds, next_beat_s, view.next_read_s)
                if next_s > elapsed_s:
                    await watch.wait(self._clock, next_s - elapsed_s)
                changed, stale = watch.take()
                await view.update(changed, stale, self._clock.elapsed() - started)
                elapsed_s = self._clock.elapsed() - started
                is_due = changed or stale or elapsed_s >= next_beat_s
                # the result says more than a progress just before it
                if request.report and is_due and not self._is_over(request, view.tasks):
                    progress = heartbeat.next(elapsed_s, _progress(view.tasks))
                    await request.report(progress, _message(view.tasks, await view.positions()))
                if elapsed_s >= next_beat_s:
                    next_beat_s = elapsed_s + HEARTBEAT_S
        return await self._reader.with_lost_senders(view.last_known())

    def _is_over(self, request: Wait, tasks: Mapping[str, Task]) -> bool:
        return self._journal.is_shutting_down or request.is_enough(tasks)


class _View:
    """The tasks of one wait, as far as they are known."""

    def __init__(self, known: Mapping[str, Task], reader: TaskReader, journal: Journal, request: Wait) -> None:
        self._reader = reader
        self._journal = journal
        self._request = request
        self._unread: Sequence[str] = ()
        # changes before the watch began were not received
        self._read_at_s = 0.0 if reader.is_notified else reader.refresh_s
        self.tasks = {id_: task if task.status.is_final else journal.get(id_) or task for id_, task in known.items()}

    @property
    def next_read_s(self) -> float:
        """When, in seconds since the begin of the wait, the store is read without any news."""
        return self._read_at_s if self._elsewhere() else math.inf

    async def update(self, changed: Mapping[str, Task], stale: Collection[str], elapsed_s: float) -> None:
        """Take in changes of this process, and read those of others if there may be some."""
        self.tasks.update(changed)
        # another process may have taken a task over, because a webhook reached it
        await self._journal.verify_leases([id_ for id_ in stale if id_ in self._journal])
        remote = self._elsewhere()
        if self._request.principal is None or not remote or not (stale or elapsed_s >= self._read_at_s):
            return
        self._read_at_s = elapsed_s + self._reader.refresh_s
        try:
            self.tasks.update(await self._reader.stored(remote, principal=self._request.principal))
            self._unread = ()
        except StoreUnavailable as error:
            if not self._unread:
                _log.warning("tasks cannot be read; the wait for them goes on: %s", error)
            self._unread = remote

    async def positions(self) -> dict[str, int]:
        """Return the positions of queued tasks, wherever they are queued."""
        queued = [id_ for id_ in self._elsewhere() if self.tasks[id_].status is Status.QUEUED]
        here = {id_: position for id_ in self.tasks if (position := self._request.position_of(id_))}
        return {**await self._reader.positions(queued), **here}

    def last_known(self) -> dict[str, Task]:
        """Return the tasks, with a notice of those whose last read failed."""
        return {**self.tasks, **{id_: _last_known(self.tasks[id_]) for id_ in self._unread}}

    def _elsewhere(self) -> list[str]:
        """Return the running tasks that another process leases, unless none is to be read."""
        if self._request.principal is None:
            return []
        return [id_ for id_, task in self.tasks.items() if not task.status.is_final and id_ not in self._journal]


def _last_known(task: Task) -> Task:
    if task.status.is_final:
        return task
    return replace(task, notices=(*task.notices, Notice.of("database_silent")))


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

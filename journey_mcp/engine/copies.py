"""Copies in the background: the images of finished tasks are copied, and saved for the person, after the call returned.

The process that finishes a task copies its images. If it dies before it has, the next one that starts does.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Coroutine
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.tasks import Task
from journey_mcp.core.worker_id import is_alive
from journey_mcp.engine.copier import Copier
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.retention import Retention
from journey_mcp.store import Store
from journey_mcp.store.copies import Attempt, Records

_AT_ONCE = 4
"""Tasks; their images are copied one after another, so that few of them are in memory."""
_CLAIM_S = 900.0
"""How long the images of a task are left to a process that cannot be seen from here: longer than an attempt takes."""
_RETRY_DELAYS_S = (10.0, 60.0, 600.0, 3600.0)
"""After the first, second, third and fourth attempt that failed."""
_RECENT_S = 7 * 86400.0
"""How long ago a task may have been made whose images no process has begun to copy."""
_MAX_MISSING = 200
_LOOK_AFTER_S = 2.0
"""After the start of a process, which has more urgent work."""
_LOOK_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Copies:
    """The images of finished tasks that are being copied."""

    def __init__(self, store: Store, journal: Journal, clock: Clock, copier: Copier, retention: Retention) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._copier = copier
        self._retention = retention
        self._new: dict[str, Task | None] = {}
        """Tasks that wait, the first one next; those of other processes are read when it is their turn."""
        self._fresh: set[str] = set()
        """Tasks that ended in this process, and whose images no attempt was made to copy."""
        self._running: set[str] = set()
        self._look_at = math.inf
        """When the store is read for what other processes left, and for what failed."""
        self._misses_some = True
        """Tasks may have ended whose images no process copies."""
        self._wakeup, self._ended = Wakeup(), asyncio.Event()
        self._is_shutting_down = False

    def on_task_changed(self, task: Task) -> None:
        """Copy the images of a task that has ended, soon."""
        if self._journal.is_stored(task.id) and self._copier.is_needed(task):
            self._new[task.id] = task
            self._fresh.add(task.id)
            self._wakeup.notify()

    async def run(self) -> None:
        """Copy images, for ever."""
        if self._copier.is_idle:
            return
        self._look_at = self._clock.elapsed() + _LOOK_AFTER_S
        async with anyio.create_task_group() as group:
            while True:
                self._start_new(group)
                if self._has_room and self._clock.elapsed() >= self._look_at:
                    await self._look(group)
                # the end of an attempt makes room
                pause_s = self._look_at - self._clock.elapsed() if self._has_room else _LOOK_EVERY_S
                await self._wakeup.wait(self._clock, max(pause_s, 0.0))

    def is_settled(self, task: Task) -> bool:
        """Return whether nothing more is copied or saved of a task that is as it is shown."""
        return not self._copier.is_needed(task)

    def leaves_as_is(self, task: Task) -> bool:
        """Return whether no more is known of the images of a task that has just ended here than it says itself."""
        return task.id in self._fresh or self.is_settled(task)

    async def wait(self, task_ids: Collection[str], seconds: float) -> None:
        """Wait, at most so long, until an attempt was made to copy the images of these tasks, if they ended here."""
        until = self._clock.elapsed() + seconds
        while not self._is_shutting_down and not self._fresh.isdisjoint(task_ids):
            if (left_s := until - self._clock.elapsed()) <= 0:
                return
            await self._clock.wait(self._ended, left_s)

    async def drain(self, seconds: float) -> None:
        """Wait, at most so long, for the images of all tasks that ended here."""
        until = self._clock.elapsed() + seconds
        while self._fresh and not self._is_shutting_down and self._clock.elapsed() < until:
            await self.wait(set(self._fresh), until - self._clock.elapsed())
        await self._retention.enforce()

    def shut_down(self) -> None:
        """End all waits."""
        self._is_shutting_down = True
        self._notify_waits()

    @property
    def _has_room(self) -> bool:
        return len(self._running) < _AT_ONCE

    def _start_new(self, group: TaskGroup) -> None:
        while self._new and self._has_room:
            task_id = next(iter(self._new))
            task = self._new.pop(task_id)
            self._running.add(task_id)
            group.start_soon(self._attempt, task_id, partial(self._copy_new, task_id, task))

    async def _look(self, group: TaskGroup) -> None:
        """Start what failed before and is due, and what dead processes left; note when to look again."""
        now = self._clock.now()
        next_s = _LOOK_EVERY_S
        try:
            if self._misses_some:
                await self._find_missing(now)
            for attempt in await self._store.copies.unfinished():
                is_due = attempt.due <= now or is_alive(attempt.worker) is False
                if not is_due or attempt.task_id in self._running:
                    next_s = min(next_s, max(attempt.due - now, 1.0))
                elif self._has_room:
                    self._running.add(attempt.task_id)
                    group.start_soon(self._attempt, attempt.task_id, partial(self._copy_again, attempt))
                else:
                    next_s = 1.0
        except StoreUnavailable:
            _log.exception("the images to be copied cannot be read")
        self._look_at = self._clock.elapsed() + next_s
        self._start_new(group)

    async def _find_missing(self, now: float) -> None:
        for task_id in await self._store.copies.missing(since=now - _RECENT_S, limit=_MAX_MISSING):
            if task_id not in self._running:
                self._new.setdefault(task_id, None)
        self._misses_some = False

    async def _attempt(self, task_id: str, copy: "partial[Coroutine[Any, Any, None]]") -> None:
        try:
            await copy()
        except StoreUnavailable:
            _log.exception("the images of task %s cannot be copied yet", task_id)
            self._misses_some = True
        except Exception:  # noqa: BLE001  # the outermost boundary of background work
            _log.exception("copying the images of task %s failed in our own code", task_id)
        finally:
            self._running.discard(task_id)
            self._fresh.discard(task_id)
            self._notify_waits()
            self._wakeup.notify()

    async def _copy_new(self, task_id: str, task: Task | None) -> None:
        task = task or await self._store.tasks.find(task_id)
        if task is None or not self._copier.is_needed(task):
            return
        until = self._clock.now() + _CLAIM_S
        worker = self._journal.worker_id
        if await self._store.copies.begin(task_id, created_at=task.created_at, worker=worker, until=until):
            await self._copy(task, {}, tries=0)

    async def _copy_again(self, attempt: Attempt) -> None:
        until = self._clock.now() + _CLAIM_S
        if not await self._store.copies.take_over(attempt, worker=self._journal.worker_id, until=until):
            return
        task = await self._store.tasks.find(attempt.task_id)
        if task is None or not self._copier.is_needed(task):
            await self._record(attempt.task_id, attempt.records, attempt.tries, delay_s=None)
        else:
            # a process that died may have saved more than it recorded
            await self._copy(task, attempt.records, tries=attempt.tries + 1)

    async def _copy(self, task: Task, records: Records, *, tries: int) -> None:
        is_last = tries >= len(_RETRY_DELAYS_S)
        outcome = await self._copier.copy(task, records, tries=tries, is_last=is_last)
        is_over = outcome.is_over or is_last
        delay_s = None if is_over else _retry_delay_s(task, outcome.records, tries, self._clock.now())
        await self._record(task.id, outcome.records, tries, delay_s=delay_s)

    async def _record(self, task_id: str, records: Records, tries: int, *, delay_s: float | None) -> None:
        """Store the result of an attempt, and when the next one is due; `None`: there is none."""
        due = None
        if delay_s is not None:
            due = self._clock.now() + delay_s
            self._look_at = min(self._look_at, self._clock.elapsed() + delay_s)
        await self._store.copies.record(task_id, records, worker=self._journal.worker_id, due=due, tries=tries)

    def _notify_waits(self) -> None:
        self._ended.set()
        self._ended = asyncio.Event()


def _retry_delay_s(task: Task, records: Records, tries: int, now: float) -> float:
    """Return the seconds until the next attempt: half of what is left of a link without a copy, if that is less."""
    left_s = [
        image.expires_at - now
        for number, image in enumerate(task.images, start=1)
        if image.expires_at is not None and image.expires_at > now and not records[number].is_copied
    ]
    return min(_RETRY_DELAYS_S[tries], max(_RETRY_DELAYS_S[0], min(left_s, default=math.inf) / 2))

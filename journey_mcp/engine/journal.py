"""The journal: the tasks that this process leases, in memory while they run, in the store after every change.

A task whose lease was lost belongs to another process: what this process still learns of it is dropped.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakValueDictionary

from journey_mcp.core import telemetry
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import NotSubmitted, StoreUnavailable
from journey_mcp.core.limits import Limit
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.core.text import encoded_id
from journey_mcp.core.worker_id import new_worker_id
from journey_mcp.engine.outage import RETRY_S
from journey_mcp.engine.watch import Watch
from journey_mcp.store import Store
from journey_mcp.store.notifications import Notifications

LEASE_S = 6.0
"""How long a task stays with a process that does not renew its lease."""
_MOST_PERHAPS_ADDED = 1000
"""A statement whose connection breaks may be stored; those that find no connection afterwards are not."""

_log = logging.getLogger(__name__)


class Journal:
    """The tasks that this process leases. One per process; `worker_id` is its name in the store's leases.

    `news` notifies the other processes of changes that a caller may wait for.

    It has more methods than a class should have, since adding, changing, renewing and giving up a leased task must
    agree on what is stored, and on the order in which that happens.
    """

    def __init__(self, store: Store, clock: Clock, news: Notifications) -> None:
        self._store = store
        self._clock = clock
        self._news = news
        self.worker_id = new_worker_id()
        self._leased: dict[str, Task] = {}
        self._unsaved: set[str] = set()
        self._perhaps_added: list[Task] = []
        """New tasks of calls that failed while they were stored. The store may have them all the same."""
        self._watches: dict[str, list[Watch]] = {}
        self.is_shutting_down = False
        """Waits end at once."""
        self._listeners: list[Callable[[Task], None]] = []
        self._on_acquired: list[Callable[[Task], None]] = []
        self._in_order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Changes of one task reach the store in the order in which they were made; others do not wait for them."""

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._leased

    def get(self, task_id: str) -> Task | None:
        """Return a leased task as it is; `None` if it is not leased (any more)."""
        return self._leased.get(task_id)

    @property
    def leased(self) -> list[Task]:
        """All leased tasks, as they are."""
        return list(self._leased.values())

    def is_stored(self, task_id: str) -> bool:
        """Return whether the store has the task as it is."""
        return task_id not in self._unsaved

    async def add(
        self,
        task: Task,
        limits: Sequence[Limit] = (),
        *,
        max_unfinished: int | None = None,
        unconfirmed_since: float = math.inf,
    ) -> bool:
        """Store a new task and lease it; return False if it is a duplicate, or a limit leaves no room for it.

        `max_unfinished` is how many unfinished tasks its principal may have. It is also a duplicate of a task that
        ended unconfirmed since `unconfirmed_since`, and may have been paid.

        Raises:
            StoreUnavailable: it cannot be stored; nothing may be sent for it.
        """
        try:
            await self._end_perhaps_added()  # one of them may be a duplicate
            lease_until = self._clock.now() + LEASE_S
            is_added = await self._store.tasks.add(
                task,
                worker_id=self.worker_id,
                lease_until=lease_until,
                unconfirmed_since=unconfirmed_since,
                limits=limits,
                max_unfinished=max_unfinished,
            )
        except StoreUnavailable as error:
            _log.exception("a new task cannot be stored")
            if len(self._perhaps_added) < _MOST_PERHAPS_ADDED:
                self._perhaps_added.append(task)
            raise StoreUnavailable(
                f"The task cannot be stored. Nothing was sent. {error}", next_step=error.failure.advice
            ) from error
        if is_added:
            self.add_leased([task])
        return is_added

    def add_leased(self, tasks: Iterable[Task]) -> None:
        """Add tasks whose lease was just acquired."""
        for task in tasks:
            self._leased[task.id] = task
            for listener in self._on_acquired:
                listener(task)

    async def take_over_unsent(self, task_id: str) -> None:
        """Take over a task that another process leases and has not sent; do nothing if there is none.

        Raises:
            StoreUnavailable: the store cannot be written.
        """
        if task_id in self._leased:
            return
        try:
            taken = await self._store.leases.take_over_unsent(
                task_id, worker_id=self.worker_id, lease_until=self._clock.now() + LEASE_S
            )
        except StoreUnavailable as error:
            raise StoreUnavailable(
                "The task is leased by another server, and cannot be taken over now.",
                next_step=error.failure.advice,
            ) from error
        if taken is not None:
            self.add_leased([taken])

    async def change(self, task_id: str, changed: Callable[[Task, float], Task]) -> Task | None:
        """Change a leased task: store it first, then notify. Return the new task; `None` if it is not leased."""
        async with self._order_of(task_id):
            before = self._leased.get(task_id)
            if before is None:
                return None
            after, was_unsaved = changed(before, self._clock.now()), task_id in self._unsaved
            if after == before and not was_unsaved:
                return after
            if not await self._save(after):
                self._drop(task_id)
                return None
            # only now: no code may act on what a crash would undo
            self._leased[task_id] = after
        if after.status.is_final and not before.status.is_final:
            _report_end(after)
        if after.status.is_final and task_id not in self._unsaved:
            self._drop(task_id)
        for watch in self._watches.get(task_id, ()):
            watch.notify(after)
        for listener in self._listeners:
            listener(after)
        if task_id not in self._unsaved and (was_unsaved or _is_awaited(before, after)):
            await self._news.notify(task_id)
        return after

    def _order_of(self, task_id: str) -> asyncio.Lock:
        if (lock := self._in_order.get(task_id)) is None:
            lock = self._in_order[task_id] = asyncio.Lock()
        return lock

    async def _save(self, task: Task) -> bool:
        """Store the change, or keep it in memory until the next renewal; return whether the task is still leased."""
        try:
            is_ours = await self._store.tasks.save(task, worker_id=self.worker_id)
        except Exception:  # noqa: BLE001  # whatever the cause: what a provider reported stays in memory
            _log.exception("task %s cannot be stored; it stays in memory and is tried again", task.id)
            self._unsaved.add(task.id)
            return True
        self._unsaved.discard(task.id)
        return is_ours

    async def verify_leases(self, task_ids: Sequence[str]) -> set[str]:
        """Return which of these this process still leases; drop those that another process has taken over.

        If the store does not answer, all of them count as leased.
        """
        if not task_ids:
            return set()
        try:
            ours = await self._store.leases.held(task_ids, worker_id=self.worker_id)
        except StoreUnavailable:
            _log.exception("the leases of tasks cannot be read")
            return set(task_ids)
        for task_id in set(task_ids) - ours:
            self._drop(task_id)
        return ours

    async def renew(self) -> None:
        """Renew the leases, and store what could not be stored before.

        Raises:
            StoreUnavailable: the store does not answer; nothing is lost, and the next renewal does the same.
        """
        await self._end_perhaps_added()
        held = list(self._leased)
        if held:
            lease_until = self._clock.now() + LEASE_S
            ours = await self._store.leases.renew(held, worker_id=self.worker_id, lease_until=lease_until)
            for task_id in set(held) - ours:
                # another process leases it, or it was deleted: it is neither polled nor written here any more
                self._drop(task_id)
        await self.flush_pending()

    async def flush_pending(self) -> None:
        """Try once more to store what could not be stored."""
        for task_id in list(self._unsaved):
            await self.change(task_id, lambda task, _now: task)

    async def store_pending(self, seconds: float) -> None:
        """Store what could not be stored before; try again for so many seconds, and log what cannot be stored."""
        until = self._clock.elapsed() + seconds
        while True:
            await self.flush_pending()
            left_s = until - self._clock.elapsed()
            if not self._unsaved or left_s <= 0:
                break
            await self._clock.sleep(min(left_s, RETRY_S))
        for task in filter(None, map(self.get, self._unsaved)):
            known = (task.id, task.submission, task.provider, encoded_id(task.prediction_id or ""))
            _log.error("task %s (%s) cannot be stored before the server ends; its id at %s: %s", *known)

    async def _end_perhaps_added(self) -> None:
        """End these tasks as their callers were answered: nothing was sent."""
        while self._perhaps_added:
            task = self._perhaps_added[0]
            unsent = NotSubmitted("The task database did not answer when the task was stored.")
            await self._store.tasks.save(task.refused(unsent.failure, self._clock.now()), worker_id=self.worker_id)
            # a call at the same time may have ended it too
            self._perhaps_added = [other for other in self._perhaps_added if other is not task]

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[Watch]:
        """Return a watch of the changes that this process makes to these tasks."""
        watch, ids = Watch(), list(task_ids)
        for task_id in ids:
            self._watches.setdefault(task_id, []).append(watch)
        try:
            yield watch
        finally:
            for task_id in ids:
                self._watches[task_id].remove(watch)
                if not self._watches[task_id]:
                    del self._watches[task_id]

    def refresh(self, task_id: str) -> None:
        """Let those who wait for a task read it again: another process may have changed it."""
        for watch in self._watches.get(task_id, ()):
            watch.refresh(task_id)

    def refresh_all(self) -> None:
        """Let all who wait read their tasks again."""
        for task_id in self._watches:
            self.refresh(task_id)

    def end_waits(self) -> None:
        """End all waits: they return what is known."""
        self.is_shutting_down = True
        for watches in self._watches.values():
            for watch in watches:
                watch.end()

    def listen(self, listener: Callable[[Task], None]) -> None:
        """Call it with every change that this process makes to any task, for good."""
        self._listeners.append(listener)

    def on_acquired(self, listener: Callable[[Task], None]) -> None:
        """Call it with every task that this process acquires: a new one, or one that it takes over."""
        self._on_acquired.append(listener)

    def _drop(self, task_id: str) -> None:
        self._leased.pop(task_id, None)
        self._unsaved.discard(task_id)


def _is_awaited(before: Task, after: Task) -> bool:
    """Return whether a caller may wait for this change; none waits for progress alone."""
    return after.status.is_final or (
        after.submission is Submission.ACCEPTED and before.submission is not after.submission
    )


def _report_end(task: Task) -> None:
    is_paid = task.cost is not None and task.provider != SANDBOX and not task.has_own_key
    telemetry.report(
        "task",
        task.updated_at - task.created_at,
        provider=task.provider,
        model=task.request.model,
        outcome=task.failure.code if task.failure else task.status.value,
        cost=float(task.cost.amount) if task.cost and is_paid else None,
        unit=task.cost.unit if task.cost and is_paid else None,
    )

"""The tasks that this process holds: in memory while they run, in the store after every change.

Holding is by lease. A task whose lease was lost is somebody else's: what this process still hears of it is dropped.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import anyio

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.limits import Limit
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Task
from journey_mcp.core.worker_id import new_worker_id
from journey_mcp.engine.watch import Watch
from journey_mcp.store import Store

LEASE_S = 6.0
"""How long a task stays with a process that does not renew."""

_log = logging.getLogger(__name__)


class Journal:
    """What this process holds. One per process; `owner` is its name in the store's leases."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.worker_id = new_worker_id()
        self._leased: dict[str, Task] = {}
        self._unsaved: set[str] = set()
        self._watches: dict[str, list[Watch]] = {}
        self.is_shutting_down = False
        """Nobody waits any more."""
        self._listeners: list[Callable[[Task], None]] = []
        self._on_acquired: list[Callable[[Task], None]] = []
        # changes of one task reach the store in the order in which they were made
        self._in_order = anyio.Lock(fast_acquire=True)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._leased

    def get(self, task_id: str) -> Task | None:
        """A held task as it stands; `None` when it is not held (any more)."""
        return self._leased.get(task_id)

    @property
    def leased(self) -> list[Task]:
        """All of them, as they stand."""
        return list(self._leased.values())

    def is_stored(self, task_id: str) -> bool:
        """Whether the store has the task as it stands."""
        return task_id not in self._unsaved

    async def known(self, task_ids: Sequence[str], *, principal: Principal) -> dict[str, Task]:
        """The principal's tasks among these, as the store has them; held ones also while the store cannot be read.

        Raises:
            StoreUnavailable: the store cannot be read, and some of them are not held.
        """
        try:
            return await self._store.tasks.get(task_ids, principal=principal)
        except StoreUnavailable:
            held = {id_: task for id_ in task_ids if (task := self._leased.get(id_)) and task.principal == principal}
            if len(held) < len(set(task_ids)):
                raise
            return held

    async def add(self, task: Task, limits: Sequence[Limit] = (), *, unconfirmed_since: float = math.inf) -> bool:
        """Store a new task and hold it; False when an equal call makes none, or a limit leaves no room for it.

        An equal call is also one that ended `unconfirmed_since` then, and may have been paid.

        Raises:
            StoreUnavailable: it cannot be stored; nothing may be sent for it.
        """
        try:
            lease_until = self._clock.now() + LEASE_S
            is_added = await self._store.tasks.add(
                task,
                worker_id=self.worker_id,
                lease_until=lease_until,
                unconfirmed_since=unconfirmed_since,
                limits=limits,
            )
        except StoreUnavailable as error:
            _log.exception("a new task cannot be stored")
            raise StoreUnavailable(
                f"The task cannot be stored. Nothing was sent. {error}", next_step=error.failure.next_step
            ) from error
        if is_added:
            self.add_leased([task])
        return is_added

    def add_leased(self, tasks: Iterable[Task]) -> None:
        """Hold tasks whose lease was just taken over."""
        for task in tasks:
            self._leased[task.id] = task
            for listener in self._on_acquired:
                listener(task)

    async def take_over_unsent(self, task_id: str) -> None:
        """Hold a task that another process holds and has not sent; nothing happens when there is none.

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
                "The task is held by another server, and cannot be taken from it now.",
                next_step=error.failure.next_step,
            ) from error
        if taken is not None:
            self.add_leased([taken])

    async def change(self, task_id: str, changed: Callable[[Task, float], Task]) -> Task | None:
        """Change a held task: store first, then tell those who watch. `None` when it is not held."""
        async with self._in_order:
            before = self._leased.get(task_id)
            if before is None:
                return None
            after = changed(before, self._clock.now())
            if after == before and task_id not in self._unsaved:
                return after
            if not await self._save(after):
                self._drop(task_id)
                return None
            # only now: nobody may act on what a crash would undo
            self._leased[task_id] = after
        if after.status.is_final and task_id not in self._unsaved:
            self._drop(task_id)
        for watch in self._watches.get(task_id, ()):
            watch.notify(after)
        for listener in self._listeners:
            listener(after)
        return after

    async def _save(self, task: Task) -> bool:
        """Store the change. A store that fails for now is tried again with the next renewal: nothing is lost."""
        try:
            is_ours = await self._store.tasks.save(task, worker_id=self.worker_id)
        except Exception:  # noqa: BLE001  # whatever it is: what a provider told stays in memory
            _log.exception("task %s cannot be stored; it stays in memory and is tried again", task.id)
            self._unsaved.add(task.id)
            return True
        self._unsaved.discard(task.id)
        return is_ours

    async def verify_leases(self, task_ids: Sequence[str]) -> set[str]:
        """Those of these that the store calls ours; what another process has taken since we last looked is let go.

        A store that does not answer takes nothing away.
        """
        try:
            ours = await self._store.leases.held(task_ids, worker_id=self.worker_id)
        except StoreUnavailable:
            _log.exception("whether tasks are still ours cannot be read")
            return set(task_ids)
        for task_id in set(task_ids) - ours:
            self._drop(task_id)
        return ours

    async def renew(self) -> None:
        """Keep the leases, and store what could not be stored before."""
        held = list(self._leased)
        if held:
            lease_until = self._clock.now() + LEASE_S
            ours = await self._store.leases.renew(held, worker_id=self.worker_id, lease_until=lease_until)
            for task_id in set(held) - ours:
                # somebody else has it, or it was deleted: nothing more is asked or written here
                self._drop(task_id)
        await self.flush_pending()

    async def flush_pending(self) -> None:
        """Try once more to store what could not be stored."""
        for task_id in list(self._unsaved):
            await self.change(task_id, lambda task, _now: task)

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[Watch]:
        """Hear of changes that this process makes to these tasks."""
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

    def end_waits(self) -> None:
        """Let everybody who waits go, with what is known."""
        self.is_shutting_down = True
        for watches in self._watches.values():
            for watch in watches:
                watch.end()

    def listen(self, listener: Callable[[Task], None]) -> None:
        """Tell it of every change that this process makes to any task, for good."""
        self._listeners.append(listener)

    def on_acquired(self, listener: Callable[[Task], None]) -> None:
        """Call it with every task that this process acquires: a new one, or one that it takes over."""
        self._on_acquired.append(listener)

    def _drop(self, task_id: str) -> None:
        self._leased.pop(task_id, None)
        self._unsaved.discard(task_id)

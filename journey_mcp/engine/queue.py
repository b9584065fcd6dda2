"""The queue of an account: tasks wait here if the provider has no room for them.

The queue is in the store, so all processes on one database share an account's slots. Each process checks for itself
whether its head of the queue is the first of all, and whether there is room.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Literal

import anyio

from journey_mcp.core.clock import Clock
from journey_mcp.core.concurrency import Limits, limit_at
from journey_mcp.core.errors import JourneyError, NotSubmitted, RateLimited, StoreUnavailable, Unreachable
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine import backoff
from journey_mcp.engine.fair_order import FairOrder, Rank, RemoteEntry
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.limiter import Instant, Limiter
from journey_mcp.engine.outage import OUTAGE_S
from journey_mcp.providers.base import Account
from journey_mcp.store.queue import QueueTable

_REFRESH_S = 1.0
"""How often the head of the queue checks for room that another process has made; a task that ends here wakes it."""
_SILENT_S = 3600.0
"""A task that reported nothing for so long does not count: if it still runs, the provider refuses one more."""

_MOST_QUEUES = 1_000
"""How many queues a process keeps before it forgets those without tasks."""

HasAlternative = Callable[[], Awaitable[bool]]
"""Returns whether another provider may run the task. Called after refusals only, because it may take long."""

_log = logging.getLogger(__name__)

_UNRANKED = Rank(-1, 0.0, "", "")


@dataclass(eq=False, slots=True)
class _Entry:
    """One task in the queue, over all its tries: it keeps its rank."""

    task_id: str
    principal: str
    joined_at: Instant
    created_at: float
    """In seconds of the Unix epoch; orders the entries of a principal, whenever they join."""
    has_alternative: HasAlternative | None
    rank: Rank = _UNRANKED
    """Its place in the order, from the first time that it waits."""
    stored: Literal["waiting", "refused", "granted"] | None = None
    """Its state in the store."""
    tries: int = 0
    sent_at: float = -math.inf
    """When it last got a slot."""
    outcome: RateLimited | Unreachable | None = None
    """The error that was reported of its last slot."""
    is_refused: bool = False
    """The provider has refused it."""
    is_granted: bool = False
    """Its next slot was granted before the task was stored."""
    delay_s: float = 0.0
    """How long it waits before it asks for its next slot."""
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)

    async def may_move(self) -> bool:
        """Return whether another provider may run the task."""
        if self.has_alternative is not None and not await self.has_alternative():
            self.has_alternative = None
        return self.has_alternative is not None


class Slot:
    """The right to send a creating request once."""

    def __init__(self, queue: "AccountQueue", entry: _Entry) -> None:
        self.entry = entry
        self._queue = queue

    async def report(self, error: RateLimited | Unreachable | None) -> bool:
        """Report the outcome: the error that says that nothing was created, or `None` if the task was accepted.

        Return whether to send the task again, in the next slot that the queue gives.
        """
        return await self._queue.report(self.entry, error)


class AccountQueue:
    """The entries that wait for a slot at one account, in the order of `FairOrder`, as `Limiter` lets them go."""

    def __init__(
        self,
        account: Account,
        limiter: Limiter,
        journal: Journal,
        table: QueueTable,
        clock: Clock,
        *,
        is_closed: bool = False,
    ) -> None:
        self._account = account
        self._limiter = limiter
        self._journal = journal
        self._table = table
        self._clock = clock
        self._order = FairOrder()
        self._entries: dict[str, _Entry] = {}
        """Those that wait."""
        self._inside: set[str] = set()
        """Tasks that wait or have a slot."""
        self._refusal = ""
        self._is_closed = is_closed
        # entries join in the order in which they arrive, also while the head refreshes
        self._in_order = anyio.Lock(fast_acquire=True)

    @asynccontextmanager
    async def slot(
        self, task: Task, has_alternative: HasAlternative | None = None, *, previous: Slot | None = None
    ) -> AsyncIterator[Slot]:
        """Wait for a slot. The block journals the task as sent, sends it, and reports the outcome.

        The block is also entered if the task has ended meanwhile. `previous` is the slot of the task's last try.

        Raises:
            RateLimited: the provider refused every task, and accepted none, for too long while this one waited.
            NotSubmitted: the queue was closed.
            StoreUnavailable: the store has not answered for `OUTAGE_S`.
        """
        entry = previous.entry if previous else self._new_entry(task, has_alternative)
        if entry.delay_s:
            await self._clock.sleep(entry.delay_s)
        entry.delay_s, entry.outcome = 0.0, None
        self._inside.add(entry.task_id)
        try:
            await self._acquire(entry)
            entry.sent_at, entry.is_granted = self._now(), False
            yield Slot(self, entry)
            await self._adapt(entry)
        except NotSubmitted:
            raise  # the task ends with that, and is in no queue any more
        except JourneyError:
            await self._adapt(entry)
            await self._abandon(entry)
            raise
        finally:
            self._inside.discard(entry.task_id)

    def grant(self, task: Task, has_alternative: HasAlternative | None = None) -> Slot | None:
        """Return a slot for a task that is not stored yet, if nothing delays it: no entry, limit or pause.

        It is the `previous` one of the slot in which the task is sent.
        """
        if self._is_closed or not self._is_free():
            return None
        entry = self._new_entry(task, has_alternative)
        entry.is_granted = True
        return Slot(self, entry)

    async def report(self, entry: _Entry, error: RateLimited | Unreachable | None) -> bool:
        """Take the outcome of a slot; see `Slot.report`."""
        if error is None:
            self._limiter.accepted(entry.sent_at)
            return False
        entry.outcome = error
        if isinstance(error, RateLimited):
            entry.is_refused, self._refusal = True, str(error)
            if self._limiter.refused(self._now()):
                self._wake_all()
        has_alternative = await entry.may_move()
        refused_s = self._refused_s(entry, has_alternative=has_alternative)
        delay_s = backoff.retry_delay(error, entry.tries, refused_s, has_alternative=has_alternative)
        entry.tries += 1
        if delay_s is None:
            return False
        if isinstance(error, RateLimited):
            self._limiter.pause(delay_s, self._now())
        else:
            entry.delay_s = delay_s
        return True

    @property
    def is_idle(self) -> bool:
        """Whether no task waits or has a slot."""
        return not self._inside

    def position(self, task_id: str) -> int | None:
        """Return the position of a task that waits, from 1; `None` if it does not wait here."""
        entry = self._entries.get(task_id)
        return None if entry is None else self._order.position(entry.rank)

    def on_task_changed(self, task: Task) -> None:
        """Let a task of this account that has ended leave the queue, or its room be taken."""
        if task.status.is_final and (entry := self._entries.get(task.id)):
            self._leave(entry)
            entry.wakeup.set()
        elif task.status.is_final or task.submission is Submission.PREPARED:
            self._wake_head()

    def close(self) -> set[str]:
        """Let no task wait from now on; return the ids of those that waited or had a slot."""
        self._is_closed = True
        self._wake_all()
        return set(self._inside)

    def _new_entry(self, task: Task, has_alternative: HasAlternative | None) -> _Entry:
        joined_at = self._limiter.instant(self._now())
        return _Entry(task.id, task.principal, joined_at, self._clock.now(), has_alternative)

    async def _acquire(self, entry: _Entry) -> None:
        """Wait for a slot. A task moves to another provider only after refusals, never because it waits."""
        max_wait_s = backoff.RATE_LIMIT_MAX_WAIT_WITH_ALTERNATIVES_S if entry.has_alternative else math.inf
        while True:
            try:
                await self._pass_queue(entry, max_wait_s)
            except RateLimited:
                if await entry.may_move():
                    raise
                max_wait_s = math.inf
            else:
                return

    async def _pass_queue(self, entry: _Entry, max_wait_s: float) -> None:
        if self._is_closed:
            raise _closed()
        if entry.is_granted or (self._is_free() and entry.stored is None):
            return
        async with self._in_order:
            with suppress(StoreUnavailable):  # `_wait` refreshes again, and reports the error
                await self._refresh()
            self._join(entry)
        try:
            await self._wait(entry, max_wait_s)
        finally:
            self._leave(entry)

    def _is_free(self) -> bool:
        return not self._entries and self._limiter.is_unlimited(self._now())

    async def _wait(self, entry: _Entry, max_wait_s: float) -> None:
        silent_since: float | None = None
        while (task := self._journal.get(entry.task_id)) and not task.status.is_final:
            entry.wakeup = asyncio.Event()
            if self._is_closed:
                raise _closed()
            refreshed_at, is_paused = self._now(), self._pause_left_s() > 0
            try:
                if self._is_head(entry) and not is_paused and await self._try_slot(entry):
                    return
                await self._store(entry)
                silent_since = None
            except StoreUnavailable as error:
                silent_since = refreshed_at if silent_since is None else silent_since
                if refreshed_at - silent_since >= OUTAGE_S:
                    raise StoreUnavailable(
                        f"The queue cannot be read from the task database. Nothing was sent. {error}",
                        next_step=error.failure.advice,
                    ) from error
                _log.warning("the queue at %s cannot be read: %s", self._account.provider, error)
            left_s = max_wait_s - self._refused_s(entry, has_alternative=True)
            if left_s <= 0:
                raise RateLimited(self._refusal)
            # else it is not next, or it waits for the provider
            is_full = self._is_head(entry) and not is_paused and self._pause_left_s() <= 0 and silent_since is None
            await self._clock.wait(entry.wakeup, min(self._delay_s(entry), left_s))
            if is_full:
                self._limiter.was_full(self._now() - refreshed_at)

    def _refused_s(self, entry: _Entry, *, has_alternative: bool) -> float:
        may_move = has_alternative and entry.is_refused
        return self._limiter.refused_s(entry.joined_at, self._now(), may_move=may_move)

    async def _adapt(self, entry: _Entry) -> None:
        """After a refusal of this entry, lower the limit to the number of tasks that run."""
        if not isinstance(entry.outcome, RateLimited):
            return
        try:
            if entry.stored is not None:
                await self._store(entry)  # it has no slot any more
            running = await self._table.running(
                provider=self._account.provider, base_url=self._account.address, **self._times()
            )
        except StoreUnavailable:
            _log.exception("the tasks that run at %s cannot be counted", self._account.provider)
        else:
            self._limiter.limit.adapt(running, self._now())

    async def _abandon(self, entry: _Entry) -> None:
        """Remove an entry that is not sent to this account."""
        if entry.stored is None:
            return
        entry.stored = None
        try:
            await self._table.leave(entry.task_id)
        except StoreUnavailable:
            _log.exception("task %s cannot be removed from its queue; others may wait behind it", entry.task_id)

    async def _try_slot(self, entry: _Entry) -> bool:
        """Return whether the head of this process is next of all, and there is room: then it has a slot."""
        await self._refresh()
        return self._order.is_next(entry.rank) and await self._take_slot(entry) and self._pause_left_s() <= 0

    async def _take_slot(self, entry: _Entry) -> bool:
        is_taken = await self._table.acquire_slot(
            entry.task_id,
            provider=self._account.provider,
            base_url=self._account.address,
            limit=self._limiter.limit.at(self._now()),
            **self._times(),
        )
        if is_taken:
            entry.stored = "granted"
        return is_taken

    async def _refresh(self) -> None:
        """Read which entries wait in other processes."""
        found = await self._table.waiting_elsewhere(
            provider=self._account.provider,
            base_url=self._account.address,
            except_worker=self._journal.worker_id,
            now=self._clock.now(),
        )
        self._order.refresh(
            RemoteEntry(Rank(*other.key, other.principal), other.worker_id, other.is_refused) for other in found
        )

    async def _store(self, entry: _Entry) -> None:
        """Store the entry, so that the other processes see it."""
        # a refused entry waits like the others once the pause is over
        state: Literal["waiting", "refused"] = "refused" if entry.is_refused and self._pause_left_s() > 0 else "waiting"
        if entry.stored != state:
            await self._table.enqueue(entry.rank[:3], state)
            entry.stored = state

    def _times(self) -> dict[str, float]:
        now = self._clock.now()
        return {"silent_since": now - _SILENT_S, "now": now}

    def _join(self, entry: _Entry) -> None:
        self._entries[entry.task_id] = entry
        if entry.rank is _UNRANKED:
            entry.rank = self._order.rank(entry.task_id, entry.principal, entry.created_at)
        self._order.join(entry.rank)

    def _leave(self, entry: _Entry) -> None:
        if self._entries.pop(entry.task_id, None) is not None:
            self._order.leave(entry.rank)
            self._wake_head()

    def _is_head(self, entry: _Entry) -> bool:
        """Return whether this entry is the first of this process."""
        return entry.rank == self._order.head

    def _wake_head(self) -> None:
        if head := self._order.head:
            self._entries[head.task_id].wakeup.set()

    def _wake_all(self) -> None:
        for entry in self._entries.values():
            entry.wakeup.set()

    def _delay_s(self, entry: _Entry) -> float:
        """Return how long an entry without a slot waits before it checks again, unless it is woken."""
        if self._pause_left_s() > 0 and (self._is_head(entry) or entry.stored == "refused"):
            return self._pause_left_s()
        return _REFRESH_S if self._is_head(entry) else math.inf

    def _pause_left_s(self) -> float:
        return self._limiter.pause_left_s(self._now())

    def _now(self) -> float:
        return self._clock.elapsed()


def _closed() -> NotSubmitted:
    return NotSubmitted("The server ended before the request was sent.")


class Queues:
    """The queues of one process, by account."""

    def __init__(self, journal: Journal, table: QueueTable, clock: Clock, limits: Limits) -> None:
        self._journal = journal
        self._table = table
        self._clock = clock
        self._limits = limits
        self._queues: dict[tuple[str, str], AccountQueue] = {}
        self._is_closed = False
        journal.listen(self._on_task_changed)

    def of(self, account: Account) -> AccountQueue:
        """Return the queue of an account."""
        key = (account.provider, account.address)
        if key not in self._queues:
            self._drop_idle()
            limiter = Limiter(limit_at(self._limits, account.provider))
            # a queue outlives its tasks, and a caller's key may not
            keyless = replace(account, key="")
            self._queues[key] = AccountQueue(
                keyless, limiter, self._journal, self._table, self._clock, is_closed=self._is_closed
            )
        return self._queues[key]

    def _drop_idle(self) -> None:
        """Forget queues without tasks, with what they learned, if there are very many: callers bring any number."""
        if len(self._queues) >= _MOST_QUEUES:
            self._queues = {key: queue for key, queue in self._queues.items() if not queue.is_idle}

    def position(self, task_id: str) -> int | None:
        """Return the position of a task in its queue, from 1; `None` if it waits in none."""
        positions = (queue.position(task_id) for queue in self._queues.values())
        return next((position for position in positions if position is not None), None)

    def close(self) -> set[str]:
        """Let no task wait from now on; return the ids of those that waited or had a slot."""
        self._is_closed = True
        return set().union(*(queue.close() for queue in self._queues.values()))

    def _on_task_changed(self, task: Task) -> None:
        if queue := self._queues.get((task.provider, task.base_url)):
            queue.on_task_changed(task)

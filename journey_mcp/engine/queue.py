"""Who waits because a provider runs only so many tasks at once, and whose turn it is.

One line per account. It stands in the store, so that all processes on one database share a plan and the turns; each
looks by itself whether its own first one is the first of all, and whether there is room.
"""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import anyio

from journey_mcp.core.concurrency import Limits, limit_at
from journey_mcp.core.errors import NotSubmitted, RateLimited, StoreUnavailable
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.fair_order import FairOrder, Rank, RemoteEntry
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.limiter import Instant, Limiter
from journey_mcp.providers import Account

_REFRESH_S = 1.0
"""How often the first in line looks for room that another process has made; what ends in this one wakes it."""
_FAILURES = 3
"""After so many looks in a row that the store did not answer, a task ends: its departure could not be journaled."""
_SILENT_S = 3600.0
"""What told nothing for so long is not counted: if it runs all the same, the provider refuses one more."""

_log = logging.getLogger(__name__)


_UNRANKED = Rank(-1, 0.0, "", "")


@dataclass(eq=False, slots=True)
class Entry:
    """One task's place in line, kept while it tries again: who came first stays first."""

    task_id: str
    principal: str
    joined_at: Instant
    since: float
    """By which it is first of its principal, whenever it joins the line: seconds of the Unix epoch."""
    rank: Rank = _UNRANKED
    """Its place in the order, once it has waited."""
    stored: str | None = None
    """How it stands in the store."""
    sent_at: float = -math.inf
    """When it last had its turn."""
    is_refused: bool = False
    """It had its turn, and the provider refused."""
    wakeup: anyio.Event = field(default_factory=anyio.Event)


class AccountQueue:
    """Those who wait for room at one account.

    Turns go round between principals; of one principal's, who came first is first. Whoever waits gets a round: the
    one after the principal's last that waits, or the one whose turn it is. Rounds follow each other, and in a round
    who came first is first.
    """

    def __init__(self, journal: Journal, account: Account, limiter: Limiter, *, is_closed: bool = False) -> None:
        self._journal = journal
        self._table = journal.store.queue
        self._account = account
        self._limiter = limiter
        self._entries: dict[str, Entry] = {}
        self._inside: set[str] = set()
        """Who is anywhere between coming here and being journaled as sent."""
        self._order = FairOrder()
        self._refusal = ""
        self._is_closed = is_closed
        # they join in the order in which they come, also while the first one looks
        self._in_order = anyio.Lock(fast_acquire=True)

    def entry(self, task: Task) -> Entry:
        """A place for a task that does not stand in line yet."""
        return Entry(task.id, task.principal, self._limiter.instant(self._now()), self._journal.clock.now())

    @asynccontextmanager
    async def slot(self, entry: Entry, max_wait_s: float = math.inf) -> AsyncIterator[None]:
        """Wait until there is room and it is this one's turn; the block makes it count (`Task.sent`).

        It is also entered when the task has ended meanwhile.

        Raises:
            RateLimited: the provider refused whoever tried, and accepted nobody, for so long while it waited.
            NotSubmitted: the line was closed.
        """
        self._inside.add(entry.task_id)
        try:
            await self._reach_head(entry, max_wait_s)
            entry.sent_at = self._now()
            yield
        finally:
            self._inside.discard(entry.task_id)

    async def _reach_head(self, entry: Entry, max_wait_s: float) -> None:
        if self._is_closed:
            raise _closed()
        is_free = not self._entries and self._limiter.is_unlimited(self._now())
        if is_free and entry.stored is None:
            return
        async with self._in_order:
            with suppress(StoreUnavailable):  # it is looked again for the turn, which tells
                await self._refresh()
            self._join(entry)
        try:
            await self._wait(entry, max_wait_s)
        finally:
            self._leave(entry)

    def refused(self, entry: Entry, error: RateLimited) -> None:
        """This one had its turn, and the provider is at its limit."""
        entry.is_refused, self._refusal = True, str(error)
        if self._limiter.refused(self._now()):
            self._wake_all()

    def refused_s(self, entry: Entry, *, has_next: bool) -> float:
        """For how long refusals have kept this one out.

        Waiting for tasks of ours to end does not count, unless it was refused itself and may turn to another provider.
        """
        is_moving = has_next and entry.is_refused
        return self._limiter.refused_s(entry.joined_at, self._now(), may_move=is_moving)

    def pause(self, seconds: float) -> None:
        """Nobody has a turn for so long."""
        self._limiter.pause(seconds, self._now())

    async def adapt(self, entry: Entry) -> None:
        """After a refusal of this one: no more than what runs now."""
        try:
            if entry.stored is not None:
                await self._store(entry)  # it has no turn any more
            running = await self._table.running(
                provider=self._account.provider, base_url=self._account.base_url, **self._times()
            )
        except StoreUnavailable:
            _log.exception("what runs at %s cannot be counted", self._account.provider)
        else:
            self._limiter.limit.adapt(running, self._now())

    def accepted(self, entry: Entry) -> None:
        """The provider took this one; whom it refused after this one was sent, it may refuse still."""
        self._limiter.accepted(entry.sent_at)

    async def abandon(self, entry: Entry) -> None:
        """This one is not sent to this account."""
        if entry.stored is None:
            return
        entry.stored = None
        try:
            await self._table.leave(entry.task_id)
        except StoreUnavailable:
            _log.exception("that task %s has left its line cannot be stored; others may wait behind it", entry.task_id)

    def position(self, task_id: str) -> int | None:
        """The place in line, from 1; `None` for one who does not stand here."""
        entry = self._entries.get(task_id)
        return None if entry is None else self._order.position(entry.rank)

    def changed(self, task: Task) -> None:
        """A task of this account has changed: it may leave the line, or make room."""
        if task.status.is_final and (entry := self._entries.get(task.id)):
            self._leave(entry)
            entry.wakeup.set()
        elif task.status.is_final or task.submission is Submission.PREPARED:
            self._wake_head()

    def close(self) -> set[str]:
        """From now on nobody waits; the ids of those who did, or were about to be sent."""
        self._is_closed = True
        self._wake_all()
        return set(self._inside)

    async def _wait(self, entry: Entry, max_wait_s: float) -> None:
        failures = 0
        while (task := self._journal.get(entry.task_id)) and not task.status.is_final:
            entry.wakeup = anyio.Event()
            if self._is_closed:
                raise _closed()
            refreshed_at, is_paused = self._now(), self._pause_left_s() > 0
            try:
                if self._is_head(entry) and not is_paused and await self._try_slot(entry):
                    return
                await self._store(entry)
                failures = 0
            except StoreUnavailable as error:
                failures += 1
                if failures == _FAILURES:
                    raise StoreUnavailable(
                        f"Whose turn it is cannot be read. Nothing was sent. {error}",
                        next_step=error.failure.next_step,
                    ) from error
                _log.warning("whose turn it is at %s cannot be told: %s", self._account.provider, error)
            left_s = max_wait_s - self.refused_s(entry, has_next=True)
            if left_s <= 0:
                raise RateLimited(self._refusal)
            # else it is not its turn, or the provider is waited for
            is_full = self._is_head(entry) and not is_paused and self._pause_left_s() <= 0 and not failures
            await self._journal.clock.wait(entry.wakeup, min(self._delay_s(entry), left_s))
            if is_full:
                self._limiter.was_full(self._now() - refreshed_at)

    async def _try_slot(self, entry: Entry) -> bool:
        """Whether the first one here is the first of all, and there is room: then it has its turn."""
        await self._refresh()
        return self._is_next(entry) and await self._take_slot(entry) and self._pause_left_s() <= 0

    def _delay_s(self, entry: Entry) -> float:
        """How long one that has no turn waits before it looks again, unless it is woken."""
        if self._pause_left_s() > 0 and (self._is_head(entry) or entry.stored == "refused"):
            return self._pause_left_s()
        return _REFRESH_S if self._is_head(entry) else math.inf

    async def _refresh(self) -> None:
        """See who waits in other processes. What waits for the provider there keeps nobody here from trying."""
        now = self._journal.clock.now()
        found = await self._table.waiting_elsewhere(
            provider=self._account.provider,
            base_url=self._account.base_url,
            except_worker=self._journal.worker_id,
            now=now,
        )
        self._order.refresh(
            RemoteEntry(Rank(*other.key, other.principal), other.worker_id, other.is_refused) for other in found
        )

    def _is_head(self, entry: Entry) -> bool:
        """Whether nobody is before it in this process."""
        return entry.rank == self._order.head

    def _is_next(self, entry: Entry) -> bool:
        """Whether nobody is before it in any."""
        return self._order.is_next(entry.rank)

    async def _take_slot(self, entry: Entry) -> bool:
        limit = self._limiter.limit.at(self._now())
        is_taken = await self._table.acquire_slot(
            entry.task_id,
            provider=self._account.provider,
            base_url=self._account.base_url,
            limit=limit,
            **self._times(),
        )
        if is_taken:
            entry.stored = "turn"
        return is_taken

    async def _store(self, entry: Entry) -> None:
        """Let the other processes see it."""
        # once nothing holds it but want of room, it waits like the others
        state: Literal["waits", "refused"] = "refused" if entry.is_refused and self._pause_left_s() > 0 else "waits"
        if entry.stored != state:
            await self._table.enqueue(entry.rank[:3], state)
            entry.stored = state

    def _times(self) -> dict[str, float]:
        now = self._journal.clock.now()
        return {"silent_since": now - _SILENT_S, "now": now}

    def _join(self, entry: Entry) -> None:
        self._entries[entry.task_id] = entry
        if entry.rank is _UNRANKED:
            entry.rank = self._order.rank(entry.task_id, entry.principal, entry.since)
        self._order.join(entry.rank)

    def _leave(self, entry: Entry) -> None:
        if self._entries.pop(entry.task_id, None) is not None:
            self._order.leave(entry.rank)
            self._wake_head()

    def _wake_head(self) -> None:
        if head := self._order.head:
            self._entries[head.task_id].wakeup.set()

    def _wake_all(self) -> None:
        for entry in self._entries.values():
            entry.wakeup.set()

    def _pause_left_s(self) -> float:
        return self._limiter.pause_left_s(self._now())

    def _now(self) -> float:
        return self._journal.clock.elapsed()


def _closed() -> NotSubmitted:
    return NotSubmitted("The server ended before the request was sent.")


class Queues:
    """The lines of one process."""

    def __init__(self, journal: Journal, limits: Limits) -> None:
        self._journal = journal
        self._limits = limits
        self._queues: dict[tuple[str, str], AccountQueue] = {}
        self._is_closed = False
        journal.listen(self._changed)

    def of(self, account: Account) -> AccountQueue:
        """Where tasks for this account stand."""
        key = (account.provider, account.base_url)
        if key not in self._queues:
            limiter = Limiter(limit_at(self._limits, account.provider))
            self._queues[key] = AccountQueue(self._journal, account, limiter, is_closed=self._is_closed)
        return self._queues[key]

    def position(self, task_id: str) -> int | None:
        """A task's place in its line, from 1; `None` for one who waits in none."""
        positions = (queue.position(task_id) for queue in self._queues.values())
        return next((position for position in positions if position is not None), None)

    def close(self) -> set[str]:
        """From now on nobody waits in any line; the ids of those who did."""
        self._is_closed = True
        return set().union(*(queue.close() for queue in self._queues.values()))

    def _changed(self, task: Task) -> None:
        if queue := self._queues.get((task.provider, task.base_url)):
            queue.changed(task)

"""Who waits because a provider runs only so many tasks at once, and whose turn it is.

One line per account. It stands in the store, so that all processes on one database share a plan and the turns; each
looks by itself whether its own first one is the first of all, and whether there is room.
"""

import logging
import math
from bisect import bisect_left, insort
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import anyio
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.core.concurrency import Limits, limit_at
from journey_mcp.core.errors import NotSubmitted, RateLimited, SetupError
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.limiter import AdaptiveLimit
from journey_mcp.providers import Account
from journey_mcp.store.queue import Key, Waiting

_LOOK_AGAIN_S = 1.0
"""How often the first in line looks for room that another process has made; what ends in this one wakes it."""
_FAILURES = 3
"""After so many looks in a row that the store did not answer, a task ends: its departure could not be journaled."""
_SILENT_S = 3600.0
"""What told nothing for so long is not counted: if it runs all the same, the provider refuses one more."""

_log = logging.getLogger(__name__)


_NOWHERE: Key = (-1, 0.0, "")


class _Moment(NamedTuple):
    """A time by two clocks."""

    at: float
    outside: float
    """By one that stands still while tasks of ours fill the provider."""


@dataclass(eq=False, slots=True)
class Place:
    """One task's place in line, kept while it tries again: who came first stays first."""

    task_id: str
    principal: str
    joined_at: _Moment
    since: float
    """By which it is first of its principal, whenever it joins the line: seconds of the Unix epoch."""
    key: Key = _NOWHERE
    """By which it is compared, once it has stood in line."""
    stored: str | None = None
    """How it stands in the store."""
    sent_at: float = -math.inf
    """When it last had its turn."""
    is_refused: bool = False
    """It had its turn, and the provider refused."""
    news: anyio.Event = field(default_factory=anyio.Event)


class Line:
    """Those who wait for room at one account.

    Turns go round between principals; of one principal's, who came first is first. Whoever waits gets a round: the
    one after the principal's last that waits, or the one whose turn it is. Rounds follow each other, and in a round
    who came first is first.
    """

    def __init__(
        self, journal: Journal, account: Account, adaptive_limit: AdaptiveLimit, *, is_closed: bool = False
    ) -> None:
        self._journal = journal
        self._table = journal.store.lines
        self._account = account
        self._limit = adaptive_limit
        self._places: dict[str, Place] = {}
        self._inside: set[str] = set()
        """Who is anywhere between coming here and being journaled as sent."""
        self._order: list[Place] = []
        """The same, by whose turn is next."""
        self._others: list[Waiting] = []
        """Who waits in other processes, as last seen."""
        self._held_until = -math.inf
        self._refusal = ""
        self._full_s = 0.0
        """For how long the first one has waited because tasks of ours fill the provider, in all."""
        self._refused_since: _Moment | None = None
        """When the first refusal came of those after which nothing was sent and accepted."""
        self._is_closed = is_closed
        # they join in the order in which they come, also while the first one looks
        self._in_order = anyio.Lock(fast_acquire=True)

    def place(self, task: Task) -> Place:
        """A place for a task that does not stand in line yet."""
        return Place(task.id, task.principal, self._moment(), self._journal.clock.now())

    @asynccontextmanager
    async def turn(self, place: Place, patience_s: float = math.inf) -> AsyncIterator[None]:
        """Wait until there is room and it is this one's turn; the block makes it count (`Task.sent`).

        It is also entered when the task has ended meanwhile.

        Raises:
            RateLimited: the provider refused whoever tried, and accepted nobody, for so long while it waited.
            NotSubmitted: the line was closed.
        """
        self._inside.add(place.task_id)
        try:
            await self._come_first(place, patience_s)
            place.sent_at = self._now()
            yield
        finally:
            self._inside.discard(place.task_id)

    async def _come_first(self, place: Place, patience_s: float) -> None:
        if self._is_closed:
            raise _ended()
        is_free = not self._places and self._limit.at(self._now()) is None and self._held_s() <= 0
        if is_free and place.stored is None:
            return
        async with self._in_order:
            with suppress(SQLAlchemyError, SetupError):  # it is looked again for the turn, which tells
                await self._look()
            self._join(place)
        try:
            await self._wait(place, patience_s)
        finally:
            self._leave(place)

    def refused(self, place: Place, error: RateLimited) -> None:
        """This one had its turn, and the provider is at its limit."""
        place.is_refused, self._refusal = True, str(error)
        if self._refused_since is None:
            self._refused_since = self._moment()
            for waiting in self._order:
                waiting.news.set()

    def refused_s(self, place: Place, *, has_next: bool) -> float:
        """For how long refusals have kept this one out.

        Waiting for tasks of ours to end does not count, unless it was refused itself and may turn to another provider.
        """
        if self._refused_since is None:
            return 0.0
        since, joined, now = self._refused_since, place.joined_at, self._moment()
        if has_next and place.is_refused:
            return now.at - max(since.at, joined.at)
        return now.outside - max(since.outside, joined.outside)

    def hold(self, seconds: float) -> None:
        """Nobody has a turn for so long."""
        self._held_until = max(self._held_until, self._now() + seconds)

    async def learn(self, place: Place) -> None:
        """After a refusal of this one: no more than what runs now."""
        try:
            if place.stored is not None:
                await self._store(place)  # it has no turn any more
            running = await self._table.running(
                provider=self._account.provider, base_url=self._account.base_url, **self._times()
            )
        except (SQLAlchemyError, SetupError):
            _log.exception("what runs at %s cannot be counted", self._account.provider)
        else:
            self._limit.refused(running, self._now())

    def accepted(self, place: Place) -> None:
        """The provider took this one; whom it refused after this one was sent, it may refuse still."""
        if self._refused_since is not None and place.sent_at > self._refused_since.at:
            self._refused_since = None

    async def gave_up(self, place: Place) -> None:
        """This one is not sent to this account."""
        if place.stored is None:
            return
        place.stored = None
        try:
            await self._table.leave(place.task_id)
        except (SQLAlchemyError, SetupError):
            _log.exception("that task %s has left its line cannot be stored; others may wait behind it", place.task_id)

    def position(self, task_id: str) -> int | None:
        """The place in line, from 1; `None` for one who does not stand here."""
        place = self._places.get(task_id)
        if place is None:
            return None
        ahead = bisect_left(self._order, place.key, key=_key_of)
        return 1 + ahead + sum(other.key < place.key for other in self._others)

    def changed(self, task: Task) -> None:
        """A task of this account has changed: it may leave the line, or make room."""
        if task.status.is_final and (place := self._places.get(task.id)):
            self._leave(place)
            place.news.set()
        elif task.status.is_final or task.submission is Submission.PREPARED:
            self._wake_first()

    def close(self) -> set[str]:
        """From now on nobody waits; the ids of those who did, or were about to be sent."""
        self._is_closed = True
        for place in self._order:
            place.news.set()
        return set(self._inside)

    async def _wait(self, place: Place, patience_s: float) -> None:
        failures = 0
        while (task := self._journal.get(place.task_id)) and not task.status.is_final:
            place.news = anyio.Event()
            if self._is_closed:
                raise _ended()
            looked_at, is_held = self._now(), self._held_s() > 0
            try:
                if self._is_first(place) and not is_held and await self._takes_turn(place):
                    return
                await self._store(place)
                failures = 0
            except SQLAlchemyError as error:
                failures += 1
                if failures == _FAILURES:
                    raise SetupError(
                        "Whose turn it is cannot be read from the task database.",
                        next_step="Nothing was sent. Call again in a moment; if it stays so, ask the person to look at "
                        "the server's disk.",
                    ) from error
                _log.warning("whose turn it is at %s cannot be told: %s", self._account.provider, error)
            left_s = patience_s - self.refused_s(place, has_next=True)
            if left_s <= 0:
                raise RateLimited(self._refusal)
            # else it is not its turn, or the provider is waited for
            is_full = self._is_first(place) and not is_held and self._held_s() <= 0 and not failures
            await self._journal.clock.wait(place.news, min(self._pause_s(place), left_s))
            if is_full:
                self._full_s += self._now() - looked_at

    async def _takes_turn(self, place: Place) -> bool:
        """Whether the first one here is the first of all, and there is room: then it has its turn."""
        await self._look()
        return self._is_next(place) and await self._has_turn(place) and self._held_s() <= 0

    def _pause_s(self, place: Place) -> float:
        """How long one that has no turn waits before it looks again, unless it is woken."""
        if self._held_s() > 0 and (self._is_first(place) or place.stored == "refused"):
            return self._held_s()
        return _LOOK_AGAIN_S if self._is_first(place) else math.inf

    async def _look(self) -> None:
        """See who waits in other processes. What waits for the provider there keeps nobody here from trying."""
        now = self._journal.clock.now()
        told = await self._table.others(
            provider=self._account.provider, base_url=self._account.base_url, owner=self._journal.owner, now=now
        )
        trying = {other.owner for other in told if other.is_refused}
        self._others = [other for other in told if other.owner not in trying]

    def _is_first(self, place: Place) -> bool:
        """Whether nobody is before it in this process."""
        return bool(self._order) and self._order[0] is place

    def _is_next(self, place: Place) -> bool:
        """Whether nobody is before it in any."""
        return self._is_first(place) and not any(other.key < place.key for other in self._others)

    async def _has_turn(self, place: Place) -> bool:
        limit = self._limit.at(self._now())
        has_turn = await self._table.take_turn(
            place.task_id,
            provider=self._account.provider,
            base_url=self._account.base_url,
            limit=limit,
            **self._times(),
        )
        if has_turn:
            place.stored = "turn"
        return has_turn

    async def _store(self, place: Place) -> None:
        """Let the other processes see it."""
        # once nothing holds it but want of room, it waits like the others
        state: Literal["waits", "refused"] = "refused" if place.is_refused and self._held_s() > 0 else "waits"
        if place.stored != state:
            await self._table.wait(place.key, state)
            place.stored = state

    def _times(self) -> dict[str, float]:
        now = self._journal.clock.now()
        return {"silent_since": now - _SILENT_S, "now": now}

    def _join(self, place: Place) -> None:
        self._places[place.task_id] = place
        if place.key is _NOWHERE:
            place.key = (self._round(place), place.since, place.task_id)
        insort(self._order, place, key=_key_of)

    def _round(self, place: Place) -> int:
        """The round of one who joins now: of its principal's it comes before those who came later."""
        waiting: list[Place | Waiting] = [*self._order, *self._others]
        own = [one.key for one in waiting if one.principal == place.principal]
        if later := [key[0] for key in own if key[1] > place.since]:
            return min(later)
        return max(min((one.key[0] for one in waiting), default=0), max((key[0] + 1 for key in own), default=0))

    def _leave(self, place: Place) -> None:
        if self._places.pop(place.task_id, None) is not None:
            self._order.remove(place)
            self._wake_first()

    def _wake_first(self) -> None:
        if self._order:
            self._order[0].news.set()

    def _held_s(self) -> float:
        return self._held_until - self._now()

    def _moment(self) -> _Moment:
        return _Moment(self._now(), self._now() - self._full_s)

    def _now(self) -> float:
        return self._journal.clock.elapsed()


def _ended() -> NotSubmitted:
    return NotSubmitted("The server ended before the request was sent.")


def _key_of(place: Place) -> Key:
    return place.key


class Queues:
    """The lines of one process."""

    def __init__(self, journal: Journal, limits: Limits) -> None:
        self._journal = journal
        self._limits = limits
        self._lines: dict[tuple[str, str], Line] = {}
        self._is_closed = False
        journal.listen(self._changed)

    def line(self, account: Account) -> Line:
        """Where tasks for this account stand."""
        key = (account.provider, account.base_url)
        if key not in self._lines:
            adaptive_limit = AdaptiveLimit(limit_at(self._limits, account.provider))
            self._lines[key] = Line(self._journal, account, adaptive_limit, is_closed=self._is_closed)
        return self._lines[key]

    def position(self, task_id: str) -> int | None:
        """A task's place in its line, from 1; `None` for one who waits in none."""
        positions = (line.position(task_id) for line in self._lines.values())
        return next((position for position in positions if position is not None), None)

    def close(self) -> set[str]:
        """From now on nobody waits in any line; the ids of those who did."""
        self._is_closed = True
        return set().union(*(line.close() for line in self._lines.values()))

    def _changed(self, task: Task) -> None:
        if line := self._lines.get((task.provider, task.base_url)):
            line.changed(task)

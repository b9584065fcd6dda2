"""Who waits here because a provider runs only so many tasks at once, and whose turn it is.

One line per account. What runs there is counted in the store, so that all processes on one database share a plan;
two that count in the same moment may pass the limit by one, which the provider then refuses: it comes back here.
"""

import itertools
import logging
import math
from bisect import insort
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.concurrency import Ceiling, Limits, limit_at
from journey_mcp.errors import NotSubmitted, RateLimited, SetupError
from journey_mcp.holdings import Holdings
from journey_mcp.providers import Account
from journey_mcp.tasks import Submission, Task

_LOOK_AGAIN_S = 1.0
"""How often the first in line looks for room that another process has made; what ends in this one wakes it."""
_SILENT_S = 3600.0
"""What told nothing for so long is not counted: if it runs all the same, the provider refuses one more."""

_log = logging.getLogger(__name__)


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
    number: int
    joined_at: _Moment
    sent_at: float = -math.inf
    """When it last had its turn."""
    is_refused: bool = False
    """It had its turn, and the provider refused."""
    news: anyio.Event = field(default_factory=anyio.Event)


class Line:
    """Those who wait for room at one account.

    Turns go round between principals; of one principal's, who came first is first.
    """

    def __init__(self, holdings: Holdings, account: Account, ceiling: Ceiling, *, is_closed: bool = False) -> None:
        self._holdings = holdings
        self._account = account
        self._ceiling = ceiling
        self._places: dict[str, Place] = {}
        self._waiting: dict[str, list[Place]] = {}
        """By principal, the one whose turn is next first."""
        self._passing: Place | None = None
        """Has its turn, and is not counted in the store yet."""
        self._numbers = itertools.count()
        self._held_until = -math.inf
        self._refusal = ""
        self._full_s = 0.0
        """For how long the first one has waited because tasks of ours fill the provider, in all."""
        self._refused_since: _Moment | None = None
        """When the first refusal came of those after which nothing was sent and accepted."""
        self._is_closed = is_closed

    def place(self, task: Task) -> Place:
        """A place behind all others of the task's principal."""
        return Place(task.id, task.principal, next(self._numbers), self._moment())

    @asynccontextmanager
    async def turn(self, place: Place, patience_s: float = math.inf) -> AsyncIterator[None]:
        """Wait until there is room and it is this one's turn; in the block nobody else has a turn.

        The block makes it count (`Task.sent`). It is also entered when the task has ended meanwhile.

        Raises:
            RateLimited: the provider refused whoever tried, and accepted nobody, for so long while it waited.
            NotSubmitted: the line was closed.
        """
        if not self._places and self._ceiling.at(self._now()) is None and self._held_s() <= 0:
            place.sent_at = self._now()
            yield
            return
        self._join(place)
        try:
            await self._wait(place, patience_s)
            yield
        finally:
            self._leave(place)

    def refused(self, place: Place, error: RateLimited) -> None:
        """This one had its turn, and the provider is at its limit."""
        place.is_refused, self._refusal = True, str(error)
        if self._refused_since is None:
            self._refused_since = self._moment()
            for waiting in self._places.values():
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

    async def learn(self) -> None:
        """After a refusal: no more than what runs now."""
        running = await self._running()
        if running is not None:
            self._ceiling.refused(running, self._now())

    def accepted(self, place: Place) -> None:
        """The provider took this one; whom it refused after this one was sent, it may refuse still."""
        if self._refused_since is not None and place.sent_at > self._refused_since.at:
            self._refused_since = None

    def position(self, task_id: str) -> int | None:
        """The place in line, from 1; `None` for one who does not stand here."""
        place = self._places.get(task_id)
        if place is None:
            return None
        ahead, is_before = self._waiting[place.principal].index(place), True
        position = ahead + 1
        for principal, others in self._waiting.items():
            if principal == place.principal:
                is_before = False
            else:
                position += min(len(others), ahead + is_before)
        return position

    def changed(self, task: Task) -> None:
        """A task of this account has changed: it may leave the line, or make room."""
        if task.status.is_final and (place := self._places.get(task.id)):
            self._leave(place)
            place.news.set()
        elif task.status.is_final or task.submission is Submission.PREPARED:
            self._wake_first()

    def close(self) -> set[str]:
        """From now on nobody waits; the ids of those who did."""
        self._is_closed = True
        for place in self._places.values():
            place.news.set()
        return set(self._places)

    async def _wait(self, place: Place, patience_s: float) -> None:
        while (task := self._holdings.get(place.task_id)) and not task.status.is_final:
            place.news = anyio.Event()
            if self._is_closed:
                raise NotSubmitted("The server ended before the request was sent.")
            looked_at = self._now()
            pause_s = await self._until_room() if self._first is place else math.inf
            if pause_s is not None and pause_s <= 0 and self._first is place:
                self._passing, place.sent_at = place, self._now()
                return
            left_s = patience_s - self.refused_s(place, has_next=True)
            if left_s <= 0:
                raise RateLimited(self._refusal)
            await self._holdings.clock.wait(place.news, min(_LOOK_AGAIN_S if pause_s is None else pause_s, left_s))
            if pause_s is None:
                self._full_s += self._now() - looked_at

    async def _until_room(self) -> float | None:
        """Seconds until the first one may go, if not at once; `None` when a task of ours has to end before."""
        if self._held_s() <= 0 and self._ceiling.at(self._now()) is not None:
            running, limit = await self._running(), self._ceiling.at(self._now())
            if running is not None and limit is not None and running >= limit:
                return None
        return self._held_s()

    async def _running(self) -> int | None:
        """How many the provider has; `None` when the store does not tell."""
        try:
            return await self._holdings.store.running(
                provider=self._account.provider,
                base_url=self._account.base_url,
                since=self._holdings.clock.now() - _SILENT_S,
            )
        except (SQLAlchemyError, SetupError):
            _log.exception("what runs at %s cannot be counted", self._account.provider)
            return None

    @property
    def _first(self) -> Place | None:
        return self._passing or next((places[0] for places in self._waiting.values()), None)

    def _join(self, place: Place) -> None:
        self._places[place.task_id] = place
        insort(self._waiting.setdefault(place.principal, []), place, key=lambda other: other.number)
        if place.is_refused:
            # its turn came to nothing: it is still its principal's, of whom another one may be first
            self._waiting = {place.principal: self._waiting[place.principal]} | self._waiting
            self._wake_first()

    def _leave(self, place: Place) -> None:
        if self._places.pop(place.task_id, None) is None:
            return
        others = self._waiting[place.principal]
        others.remove(place)
        if self._passing is place:
            self._passing = None
            self._waiting[place.principal] = self._waiting.pop(place.principal)
        if not others:
            del self._waiting[place.principal]
        self._wake_first()

    def _wake_first(self) -> None:
        if first := self._first:
            first.news.set()

    def _held_s(self) -> float:
        return self._held_until - self._now()

    def _moment(self) -> _Moment:
        return _Moment(self._now(), self._now() - self._full_s)

    def _now(self) -> float:
        return self._holdings.clock.elapsed()


class Queues:
    """The lines of one process."""

    def __init__(self, holdings: Holdings, limits: Limits) -> None:
        self._holdings = holdings
        self._limits = limits
        self._lines: dict[tuple[str, str], Line] = {}
        self._is_closed = False
        holdings.listen(self._changed)

    def line(self, account: Account) -> Line:
        """Where tasks for this account stand."""
        key = (account.provider, account.base_url)
        if key not in self._lines:
            ceiling = Ceiling(limit_at(self._limits, account.provider))
            self._lines[key] = Line(self._holdings, account, ceiling, is_closed=self._is_closed)
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

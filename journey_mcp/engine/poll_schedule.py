"""The schedule of the polls at one address: what is polled next, and what with it."""

import heapq
import itertools
import math
from typing import Generic, NamedTuple, TypeVar

from journey_mcp.engine.poll_calendar import PollCalendar

_Item = TypeVar("_Item")


class _Due(NamedTuple, Generic[_Item]):
    """An entry of the heap."""

    due: float
    order: int
    earliest: float
    """From when on it may fill the batch of an item that is due."""
    item: _Item


class PollSchedule(Generic[_Item]):
    """When each item is to be polled, in the order in which they are due."""

    def __init__(self, batch_limit: int) -> None:
        """Take how many items one request polls at most."""
        self.batch_limit = batch_limit
        self._calendar = PollCalendar(batch_limit)
        self._heap: list[_Due[_Item]] = []
        self._order = itertools.count()

    def __bool__(self) -> bool:
        """Return whether anything is scheduled."""
        return bool(self._heap)

    @property
    def next_due(self) -> float:
        """The time of the next poll; infinite if there is none."""
        return self._heap[0].due if self._heap else math.inf

    def add(self, item: _Item, wanted: float, *, slack_s: float) -> float:
        """Schedule an item for the first time from `wanted` on at which there is room; return that time.

        It may fill a batch from `slack_s` before `wanted` on.
        """
        due = self._calendar.book(wanted)
        heapq.heappush(self._heap, _Due(due, next(self._order), wanted - slack_s, item))
        return due

    def pop(self, now: float, *, early: bool) -> _Item | None:
        """Remove and return the item that is due next; `None` if it is not due, and with `early`, not within slack."""
        if not self._heap or (self._heap[0].earliest if early else self._heap[0].due) > now:
            return None
        entry = heapq.heappop(self._heap)
        self._calendar.release(entry.due)
        return entry.item

"""The schedule of the polls at one address: what is polled next, and what with it."""

import heapq
import itertools
import math
from typing import Generic, NamedTuple, TypeVar

from journey_mcp.engine.poll_calendar import PollCalendar

_Item = TypeVar("_Item")

_EARLY_S = 1.0
"""What is due within this time fills the batch of what is due."""


class _Due(NamedTuple, Generic[_Item]):
    """An entry of the heap."""

    due: float
    order: int
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

    def add(self, item: _Item, wanted: float) -> float:
        """Schedule an item for the first time from `wanted` on at which there is room; return that time."""
        due = self._calendar.book(wanted)
        heapq.heappush(self._heap, _Due(due, next(self._order), item))
        return due

    def pop(self, now: float, *, early: bool) -> _Item | None:
        """Remove and return the item that is due next, `None` if it is not due; with `early`, not due soon."""
        if self.next_due > (now + _EARLY_S if early else now):
            return None
        entry = heapq.heappop(self._heap)
        self._calendar.release(entry.due)
        return entry.item

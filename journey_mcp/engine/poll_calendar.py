"""The calendar of the polls at one address: at no moment more of them than the provider and this process can take.

Tasks that begin or are taken over together would otherwise be polled together, again and again, and late.
"""

REQUESTS_PER_S = 50
"""To one address, by one process: Replicate allows 3,000 a minute, and no other provider states a limit."""
_SLOTS_PER_S = 10
"""A slot is an integer: a time in seconds, times this, rounded down."""
_SLOTS_PER_BLOCK = 100
"""A block that is full is passed over at once: thousands of tasks may be booked in one go, and all callers wait."""


class PollCalendar:
    """How many tasks are to be polled in each slot of a tenth of a second."""

    def __init__(self, batch_limit: int) -> None:
        """Take how many tasks one request polls at most."""
        self._room = REQUESTS_PER_S // _SLOTS_PER_S * batch_limit
        self._booked: dict[int, int] = {}
        self._full: dict[int, int] = {}
        """How many slots of a block have no room."""

    def book(self, wanted: float) -> float:
        """Return the first time from `wanted` on at which there is room for one more task."""
        slot = first = int(wanted * _SLOTS_PER_S)
        while self._booked.get(slot, 0) >= self._room:
            slot += 1
            while slot % _SLOTS_PER_BLOCK == 0 and self._full.get(slot // _SLOTS_PER_BLOCK) == _SLOTS_PER_BLOCK:
                slot += _SLOTS_PER_BLOCK
        self._add(slot, 1)
        return wanted if slot == first else slot / _SLOTS_PER_S

    def release(self, booked: float) -> None:
        """Give back a time that `book` returned."""
        self._add(int(booked * _SLOTS_PER_S), -1)

    def _add(self, slot: int, tasks: int) -> None:
        before = self._booked.get(slot, 0)
        _set(self._booked, slot, before + tasks)
        became_full = (before + tasks == self._room) - (before == self._room)
        if became_full:
            block = slot // _SLOTS_PER_BLOCK
            _set(self._full, block, self._full.get(block, 0) + became_full)


def _set(counts: dict[int, int], key: int, count: int) -> None:
    """Set a count; what is none is not kept."""
    if count:
        counts[key] = count
    else:
        del counts[key]

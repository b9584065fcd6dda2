"""The calendar of the polls at one address: at no moment more of them than the provider and this process can take.

Tasks that begin or are taken over together would otherwise be polled together, again and again, and late.
"""

REQUESTS_PER_S = 50
"""To one address, by one process: Replicate allows 3,000 a minute, and no other provider states a limit."""
_SLOTS_PER_S = 10
"""A slot is an integer: a time in seconds, times this, rounded down."""


class PollCalendar:
    """How many tasks are to be polled in each slot of a tenth of a second."""

    def __init__(self, batch_limit: int) -> None:
        """Take how many tasks one request polls at most."""
        self._room = REQUESTS_PER_S // _SLOTS_PER_S * batch_limit
        self._booked: dict[int, int] = {}

    def book(self, wanted: float) -> float:
        """Return the first time from `wanted` on at which there is room for one more task."""
        slot = first = int(wanted * _SLOTS_PER_S)
        while self._booked.get(slot, 0) >= self._room:
            slot += 1
        self._booked[slot] = self._booked.get(slot, 0) + 1
        return wanted if slot == first else slot / _SLOTS_PER_S

    def release(self, booked: float) -> None:
        """Give back a time that `book` returned."""
        slot = int(booked * _SLOTS_PER_S)
        self._booked[slot] -= 1
        if not self._booked[slot]:
            del self._booked[slot]

"""Moments of the sandbox's clock as dates, which the services' answers tell."""

import time
from datetime import UTC, datetime

from journey_mcp.sandbox.clock import Clock


class Calendar:
    """Takes the clock's present for today when it is started, and goes on by the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero: float | None = None

    def start(self) -> float:
        """Return the moment 0 of the clock in seconds since 1970. The first call determines it.

        The calendar does not start by itself: the clock of an event loop cannot be read before the loop runs.
        """
        if self._zero is None:
            self._zero = time.time() - self._clock()
        return self._zero

    def unix(self, seconds: float) -> float:
        """Return seconds since 1970."""
        return self.start() + seconds

    def iso(self, seconds: float) -> str:
        """Return a date as in 2026-01-05T10:00:00.000Z."""
        date = datetime.fromtimestamp(self.unix(seconds), UTC)
        return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Moments of the sandbox's clock as dates, which the services' answers tell."""

import time
from datetime import UTC, datetime

from journey_mcp.sandbox.clock import Clock


class Calendar:
    """Takes the clock's present for today, and goes on by the clock."""

    def __init__(self, clock: Clock) -> None:
        self._start = time.time() - clock()

    def unix(self, moment: float) -> float:
        """Return seconds since 1970."""
        return self._start + moment

    def written(self, moment: float) -> str:
        """Return a date as in 2026-01-05T10:00:00.000Z."""
        date = datetime.fromtimestamp(self.unix(moment), UTC)
        return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")

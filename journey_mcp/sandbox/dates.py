"""Times of the sandbox's clock as dates, as the services' responses contain them."""

import time
from datetime import UTC, datetime

from journey_mcp.sandbox.clock import Clock


class Calendar:
    """A calendar that starts at the real date and advances with the sandbox's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero: float | None = None

    def start(self) -> float:
        """Return the clock's zero in seconds since 1970; the first call determines it.

        The constructor does not do it: the clock of an event loop cannot be read before the loop runs.
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

"""Time, passed in: so that tests can let it run faster, and nothing else reads it."""

import math
import time
from datetime import UTC, datetime

import anyio


def timestamp(seconds: float) -> str:
    """A moment of the Unix epoch as people and models read it, such as 2026-11-21T10:00:00Z."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def duration(seconds: float) -> str:
    """A length of time as people say it, rounded up: 45 s, 12 min, 23 h 40 min, 3 days."""
    if seconds < 120:  # noqa: PLR2004  # two minutes
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    if hours < 48:  # noqa: PLR2004  # two days
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{math.ceil(minutes / 1440)} days"


class Clock:
    """Real time."""

    def now(self) -> float:
        """Seconds of the Unix epoch."""
        return time.time()

    def elapsed(self) -> float:
        """Seconds since some moment, for durations: unlike `now`, nobody can set it."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Pause this coroutine."""
        await anyio.sleep(seconds)

    async def wait(self, event: anyio.Event, seconds: float) -> bool:
        """Wait for the event, at most so long; whether it came."""
        with anyio.move_on_after(seconds):
            await event.wait()
        return event.is_set()


class Wakeup:
    """Wakes a loop that sleeps until something is due."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def notify(self) -> None:
        """Let the loop look again now, or right after what it does now."""
        self._event.set()

    async def wait(self, clock: Clock, seconds: float) -> bool:
        """Wait for a notification since the last wait, at most so long; return whether there was one."""
        is_notified = await clock.wait(self._event, seconds)
        self._event = anyio.Event()
        return is_notified

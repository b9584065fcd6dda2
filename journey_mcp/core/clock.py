"""The clock, which is passed in: tests move it by hand, and no other module reads the time."""

import asyncio
import time

import anyio


class Clock:
    """Real time."""

    def now(self) -> float:
        """Return the seconds since the Unix epoch."""
        return time.time()

    def elapsed(self) -> float:
        """Return monotonic seconds, for durations: unlike `now`, they cannot be set."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Suspend this coroutine."""
        await anyio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for the event, at most so long; return whether it is set."""
        with anyio.move_on_after(seconds):
            await event.wait()
        return event.is_set()


class Wakeup:
    """A notification that wakes a loop before its next deadline."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Let the loop check again now, or right after its present work."""
        self._event.set()

    async def wait(self, clock: Clock, seconds: float) -> bool:
        """Wait for a notification since the last wait, at most so long; return whether there was one."""
        is_notified = await clock.wait(self._event, seconds)
        self._event.clear()
        return is_notified

"""Time, passed in: so that tests can let it run faster, and nothing else reads it."""

import time

import anyio


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

"""Time, passed in: so that tests can let it run faster, and nothing else reads it."""

import time
from datetime import UTC, datetime

import anyio


def timestamp(seconds: float) -> str:
    """A moment of the Unix epoch as people and models read it, such as 2026-11-21T10:00:00Z."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


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

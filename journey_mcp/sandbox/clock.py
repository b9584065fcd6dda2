"""The sandbox's clock: a callable that returns seconds, and waiting for a time."""

import math
from collections.abc import Callable

import anyio

Clock = Callable[[], float]
"""Monotonic seconds since an arbitrary start; the event loop's time unless a test passes another clock."""


async def wait_until(clock: Clock, time: float) -> None:
    """Return as soon as `clock` has reached `time`."""
    while (left := time - clock()) > 0:
        await (anyio.sleep(left) if math.isfinite(left) else anyio.sleep_forever())

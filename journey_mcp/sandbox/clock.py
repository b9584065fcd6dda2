"""The sandbox's time: a callable that answers seconds, and waiting by it."""

import math
from collections.abc import Callable

import anyio

Clock = Callable[[], float]
"""Seconds since any fixed moment, never going back; the event loop's own time unless a test brings another."""


async def wait_until(clock: Clock, time: float) -> None:
    """Return as soon as `clock` has reached `time`."""
    while (left := time - clock()) > 0:
        await (anyio.sleep(left) if math.isfinite(left) else anyio.sleep_forever())

"""The sandbox's time: a callable that answers seconds, and waiting by it."""

from collections.abc import Callable

import anyio

Clock = Callable[[], float]
"""Seconds since any fixed moment, never going back; `time.monotonic` unless a test brings its own."""

GLANCE_S = 0.02
"""How often a waiting request looks at the clock, so that one moved by hand is noticed soon."""


async def wait_until(clock: Clock, moment: float) -> None:
    """Return as soon as `clock` has reached `moment`."""
    while (left := moment - clock()) > 0:  # noqa: ASYNC110 - a clock is no event
        await anyio.sleep(min(left, GLANCE_S))

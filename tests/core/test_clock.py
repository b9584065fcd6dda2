"""Loops that sleep until something is due."""

import anyio
import pytest
from manual_clock import ManualClock

from journey_mcp.core.clock import Wakeup


async def test_a_loop_sleeps_until_something_is_due() -> None:
    """Without a notification, exactly until then."""
    clock, wakeup = ManualClock(), Wakeup()
    assert not await wakeup.wait(clock, 90)
    assert clock.elapsed() == pytest.approx(90, abs=0.001)


async def test_a_notification_wakes_a_loop() -> None:
    """Immediately, and only once."""
    clock, wakeup = ManualClock(), Wakeup()
    async with anyio.create_task_group() as group:

        async def notify() -> None:
            await clock.sleep(5)
            wakeup.notify()
            wakeup.notify()

        group.start_soon(notify)
        assert await wakeup.wait(clock, 90)
        assert clock.elapsed() == pytest.approx(5, abs=0.001)
        assert not await wakeup.wait(clock, 1)


async def test_a_notification_of_a_busy_loop_ends_its_next_wait() -> None:
    """The change may have come after the loop's check."""
    clock, wakeup = ManualClock(), Wakeup()
    wakeup.notify()
    assert await wakeup.wait(clock, 90)
    assert clock.elapsed() == 0
    assert not await wakeup.wait(clock, 90)

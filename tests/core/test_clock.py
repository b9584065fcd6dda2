"""Times as people read them, and loops that sleep until something is due."""

import anyio
import pytest
from manual_clock import ManualClock

from journey_mcp.core.clock import Wakeup, duration, timestamp


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (3590.0, "1 h"),
        (3601.0, "1 h 1 min"),
        (86399.0, "24 h"),
        (172799.0, "2 days"),
        (172801.0, "3 days"),
    ],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    """Rounded up: whoever waits so long has waited long enough."""
    assert duration(seconds) == said


def test_a_moment_is_said_in_utc() -> None:
    """To the second."""
    assert timestamp(0.9) == "1970-01-01T00:00:00Z"


async def test_a_loop_sleeps_until_something_is_due() -> None:
    """No longer, if there is no notification."""
    clock, wakeup = ManualClock(), Wakeup()
    assert not await wakeup.wait(clock, 90)
    assert clock.elapsed() == pytest.approx(90, abs=0.001)


async def test_a_notification_wakes_a_loop() -> None:
    """At once, and once."""
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


async def test_a_notification_of_a_loop_that_is_at_work_is_kept_for_its_next_wait() -> None:
    """What changed may have changed after the loop looked."""
    clock, wakeup = ManualClock(), Wakeup()
    wakeup.notify()
    assert await wakeup.wait(clock, 90)
    assert clock.elapsed() == 0
    assert not await wakeup.wait(clock, 90)

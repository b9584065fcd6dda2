"""Manual time advances only when nothing can run."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import to_thread
from manual_clock import ManualClock, until


async def test_a_long_pause_takes_no_real_time_and_is_exact() -> None:
    """Pauses end in the order of their lengths."""
    clock, ends = ManualClock(), {}

    async def pause(seconds: float) -> None:
        await clock.sleep(seconds)
        ends[seconds] = clock.elapsed()

    async with anyio.create_task_group() as group:
        for seconds in (86_400.0, 600.0, 0.25):
            group.start_soon(pause, seconds)
    assert list(ends) == [0.25, 600.0, 86_400.0]
    assert all(end == pytest.approx(seconds, abs=1e-4) for seconds, end in ends.items())


@pytest.mark.parametrize("start", [to_thread.run_sync, asyncio.to_thread])
async def test_no_time_passes_while_a_thread_works(start: Callable[..., Awaitable[None]]) -> None:
    """By either starter; a time limit does not interrupt its work."""
    clock = ManualClock()
    with anyio.fail_after(0.001):
        await start(time.sleep, 0.05)
    assert clock.elapsed() < 0.001


async def test_no_time_passes_while_bytes_are_in_flight() -> None:
    """A hundred requests and responses over real sockets fit into a time limit of almost zero."""
    clock = ManualClock()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0, family=socket.AF_INET) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with anyio.fail_after(0.001):
            for number in range(100):
                writer.write(b"%d\n" % number)
                assert await reader.readline() == b"%d\n" % number
        writer.close()
        await writer.wait_closed()
    assert clock.elapsed() < 0.001


async def test_the_calendar_can_be_set_and_time_can_be_advanced() -> None:
    """Setting the calendar takes no time; advancing the time moves both."""
    clock = ManualClock()
    now = clock.now()
    clock.shift_calendar(-3600)
    assert clock.elapsed() == 0
    assert clock.now() == pytest.approx(now - 3600)
    clock.advance(60)
    assert (clock.elapsed(), clock()) == (60.0, 60.0)
    assert clock.now() == pytest.approx(now - 3540)
    assert ManualClock().now() == pytest.approx(now + 60)


async def test_a_wait_shorter_than_float_precision_ends() -> None:
    """A rounding error must not stop time for ever."""
    clock, event = ManualClock(), asyncio.Event()
    clock.advance(1e6)
    before = clock.elapsed()
    assert not await clock.wait(event, 1e-15)
    assert clock.elapsed() > before
    with anyio.fail_after(1):
        while clock.elapsed() < before + 1e-3:
            with anyio.move_on_after(1e-15):
                await event.wait()


async def test_a_condition_that_never_holds_is_an_error_after_a_minute() -> None:
    """A minute of manual time."""
    clock = ManualClock()
    with pytest.raises(TimeoutError):
        await until(lambda: False)
    assert clock.elapsed() == pytest.approx(60, abs=1e-3)

"""Manual time itself: it moves when nothing can run, and only then."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import to_thread
from manual_clock import ManualClock, until


async def test_a_long_pause_takes_no_real_time_and_is_exact() -> None:
    """Those that end first come first."""
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
    """Whoever starts it; a time limit does not cut its work off."""
    clock = ManualClock()
    with anyio.fail_after(0.001):
        await start(time.sleep, 0.05)
    assert clock.elapsed() < 0.001


async def test_no_time_passes_while_bytes_are_in_flight() -> None:
    """A hundred exchanges over real sockets, within a time limit of nothing."""
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


async def test_the_calendar_can_be_set_and_time_can_be_moved() -> None:
    """Setting the calendar lets no time pass; moving time moves both."""
    clock = ManualClock()
    now = clock.now()
    clock.shift_calendar(-3600)
    assert clock.elapsed() == 0
    assert clock.now() == pytest.approx(now - 3600)
    clock.advance(60)
    assert (clock.elapsed(), clock()) == (60.0, 60.0)
    assert clock.now() == pytest.approx(now - 3540)
    assert ManualClock().now() == pytest.approx(now + 60)


async def test_a_wait_for_less_than_a_float_can_tell_ends() -> None:
    """A rounding error must not stop time for ever."""
    clock, event = ManualClock(), anyio.Event()
    clock.advance(1e6)
    before = clock.elapsed()
    assert not await clock.wait(event, 1e-15)
    assert clock.elapsed() > before
    with anyio.fail_after(1):
        while clock.elapsed() < before + 1e-3:
            with anyio.move_on_after(1e-15):
                await event.wait()


async def test_what_never_holds_is_an_error_after_a_minute() -> None:
    """Of manual time."""
    clock = ManualClock()
    with pytest.raises(TimeoutError):
        await until(lambda: False)
    assert clock.elapsed() == pytest.approx(60, abs=1e-3)

"""A thread runs blocking calls one after another, whatever happens to their callers."""

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from manual_clock import ManualClock

from journey_mcp.core.serial_thread import SerialThread


@pytest.fixture
def thread() -> Iterator[SerialThread]:
    """Yield a thread, and end it."""
    serial = SerialThread("test")
    yield serial
    serial.stop()
    serial.join(10)
    assert not serial.is_alive()


async def test_calls_run_in_order_in_the_thread(thread: SerialThread) -> None:
    """One at a time, and each caller gets its result."""
    order = list[int]()

    def work(number: int) -> str:
        time.sleep(0.002 * (5 - number))
        order.append(number)
        return f"{number} in {threading.current_thread().name}"

    results = await asyncio.gather(*(thread.call(lambda n=number: work(n)) for number in range(5)))  # type: ignore[misc]
    assert results == [f"{number} in test" for number in range(5)]
    assert order == list(range(5))


async def test_an_error_reaches_the_caller_and_the_thread_continues(thread: SerialThread) -> None:
    """Of any kind."""
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await thread.call(lambda: sys.exit(3))
    assert await thread.call(lambda: 4) == 4


async def test_a_call_completes_although_its_caller_is_cancelled(thread: SerialThread) -> None:
    """The caller returns at once; a failed call of nobody is no error."""
    may_end, ended = threading.Event(), list[str]()

    def work() -> None:
        may_end.wait()
        ended.append("ended")
        raise ValueError

    caller = asyncio.create_task(thread.call(work))
    waiting = asyncio.create_task(thread.call(lambda: ended.append("waited")))
    await asyncio.sleep(0)
    for task in (caller, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not ended
    assert thread.pending == 2
    may_end.set()
    assert await thread.call(lambda: 5) == 5
    assert ended == ["ended", "waited"]
    assert thread.pending == 0


async def test_an_idle_thread_keeps_nothing_of_its_last_call(thread: SerialThread) -> None:
    """A prompt or a row is freed before the next call comes."""

    class Row:
        """Something that is large."""

    row = Row()
    kept = weakref.ref(row)
    assert await thread.call(lambda row=row: isinstance(row, Row))  # type: ignore[misc]
    del row
    while kept() is not None:  # the thread is about to end its call
        gc.collect()
        await asyncio.sleep(0)


def test_a_call_may_outlast_its_loop(thread: SerialThread) -> None:
    """Its result is dropped, and the thread serves the next loop."""
    may_end = threading.Event()

    async def leave() -> None:
        caller = asyncio.create_task(thread.call(may_end.wait))
        await asyncio.sleep(0)
        caller.cancel()

    async def call() -> int:
        return await thread.call(lambda: 6)

    asyncio.run(leave())
    may_end.set()
    assert asyncio.run(call()) == 6


async def test_no_manual_time_passes_while_a_call_runs(thread: SerialThread) -> None:
    """A time limit does not interrupt it."""
    clock = ManualClock()
    async with asyncio.timeout(0.001):
        await thread.call(lambda: time.sleep(0.05))
    assert clock.elapsed() < 0.001

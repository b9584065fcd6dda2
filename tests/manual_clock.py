"""Manual time for tests: it stops while anything can run, and jumps to the next deadline when nothing can.

`ManualLoop` is an event loop with manual time. Every pause and every time limit in it takes no real time and is exact:
those of the server, the sandbox, the libraries and the test. The load of the machine has no effect.
`ManualClock` is the clock of that time for code that takes a clock; a test can advance it.
"""

import asyncio
import fcntl
import math
import selectors
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, TypeVarTuple

import anyio
from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.serial_thread import SerialThread

_Args = TypeVarTuple("_Args")
_Result = TypeVar("_Result")

_STEP_S = 1e-6
"""Time advances in whole steps, so that no deadline is missed by a rounding error."""
_SPINS = 100
"""After this many iterations of the loop without an event, time advances by a step: code may wait for less."""
_JUMP_S = 60.0
_SETTLE_S = 0.5
"""The time after a jump for the work that was due."""
_GRACE_S = 0.001
"""Real seconds in which bytes between two sockets of this process arrive."""
_GRACES = 20
"""After this many waits the peer does not read the bytes: its buffer is full."""


class ManualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time advances only when nothing can run, or when a test advances it."""

    def __init__(self) -> None:
        self.epoch = time.time()
        """The calendar time when the loop is created, in seconds of the Unix epoch."""
        self._seconds = 0.0
        self._threads = 0
        self._abandoned = frozenset(_working_threads())
        """Threads with calls of earlier loops, to which their results go."""
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the seconds since the loop was created."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Advance the time at once; what is due by then runs next."""
        self._seconds += seconds

    def jump(self, seconds: float) -> None:
        """Advance the time, rounded up to whole steps, by at least one step."""
        steps = math.ceil(round((self._seconds + seconds) / _STEP_S, 3))
        self._seconds = max(steps * _STEP_S, self._seconds + _STEP_S)

    @property
    def has_threads(self) -> bool:
        """Whether a thread works for this loop: time stops until it is done."""
        if self._threads > 0:
            return True
        return any(thread not in self._abandoned for thread in _working_threads())

    @contextmanager
    def counting_thread(self) -> Iterator[None]:
        """Count a thread that works for this loop while the block runs."""
        self._threads += 1
        try:
            yield
        finally:
            self._threads -= 1

    def run_in_executor(
        self, executor: Executor | None, func: "Callable[[*_Args], _Result]", *args: *_Args
    ) -> "asyncio.Future[_Result]":
        """Run `func` in a thread, as any event loop does, and count that thread."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._forget_thread)
        return future

    def _forget_thread(self, _future: "asyncio.Future[Any]") -> None:
        self._threads -= 1


def _working_threads() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if isinstance(thread, SerialThread) and thread.pending)


class _Selector(selectors.DefaultSelector):
    """Selector that waits for real events, and advances the loop's time instead of waiting for it."""

    def __init__(self, loop: ManualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._spins = 0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        self._spins = 0 if events or timeout else self._spins + 1
        if self._spins > _SPINS:
            self._loop.jump(_STEP_S)
        if events or timeout == 0:
            return events
        if timeout is None or self._loop.has_threads:
            # only a thread, a signal or a peer can continue: however long that takes, no time passes
            return super().select(None)
        for _ in range(_GRACES):
            # in this order: bytes that arrive after a look for events would be neither in flight nor an event
            is_in_flight = self._has_bytes_in_flight()
            events = super().select(_GRACE_S if is_in_flight else 0)
            if events or not is_in_flight:
                break
        if not events:
            self._loop.jump(timeout)
        return events

    def _has_bytes_in_flight(self) -> bool:
        """Return whether a socket has sent bytes that its peer's has not received yet."""
        for key in self.get_map().values():
            with suppress(OSError):  # a listening socket, or no socket
                unacknowledged = bytearray(4)
                fcntl.ioctl(key.fd, termios.TIOCOUTQ, unacknowledged)
                if any(unacknowledged):
                    return True
        return False


_run_sync = to_thread.run_sync


async def _counted_run_sync(*arguments: Any, **more: Any) -> Any:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, ManualLoop):
        return await _run_sync(*arguments, **more)
    with loop.counting_thread():
        return await _run_sync(*arguments, **more)


def count_threads() -> None:
    """Make a `ManualLoop` count anyio's threads too, which do not come from its own executors."""
    to_thread.run_sync = _counted_run_sync  # type: ignore[assignment]  # has the parameters of the original


class ManualClock(Clock):
    """The time of the running `ManualLoop` and a separate calendar. A clock for the server and for the sandbox."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ManualLoop)
        self._loop = loop
        self._shift_s = 0.0

    def __call__(self) -> float:
        """Return the loop's time, as the sandbox reads it."""
        return self._loop.time()

    def now(self) -> float:
        """Return the time of the calendar, in seconds of the Unix epoch."""
        return self._loop.epoch + self._shift_s + self._loop.time()

    def elapsed(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for the event for at most `seconds`, but at least one step of time: less would not advance it."""
        return await super().wait(event, max(seconds, _STEP_S))

    def advance(self, seconds: float) -> None:
        """Advance the time at once, for the server, the sandbox and the test."""
        self._loop.advance(seconds)

    async def skip(self, seconds: float) -> None:
        """Let so much time pass in jumps: what recurs every few seconds runs once per jump, as after a short sleep."""
        end = self.elapsed() + seconds
        await self.sleep(_SETTLE_S)
        while self.elapsed() < end:
            self.advance(min(_JUMP_S, end - self.elapsed()))
            await self.sleep(_SETTLE_S)

    def shift_calendar(self, seconds: float) -> None:
        """Set the calendar forwards or backwards, as after a wake-up of the machine: no time passes."""
        self._shift_s += seconds


async def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until the condition holds; fail after `within_s` seconds of the loop's time.

    On a `ManualLoop` time passes only while nothing else can run.
    """
    pause_s = 0.01
    with anyio.fail_after(within_s):
        while not condition():
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, 0.1)

"""A thread for calls that block: the event loop hands them over, and they run one after another."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class SerialThread(threading.Thread):
    """Thread that runs one call at a time, in order.

    A call costs one wake-up of the thread and one of the event loop. An executor takes more than twice as long: it adds
    a future with locks of its own, and an iteration of the loop to copy its result.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self.pending = 0
        """The number of calls whose result has not reached the event loop."""
        self.start()

    async def call(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`, or raise its error. It completes although the caller is cancelled."""
        done: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self.pending += 1
        self._calls.put((work, done))
        return await done

    def stop(self) -> None:
        """End the thread after the calls that wait."""
        self._calls.put(None)

    def run(self) -> None:
        """Run calls until `stop`; what a thread does."""
        while (call := self._calls.get()) is not None:
            self._run(*call)
            del call  # an idle thread keeps no data of its last call

    def _run(self, work: Callable[[], _Result], done: "asyncio.Future[_Result]") -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # the caller gets it
            self._report(done, partial(done.set_exception, error))
        else:
            self._report(done, partial(done.set_result, result))

    def _report(self, done: "asyncio.Future[_Result]", settle: Callable[[], None]) -> None:
        def report() -> None:
            self.pending -= 1
            if not done.done():  # its caller may be cancelled
                settle()

        with suppress(RuntimeError):  # the loop has ended, and no caller waits
            done.get_loop().call_soon_threadsafe(report)

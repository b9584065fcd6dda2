"""Many tasks in one process, without waiting calls. Prints measurements as JSON and exits at once.

`python -m bench.studio_load hold 2000` makes them and prints the memory at each quarter; `… finish 2000` lets them
finish, and prints the delay and the number of polls. The studio is the server's, with a clock and an adapter that
measure.
"""

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2

from journey_mcp.core.clock import Clock
from journey_mcp.core.predictions import Handle, Prediction
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest, PreparedRequest
from journey_mcp.providers.base import Account
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.providers.journeyapi import JourneyApi
from journey_mcp.registry import Offer
from journey_mcp.settings import read_settings
from journey_mcp.studio import Studio, open_studio

_CONCURRENCY = 50
"""How many tasks are made concurrently."""

_due: ContextVar[float] = ContextVar("due")
"""The deadline of the last wait that ended in this asyncio task, or in the one that started it."""


class DeadlineClock(Clock):
    """Real time that records the deadline of each wait."""

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait as `Clock` does."""
        due = self.elapsed() + seconds
        came = await super().wait(event, seconds)
        if not came:
            _due.set(due)
        return came


class Counts:
    """The measurements."""

    def __init__(self) -> None:
        self.clock = DeadlineClock()
        self.accepted = 0
        self.finished = 0
        self.polls = 0
        self.polled = 0
        """The tasks of all polls."""
        self.delay_ms: list[float] = []
        """For every polled task: the time from the deadline of the poll until the request was written."""
        self._polled: ContextVar[tuple[float, int] | None] = ContextVar("polled", default=None)

    def adapter(self, account: Account, http: httpx2.AsyncBaseTransport) -> JourneyApi:
        """Return the adapter for JourneyAPI, which counts."""
        return _Counting(account, _Measured(http, self.measure), self)

    def begin_poll(self, count: int) -> None:
        """Count a poll for this many tasks."""
        self.polls += 1
        self.polled += count
        self._polled.set((_due.get(), count))

    def measure(self, request: httpx2.Request) -> None:
        """Measure the delay of a poll when its request is written."""
        polled = self._polled.get()
        if polled is None:
            return
        due, count = polled

        def written() -> None:
            self.delay_ms += [(self.clock.elapsed() - due) * 1000] * count

        request.stream = _Body(cast(httpx2.AsyncByteStream, request.stream), written)


class _Body(httpx2.AsyncByteStream):
    """The body of a request, which reports when all of it was taken: the transport writes a small one at once."""

    def __init__(self, body: httpx2.AsyncByteStream, written: Callable[[], None]) -> None:
        self._body = body
        self._written = written

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            yield chunk
        self._written()


class _Measured(httpx2.AsyncBaseTransport):
    def __init__(self, http: httpx2.AsyncBaseTransport, measure: Callable[[httpx2.Request], None]) -> None:
        self._http = http
        self._measure = measure

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._measure(request)
        return await self._http.handle_async_request(request)


class _Counting(JourneyApi):
    def __init__(self, account: Account, http: httpx2.AsyncBaseTransport, counts: Counts) -> None:
        super().__init__(account, http)
        self._counts = counts

    async def submit(self, request: PreparedRequest, offer: Offer) -> Prediction:
        prediction = await super().submit(request, offer)
        self._counts.accepted += 1
        return prediction

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        self._counts.begin_poll(len(handles))
        found = await super().fetch(handles)
        self._counts.finished += sum(prediction.status.is_final for prediction in found.values())
        return found


async def main(mode: str, count: int) -> None:
    """Make the tasks and measure."""
    counts = Counts()
    adapters = {**ADAPTERS, "journeyapi": counts.adapter}
    async with open_studio(read_settings(os.environ), counts.clock, adapters) as studio:
        if mode == "hold":
            await _hold(studio, counts, count)
        else:
            await _make(studio, 0, count)
            await _wait_until(lambda: counts.finished >= count)
            _print(
                {
                    "delay_ms": counts.delay_ms,
                    "polls": counts.polls,
                    "polled": counts.polled,
                    "finished": counts.finished,
                }
            )


async def _hold(studio: Studio, counts: Counts, count: int) -> None:
    await _make(studio, 0, 1)
    measured = []
    for first in range(1, count, count // 4):
        await _make(studio, first, first + count // 4)
        await _wait_until(lambda made=first + count // 4: counts.accepted >= made)  # type: ignore[misc]  # bound in the loop
        await anyio.sleep(2.5)  # until memory for making them is freed, and each was polled
        gc.collect()
        measured.append([counts.accepted, own_memory_kb()])
    _print(measured)


async def _make(studio: Studio, first: int, end: int) -> None:
    limiter = anyio.CapacityLimiter(_CONCURRENCY)

    async def make(number: int) -> None:
        async with limiter:
            request = ImageRequest(tool="imagine", prompt=f"a lighthouse at dusk, view {number}", model="midjourney")
            await studio.create(request, LOCAL)

    async with anyio.create_task_group() as group:
        for number in range(first, end):
            group.start_soon(make, number)


async def _wait_until(is_true: Callable[[], bool]) -> None:
    with anyio.fail_after(240):
        while not is_true():  # noqa: ASYNC110  # cheap, and does not disturb the measurement
            await anyio.sleep(0.05)


def memory_kb(process: str) -> int | None:
    """Return the private memory of a process; `None` without /proc."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return int(fields["RssAnon"].split()[0])


def own_memory_kb() -> int | None:
    """Return the private memory of this process."""
    return memory_kb("self")


def _print(plain: Any) -> None:
    print(json.dumps(plain), flush=True)
    os._exit(0)  # without waiting for running tasks


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]))

"""Many tasks in one process that nobody waits for. Prints what was seen as JSON, and ends without ceremony.

`python -m bench.crowd hold 2000` makes them and tells the memory on the way; `… finish 2000` lets them end, and tells
how late polls left and how many there were. The studio is the server's, and has a clock and an adapter that watch.
"""

import gc
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

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

_AT_ONCE = 50
"""So many are made at the same time."""
_WRITTEN = "http11.send_request_body.complete"


_due: ContextVar[float] = ContextVar("due")
"""When the wait that ended last in this task, or in the one that started it, was to end."""


class Watch(Clock):
    """Real time that notes when each task meant to go on."""

    async def wait(self, event: anyio.Event, seconds: float) -> bool:
        """Wait as ever."""
        due = self.elapsed() + seconds
        came = await super().wait(event, seconds)
        if not came:
            _due.set(due)
        return came


class Crowd:
    """What is counted."""

    def __init__(self) -> None:
        self.clock = Watch()
        self.accepted = 0
        self.ended = 0
        self.questions = 0
        self.late_ms: list[float] = []
        """For every task that was asked for: from when the first of its question was due until that was written."""
        self._asked: ContextVar[tuple[float, int] | None] = ContextVar("asked", default=None)

    def adapter(self, account: Account, http: httpx2.AsyncClient) -> JourneyApi:
        """The adapter for JourneyAPI, counting."""
        http.event_hooks = {"request": [self._watched]}
        return _Counting(account, http, self)

    def asks(self, count: int) -> None:
        """A question for so many begins."""
        self.questions += 1
        self._asked.set((_due.get(), count))

    async def _watched(self, request: httpx2.Request) -> None:
        asked = self._asked.get()
        if asked is None:
            return
        due, count = asked

        async def trace(event: str, _info: Mapping[str, Any]) -> None:
            if event == _WRITTEN:
                self.late_ms += [(self.clock.elapsed() - due) * 1000] * count

        request.extensions["trace"] = trace


class _Counting(JourneyApi):
    def __init__(self, account: Account, http: httpx2.AsyncClient, crowd: Crowd) -> None:
        super().__init__(account, http)
        self._crowd = crowd

    async def submit(self, request: PreparedRequest, offer: Offer) -> Prediction:
        prediction = await super().submit(request, offer)
        self._crowd.accepted += 1
        return prediction

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        self._crowd.asks(len(handles))
        found = await super().fetch(handles)
        self._crowd.ended += sum(prediction.status.is_final for prediction in found.values())
        return found


async def main(mode: str, count: int) -> None:
    """Make them, and look."""
    crowd = Crowd()
    adapters = {**ADAPTERS, "journeyapi": crowd.adapter}
    async with open_studio(read_settings(os.environ), crowd.clock, adapters) as studio:
        if mode == "hold":
            await _hold(studio, crowd, count)
        else:
            await _make(studio, 0, count)
            await _until(lambda: crowd.ended >= count)
            _tell({"late_ms": crowd.late_ms, "questions": crowd.questions, "ended": crowd.ended})


async def _hold(studio: Studio, crowd: Crowd, count: int) -> None:
    await _make(studio, 0, 1)
    told = []
    for first in range(1, count, count // 4):
        await _make(studio, first, first + count // 4)
        await _until(lambda made=first + count // 4: crowd.accepted >= made)  # type: ignore[misc]  # bound in the loop
        await anyio.sleep(2.5)  # what making them took is given back, and each has been asked for
        gc.collect()
        told.append([crowd.accepted, own_memory_kb()])
    _tell(told)


async def _make(studio: Studio, first: int, end: int) -> None:
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def make(number: int) -> None:
        async with limiter:
            request = ImageRequest(tool="imagine", prompt=f"a lighthouse at dusk, view {number}", model="midjourney")
            await studio.create(request, LOCAL)

    async with anyio.create_task_group() as group:
        for number in range(first, end):
            group.start_soon(make, number)


async def _until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(240):
        while not is_so():  # noqa: ASYNC110  # looking is cheap, and does not disturb what is measured
            await anyio.sleep(0.05)


def memory_kb(process: str) -> int | None:
    """What a process has for itself in memory; `None` where there is no /proc."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return int(fields["RssAnon"].split()[0])


def own_memory_kb() -> int | None:
    """The same of this process."""
    return memory_kb("self")


def _tell(plain: Any) -> None:
    print(json.dumps(plain), flush=True)
    os._exit(0)  # tasks that still run are nobody's


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]))

"""The measurements. Each puts its figures, one by one, into `Samples`; what they mean is the report's business."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import ERAS, Era, StdioClient

ROOT = Path(__file__).parents[1]
OURS, BARE = "journey_mcp", "bench.bare"
"""The servers, by the module that runs each."""

Call = tuple[str, Mapping[str, Any]]
"""A tool and its arguments."""

_ECHO: Call = ("echo", {"text": "a lighthouse at dusk"})
_UNTIMED_CALLS = 50
_BLOCKS = 5
"""Into so many parts the calls are cut, so that the servers take turns."""
IN_FLIGHT = (1, 16)
"""How many calls wait for their answer at the same time, where calls per second are counted."""
_PAGE = bytes(4096)


class Samples:
    """All measured values, by figure (its name in the table) and server."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = {}

    def add(self, figure: str, server: str, *values: float) -> None:
        """Put values in."""
        self._values.setdefault((figure, server), []).extend(values)

    def get(self, figure: str, server: str) -> list[float]:
        """The values, in the order in which they were measured; empty when there are none."""
        return self._values.get((figure, server), [])

    def median(self, figure: str, server: str) -> float:
        """The middle of the values."""
        return statistics.median(self.get(figure, server))

    def percentile(self, figure: str, server: str, percent: int) -> float:
        """The least value that so many per cent of all do not exceed."""
        ordered = sorted(self.get(figure, server))
        return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured."""

    rounds: int
    """Starts of every kind, for each server."""
    calls: int
    """Calls of `imagine` in each era."""
    fetches: int
    """Calls of `fetch_task` in each era, one after the other, and once more in flight together."""
    tasks: int
    """Tasks at once, under load."""
    speed: float
    """How much faster than told the sandbox finishes these."""


FULL = Amounts(rounds=21, calls=400, fetches=2000, tasks=2000, speed=2.0)
QUICK = Amounts(rounds=3, calls=60, fetches=200, tasks=200, speed=8.0)


def measure(amounts: Amounts) -> Samples:
    """Everything, on one disk and against one upstream."""
    samples = Samples()
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder, running_upstream() as port:
        environment = clean_environment(port)
        measure_starts(samples, amounts.rounds, environment, Path(folder))
        for era in ERAS:
            measure_calls(samples, era, amounts, environment, Path(folder))
    return samples


def clean_environment(upstream_port: int) -> dict[str, str]:
    """What both servers are started with: nothing of the user's own settings, proxies or Python switches."""
    foreign = ("JOURNEY", "PYTHON", "COVERAGE", "OTEL_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "JOURNEYAPI_API_KEY": "bench",
        "JOURNEYAPI_BASE_URL": f"http://127.0.0.1:{upstream_port}/api/v1",
    }


@contextmanager
def running_upstream() -> Iterator[int]:
    """The upstream, in a process of its own, and its port."""
    command, environment = [sys.executable, "-m", "bench.upstream"], {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield int(process.stdout.readline())


def measure_starts(samples: Samples, rounds: int, environment: Mapping[str, str], folder: Path) -> None:
    """Start both servers in turn, each time in an empty data folder. The first round only fills caches."""
    for number in range(rounds + 1):
        kept = samples if number else Samples()
        # who goes first changes, in case the second finds the machine warmer
        for server in (OURS, BARE) if number % 2 else (BARE, OURS):
            for era in ERAS:
                with _started(server, environment, folder, era) as client:
                    _measure_first_answer(kept, server, client)
            with _started(server, environment, folder, "2026-07-28") as client:
                client.ask("tools/list")
                kept.add("Start to first answer, `tools/list`", server, _ms_since(client.started))


def _measure_first_answer(samples: Samples, server: str, client: StdioClient) -> None:
    client.open()
    samples.add(f"Start to first answer, {client.era}", server, _ms_since(client.started))
    tools = client.ask("tools/list")["tools"]
    samples.add(f"Start to `tools/list` after it, {client.era}", server, _ms_since(client.started))
    samples.add("`tools/list`", server, len(json.dumps(tools, ensure_ascii=False, separators=(",", ":")).encode()))
    if client.era == "2025-11-25":
        client.ask("ping")
        samples.add("Start to the first answer of the SDK", server, _ms_since(client.started))
        if (resident := client.resident_mib()) is not None:
            samples.add("Memory when the SDK answers", server, resident)
    client.call(*(_imagine(0) if server == OURS else _ECHO))
    samples.add(f"Start to the result of a first call, {client.era}", server, _ms_since(client.started))


def measure_calls(samples: Samples, era: Era, amounts: Amounts, environment: Mapping[str, str], folder: Path) -> None:
    """Calls of servers that have run for a while, in turn, and what a flush to their disk costs meanwhile."""
    with _started(OURS, environment, folder, era) as ours, _started(BARE, environment, folder, era) as bare:
        for client, call in ((ours, _imagine(0)), (bare, _ECHO)):
            client.open()
            _timed(client, [call] * _UNTIMED_CALLS)
        fetch = ("fetch_task", {"task_ids": [ours.call(*_imagine(0))["structuredContent"]["task_id"]]})
        for _ in range(_BLOCKS):
            imagines = [_imagine(number) for number in range(amounts.calls // _BLOCKS)]
            samples.add(f"fsync, {era}", OURS, *_flushes(folder))
            samples.add(f"`imagine`, {era}", OURS, *_timed(ours, imagines))
            samples.add(f"`imagine`, {era}", BARE, *_timed(bare, [_ECHO] * len(imagines)))
            for in_flight in IN_FLIGHT:
                figure, times = f"`fetch_task`, {era}, {in_flight} in flight", amounts.fetches // _BLOCKS
                samples.add(figure, OURS, _per_second(ours, [fetch] * times, in_flight))
                samples.add(figure, BARE, _per_second(bare, [_ECHO] * times, in_flight))


def _per_second(client: StdioClient, calls: Sequence[Call], in_flight: int) -> float:
    began = time.perf_counter()
    _keep_in_flight(client, calls, in_flight)
    return len(calls) / (time.perf_counter() - began)


def _keep_in_flight(client: StdioClient, calls: Sequence[Call], in_flight: int) -> None:
    """Send all calls; as long as there are enough, so many wait for their answer at any time."""
    for number, (tool, arguments) in enumerate(calls):
        if number >= in_flight:
            client.receive()
        client.send("tools/call", {"name": tool, "arguments": arguments})
    for _ in range(min(in_flight, len(calls))):
        client.receive()


def _timed(client: StdioClient, calls: Sequence[Call]) -> list[float]:
    """Milliseconds of every call, one after the other."""
    taken = []
    for tool, arguments in calls:
        began = time.perf_counter()
        client.call(tool, arguments)
        taken.append(_ms_since(began))
    return taken


def _imagine(number: int) -> Call:
    return "imagine", {"prompt": f"a lighthouse at dusk, view {number}", "model": "z-image"}


def _flushes(folder: Path, times: int = 40) -> list[float]:
    """Milliseconds of writing a page and flushing it to the disk."""
    taken = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(_PAGE)
            os.fsync(file.fileno())
            taken.append(_ms_since(began))
    return taken


@contextmanager
def _started(server: str, environment: Mapping[str, str], folder: Path, era: Era) -> Iterator[StdioClient]:
    """A server's new process, with an empty data folder."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as data,
        StdioClient(server, {**environment, "JOURNEY_MCP_DATA_DIR": data}, era) as client,
    ):
        yield client


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000

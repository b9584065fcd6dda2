"""The measurements. Each adds its values to `Samples`; `bench.report` evaluates them."""

import json
import os
import socket
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
"""The servers, by module."""

Call = tuple[str, Mapping[str, Any]]
"""A tool and its arguments."""

_ECHO: Call = ("echo", {"text": "a lighthouse at dusk"})
_UNTIMED_CALLS = 100
"""By then the log beside the database has its size."""
_STARTS = 3
"""How often the servers are started for the calls: two processes of the same code differ by some percent."""
_BLOCKS = 2
"""The calls of each start are split into this many blocks, so that the servers take turns."""
IN_FLIGHT = (1, 16)
"""How many calls are in flight while calls per second are measured."""
_PAGE = bytes(4096)


class Samples:
    """All measured values, by figure (its name in the table) and server."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = {}

    def add(self, figure: str, server: str, *values: float) -> None:
        """Add values."""
        self._values.setdefault((figure, server), []).extend(values)

    def get(self, figure: str, server: str) -> list[float]:
        """Return the values in the order of measurement."""
        return self._values.get((figure, server), [])

    def median(self, figure: str, server: str) -> float:
        """Return the median."""
        return statistics.median(self.get(figure, server))

    def percentile(self, figure: str, server: str, percent: int) -> float:
        """Return the smallest value that this percentage of all values does not exceed."""
        ordered = sorted(self.get(figure, server))
        return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured."""

    rounds: int
    """Starts of every kind, for each server, and runs of every command."""
    calls: int
    """Calls of `imagine` in each era."""
    fetches: int
    """Calls of `fetch_task` in each era, for each number in flight."""
    listings: int
    """Calls for every kind of page of the listing."""
    tasks: int
    """Concurrent tasks under load."""
    speed: float
    """How much faster than stated the sandbox finishes these."""


FULL = Amounts(rounds=21, calls=400, fetches=2000, listings=200, tasks=2000, speed=2.0)
QUICK = Amounts(rounds=3, calls=60, fetches=200, listings=20, tasks=200, speed=8.0)


def measure(amounts: Amounts) -> Samples:
    """Measure starts and calls, on one disk and with one upstream."""
    samples = Samples()
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder, running_upstream() as port:
        environment = clean_environment(port)
        measure_starts(samples, amounts.rounds, environment, Path(folder))
        for era in ERAS:
            measure_calls(samples, era, amounts, environment, Path(folder))
    return samples


def clean_environment(upstream_port: int) -> dict[str, str]:
    """Return the environment for servers, without the user's settings, proxies and Python options."""
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
        # the links of this upstream lead nowhere: tries to copy them would run beside the next calls
        "JOURNEY_MCP_KEEP_IMAGES": "off",
    }


@contextmanager
def running_upstream(seconds: float = 0.0) -> Iterator[int]:
    """Run the upstream as a process, whose images take so long; return its port."""
    command = [sys.executable, "-m", "bench.upstream", str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield int(process.stdout.readline())


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure_starts(samples: Samples, rounds: int, environment: Mapping[str, str], folder: Path) -> None:
    """Start both servers in turn, with an empty data folder each time. The first round only fills caches."""
    for number in range(rounds + 1):
        kept = samples if number else Samples()
        # the order alternates, in case the second start profits from the first
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
    """Measure calls of warm servers in turn, and a flush to their disk between the blocks."""
    for _ in range(_STARTS):
        _measure_calls_of_start(samples, era, amounts, environment, folder)


def _measure_calls_of_start(
    samples: Samples, era: Era, amounts: Amounts, environment: Mapping[str, str], folder: Path
) -> None:
    with _started(OURS, environment, folder, era) as ours, _started(BARE, environment, folder, era) as bare:
        for client, call in ((ours, _imagine(0)), (bare, _ECHO)):
            client.open()
            _timed(client, [call] * _UNTIMED_CALLS)
        fetch = ("fetch_task", {"task_ids": [ours.call(*_imagine(0))["structuredContent"]["task_id"]]})
        for _ in range(_BLOCKS):
            imagines = [_imagine(number) for number in range(amounts.calls // (_STARTS * _BLOCKS))]
            samples.add(f"fsync, {era}", OURS, *_flushes(folder))
            samples.add(f"`imagine`, {era}", OURS, *_timed(ours, imagines))
            samples.add(f"`imagine`, {era}", BARE, *_timed(bare, [_ECHO] * len(imagines)))
            for in_flight in IN_FLIGHT:
                figure, count = f"`fetch_task`, {era}, {in_flight} in flight", amounts.fetches // (_STARTS * _BLOCKS)
                samples.add(figure, OURS, _per_second(ours, [fetch] * count, in_flight))
                samples.add(figure, BARE, _per_second(bare, [_ECHO] * count, in_flight))


def _per_second(client: StdioClient, calls: Sequence[Call], in_flight: int) -> float:
    began = time.perf_counter()
    _keep_in_flight(client, calls, in_flight)
    return len(calls) / (time.perf_counter() - began)


def _keep_in_flight(client: StdioClient, calls: Sequence[Call], in_flight: int) -> None:
    """Send all calls, with this many in flight."""
    for number, (tool, arguments) in enumerate(calls):
        if number >= in_flight:
            client.receive()
        client.send("tools/call", {"name": tool, "arguments": arguments})
    for _ in range(min(in_flight, len(calls))):
        client.receive()


def _timed(client: StdioClient, calls: Sequence[Call]) -> list[float]:
    """Return the milliseconds of each call, made one after the other."""
    times = []
    for tool, arguments in calls:
        began = time.perf_counter()
        client.call(tool, arguments)
        times.append(_ms_since(began))
    return times


def _imagine(number: int) -> Call:
    return "imagine", {"prompt": f"a lighthouse at dusk, view {number}", "model": "z-image"}


def _flushes(folder: Path, count: int = 40) -> list[float]:
    """Return the milliseconds of writing a page and flushing it to the disk."""
    times = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(_PAGE)
            os.fsync(file.fileno())
            times.append(_ms_since(began))
    return times


@contextmanager
def _started(server: str, environment: Mapping[str, str], folder: Path, era: Era) -> Iterator[StdioClient]:
    """Start a server with an empty data folder."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as data,
        StdioClient(server, {**environment, "JOURNEY_MCP_DATA_DIR": data}, era) as client,
    ):
        yield client


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000

"""Thousands of concurrent tasks: memory, delay of polls, and their number. The sandbox makes the images."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.client import StdioClient
from bench.measure import BARE, OURS, ROOT, Samples, clean_environment
from bench.studio_load import memory_kb

PER_TASK, PER_CALL = "Memory per polled task", "Memory per call that waits over stdio"
POLL_DELAY = "Delay of polls"
POLLS = "Polls per finished task"
POLLED, POLLED_ONE_BY_ONE = "How often a task is polled", "How often a task is polled, one by one"

_NEVER = 0.01
"""A sandbox of this speed finishes nothing during the measurement."""
_FEW = 100
"""Tasks that are polled in time one by one. More would wait for the limit of polls a second, and be polled less."""
ONE_BY_ONE = """
[provider]
id = "journeyapi"
title = "JourneyAPI"
wire = "journeyapi"
base_url = "https://api.journeyapi.com/api/v1"
key_variable = "JOURNEYAPI_API_KEY"
base_url_variable = "JOURNEYAPI_BASE_URL"
batch_limit = 1
features = ["actions"]
sources = ["https://journeyapi.co/docs/fetch"]
checked = 2026-11-21
"""


def measure_load(samples: Samples, tasks: int, speed: float) -> None:
    """Measure everything with this many tasks; `speed` is how much faster than stated they finish."""
    with running_sandbox(_NEVER) as origin:
        _slope(samples, PER_TASK, studio_load("hold", tasks, origin))
    with running_sandbox(_NEVER) as origin:
        _slope(samples, PER_CALL, waiting_calls(tasks, origin))
    _slope(samples, PER_CALL, bare_waiting_calls(tasks), BARE)
    with running_sandbox(speed) as origin:
        seen = studio_load("finish", tasks, origin)
    samples.add(POLL_DELAY, OURS, *seen["delay_ms"])
    samples.add(POLLS, OURS, seen["polls"] / seen["finished"])
    samples.add(POLLED, OURS, seen["polled"] / seen["finished"])
    with running_sandbox(speed) as origin:
        seen = studio_load("finish", _FEW, origin, ONE_BY_ONE)
    samples.add(POLLED_ONE_BY_ONE, OURS, seen["polled"] / seen["finished"])


def _slope(samples: Samples, figure: str, seen: list[tuple[int, int | None]], server: str = OURS) -> None:
    """Add the KB for each of the later tasks: the first ones also fill caches."""
    (first, before), (last, after) = seen[0], seen[-1]
    if before is not None and after is not None:
        samples.add(figure, server, (after - before) / (last - first))


def studio_load(mode: str, tasks: int, origin: str, registry: str | None = None) -> Any:
    """Run `bench.studio_load` and return what it prints."""
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder:
        environment = _environment(origin, folder)
        if registry is not None:
            (Path(folder) / "mine.toml").write_text(registry, encoding="utf-8")
            environment["JOURNEY_MCP_REGISTRY"] = f"{folder}/mine.toml"
        command = [sys.executable, "-m", "bench.studio_load", mode, str(tasks)]
        return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def waiting_calls(tasks: int, origin: str) -> list[tuple[int, int | None]]:
    """Return the memory of one server, by the number of calls that wait at it."""
    seen: list[tuple[int, int | None]] = []
    with (
        tempfile.TemporaryDirectory(prefix="journey-bench-") as folder,
        StdioClient(OURS, _environment(origin, folder), "2025-11-25") as client,
    ):
        client.open()
        for number in range(1, tasks + 1):
            prompt = f"a lighthouse at dusk, view {number}"
            arguments = {"prompt": prompt, "model": "midjourney", "wait_s": 300}
            client.send("tools/call", {"name": "imagine", "arguments": arguments})
            if number % (tasks // 4) == 0:
                _wait_until_made(origin, number)
                seen.append((number, memory_kb(str(client.process.pid))))
        client.process.kill()
    return seen


def bare_waiting_calls(calls: int) -> list[tuple[int, int | None]]:
    """Return the memory of the bare server, by the number of calls that wait at it."""
    seen: list[tuple[int, int | None]] = []
    with StdioClient(BARE, clean_environment(9), "2025-11-25") as client:
        client.open()
        for number in range(1, calls + 1):
            text = f"a lighthouse at dusk, view {number}"
            client.send("tools/call", {"name": "echo", "arguments": {"text": text, "hold": True}})
            if number % (calls // 4) == 0:
                client.call("echo", {"text": text})  # answered after the calls before it were read
                seen.append((number, memory_kb(str(client.process.pid))))
        client.process.kill()
    return seen


def _wait_until_made(origin: str, tasks: int) -> None:
    for _ in range(2400):
        # on this machine: no proxy of the environment
        if httpx2.get(f"{origin}/sandbox/ledger", trust_env=False).json()["requests"].get("imagine", 0) >= tasks:
            break
        time.sleep(0.1)
    time.sleep(3.0)  # until the answers are stored and each task was polled


def _environment(origin: str, folder: str) -> dict[str, str]:
    return {**clean_environment(9), "JOURNEYAPI_BASE_URL": f"{origin}/api/v1", "JOURNEY_MCP_DATA_DIR": folder}


@contextmanager
def running_sandbox(speed: float) -> Iterator[str]:
    """Run a sandbox as a process; return its origin."""
    command = [sys.executable, "-m", "journey_mcp", "sandbox", "--port", "0", "--speed", str(speed)]
    options = ["--credits", "1000000", "--plan", "enterprise"]
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        found = re.search(r"JOURNEYAPI_BASE_URL=(http://[^/]+)", process.stdout.readline())
        assert found
        try:
            yield found[1]
        finally:
            process.kill()

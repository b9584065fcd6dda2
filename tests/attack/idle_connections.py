"""Idle connections during genuine calls and webhooks: `python -m attack.idle_connections COUNT`."""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from processes import COMMAND, TIMEOUT_S, in_thread
from support import coarse, environment_of, free_port, until_listening

from attack.attempts import Ground, Outcome
from journey_mcp import sandbox

_LONGEST_LOG = 3
"""Lines."""
MOST_MIB = 200
"""How much memory the server may take for the connections that it keeps, beside its tasks."""


@dataclass(kw_only=True)
class Figures:
    """The measurements of an attack."""

    connections: int
    """The idle connections that are held, or attempted, at each of the two ports."""
    calls_s: list[float] = field(default_factory=list)
    """The duration of each `tools/list`, including its connection."""
    deliveries_s: list[float] = field(default_factory=list)
    """The same for forged webhooks."""
    tasks: int = 0
    by_webhook: int = 0
    """Tasks finished by a genuine webhook."""
    most_files: int = 0
    idle_mib: int = 0
    """The memory of the server before the attack."""
    most_mib: int = 0
    log: str = ""

    @property
    def row(self) -> str:
        """The figures as a table row."""
        cells = [f"{self.connections:,}", *map(_times, (self.calls_s, self.deliveries_s))]
        cells += [f"{self.by_webhook} of {self.tasks}", f"{self.most_files:,}", f"{self.idle_mib}, {self.most_mib} MiB"]
        return f"| {' | '.join(cells)} |"


def _times(seconds: list[float]) -> str:
    return f"{len(seconds)}: {statistics.median(seconds) * 1000:.0f} ms, {max(seconds) * 1000:.0f} ms"


async def attack(
    connections: int, folder: Path, *, tasks: int = 8, rounds: int = 50, files: int | None = None
) -> Figures:
    """Run a server and a process of idle clients at both its ports, and act as a genuine client and provider.

    `rounds`: the least number of calls and forged webhooks to measure; `files`: the server's limit of open files.

    Raises:
        httpx2.HTTPError: a genuine call or webhook got no response in time.
    """
    figures = Figures(connections=connections, tasks=tasks)
    mcp, hooks = free_port(), free_port()
    async with sandbox.running(coarse(speed=20)) as upstream:
        request_log = upstream.sandbox.request_log
        environment = environment_of(upstream, folder, "journeyapi", JOURNEY_MCP_PUBLIC_URL=f"http://127.0.0.1:{hooks}")
        options = ("--http", f"127.0.0.1:{mcp}", "--webhooks", f"127.0.0.1:{hooks}")
        with serving(environment, folder / "log", *options, files=files) as server:
            await until_listening(mcp, hooks)
            figures.idle_mib = resident_mib(server.pid)
            with _idle_clients(connections, mcp, hooks) as idle_clients:
                assert idle_clients.stdout is not None
                assert await in_thread(idle_clients.stdout.readline) == b"connected\n"
                for number in range(tasks):
                    arguments = {"prompt": f"kite {number}", "model": "midjourney", "wait_s": 0}
                    text = await response_text(mcp, "tools/call", name="imagine", arguments=arguments)
                    assert '"isError":false' in text, text
                while len(figures.calls_s) < rounds or len(request_log.deliveries) < tasks:
                    figures.calls_s.append(await _timed(response_text(mcp, "tools/list")))
                    figures.deliveries_s.append(await _timed(_forged(hooks)))
                    figures.most_files = max(figures.most_files, _open_files(server.pid))
                    figures.most_mib = max(figures.most_mib, resident_mib(server.pid))
                assert idle_clients.poll() is None, "the idle clients have ended"
        figures.by_webhook = [delivery.outcome for delivery in request_log.deliveries].count("204")
        assert request_log.requests["fetch_many"] == 0
    figures.log = (folder / "log").read_text(encoding="utf-8")
    return figures


async def idle_connections(ground: Ground) -> Outcome:
    """Genuine requests get responses, and the log stays short."""
    count = ground.count(10_000)
    outcome = Outcome(attempts=2 * count, unit="idle connections at two ports")
    try:
        figures = await attack(count, ground.folder)
    except httpx2.HTTPError as error:
        outcome.attempt(held=False, what=f"a genuine request without a response: {error!r}")
        return outcome
    outcome.attempt(held=figures.by_webhook == figures.tasks, what=f"{figures.by_webhook} tasks finished by webhook")
    grown_mib = figures.most_mib - figures.idle_mib
    outcome.attempt(held=grown_mib <= MOST_MIB, what=f"memory grew by {grown_mib} MiB")
    outcome.attempt(held=figures.log.count("\n") <= _LONGEST_LOG, what=f"a log: {figures.log[:300]}")
    calls, deliveries = _times(figures.calls_s), _times(figures.deliveries_s)
    outcome.remark = f"genuine calls (count: median, maximum) {calls}, forged webhooks {deliveries}"
    outcome.remark += f"; memory grew by {grown_mib} MiB"
    return outcome


async def _timed(doing: Awaitable[object]) -> float:
    begun = time.monotonic()
    await doing
    return time.monotonic() - begun


async def response_text(port: int, method: str, **params: object) -> str:
    """Return the response to a genuine request on a new connection."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"accept": "application/json, text/event-stream"}
    async with client() as http:
        answer = await http.post(f"http://127.0.0.1:{port}/mcp", json=message, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text


async def _forged(port: int) -> None:
    async with client() as http:
        assert (await http.post(f"http://127.0.0.1:{port}/tsk_x/y", json={})).status_code == 404


def client() -> httpx2.AsyncClient:
    """Return an HTTP client."""
    return httpx2.AsyncClient(trust_env=False, verify=False, timeout=TIMEOUT_S)


@contextmanager
def serving(
    environment: dict[str, str], log: Path, *options: str, files: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server process over HTTP with these options; `files` limits its open files."""
    command = [*COMMAND, "serve", *options]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *command]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stderr=stderr, env={**os.environ, **environment}) as server,
    ):
        try:
            yield server
        finally:
            server.terminate()
            server.wait(TIMEOUT_S)


@contextmanager
def _idle_clients(count: int, *ports: int) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "attack.idle_clients", str(count), *map(str, ports)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as idle_clients:
        try:
            yield idle_clients
        finally:
            idle_clients.kill()


def resident_mib(pid: int) -> int:
    """Return the memory of a process; 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text("ascii")) if status.exists() else None
    return int(found[1]) // 1024 if found else 0


def _open_files(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


async def _main(counts: list[int]) -> None:
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            figures = await attack(count, Path(folder), rounds=300)
        sys.stdout.write(f"{figures.row}\n")
        sys.stderr.write(figures.log)


if __name__ == "__main__":
    asyncio.run(_main([int(count) for count in sys.argv[1:]] or [0, 1_000, 10_000]))

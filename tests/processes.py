"""Server processes: sending lines to them, killing them, and starting them again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters, stdio_client

from journey_mcp import sandbox

COMMAND = [sys.executable, "-m", "journey_mcp"]
TIMEOUT_S = 300.0
"""The time limit of each step of a process: it only ends what hangs, and a busy machine takes long."""


@asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[Client]:
    """Open a client of a new server process."""
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env={**os.environ, **environment})
    async with Client(stdio_client(parameters)) as client:
        yield client


class ServerProcess:
    """A server process that is sent lines and can be killed at any time."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
            encoding="utf-8",
        )
        self._number = 0

    def send(self, tool: str, **arguments: Any) -> int:
        """Send a tool call without waiting; return the id of the request."""
        self._number += 1
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return self._number

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured content."""
        self.send(tool, **arguments)
        return self.read()

    def read(self) -> dict[str, Any]:
        """Return the structured content of the response to the last call."""
        answer = self.answer()
        assert answer["id"] == self._number
        structured: dict[str, Any] = answer["result"]["structuredContent"]
        return structured

    def answer(self) -> dict[str, Any]:
        """Return the next response, of whatever call."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        self.close()

    def close(self) -> tuple[str, str]:
        """Let it end by itself; return what it still wrote."""
        return self.process.communicate(timeout=TIMEOUT_S)


@contextmanager
def server_process(environment: dict[str, str], *arguments: str) -> Iterator[ServerProcess]:
    """Start a server process that does not outlive its test; `arguments` are those of the command."""
    opened = ServerProcess(environment, *arguments)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.close()


class StoppedClock:
    """A stopped clock for the sandbox: what a fault delays is held until `seconds` reaches the delay."""

    seconds = 0.0
    _runs_since: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds + (time.monotonic() - self._runs_since if self._runs_since else 0.0)

    def run(self) -> None:
        """Continue in real time from now on: what fails is retried."""
        self._runs_since = time.monotonic()


async def in_thread(call: Any, *arguments: Any, **more: Any) -> Any:
    """Run blocking code beside the sandbox of this process."""
    return await anyio.to_thread.run_sync(lambda: call(*arguments, **more))


async def until_created(upstream: sandbox.Running) -> None:
    """Wait until the sandbox has created a task; it has then read the request."""
    with anyio.fail_after(TIMEOUT_S):
        while not any(entry.outcome == "created" for entry in upstream.sandbox.request_log.submissions):
            await anyio.sleep(0.01)


async def until_requested(upstream: sandbox.Running, endpoint: str, count: int = 1) -> None:
    """Wait until the sandbox has received `count` requests at this endpoint."""
    with anyio.fail_after(TIMEOUT_S):
        while upstream.sandbox.request_log.requests[endpoint] < count:
            await anyio.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The resources that a process has used, without its children, from Linux's /proc."""

    computed_s: float
    peak_bytes: int
    """The peak memory."""
    read_bytes: int
    """Bytes read from files and pipes, including by children that have ended."""

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Return the current usage of a process."""
        folder = Path(f"/proc/{pid}")
        _, _, rest = (folder / "stat").read_text().rpartition(")")
        ticks = sum(map(int, rest.split()[11:13]))
        peak = (folder / "status").read_text().partition("VmHWM:")[2].split()[0]
        read = (folder / "io").read_text().split()[1]
        return cls(computed_s=ticks / os.sysconf("SC_CLK_TCK"), peak_bytes=int(peak) * 1024, read_bytes=int(read))


def image_workers(parent: int) -> list[int]:
    """Return the running image workers of a server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            _, _, rest = (folder / "stat").read_text().rpartition(")")
            state, its_parent = rest.split()[:2]
            command = (folder / "cmdline").read_bytes()
            # of a process that is just ending it is empty
            if int(its_parent) == parent and state != "Z" and (not command or b"image_worker" in command):
                found.append(int(folder.name))
    return found


async def until_worker(parent: int) -> int:
    """Wait until a server has started an image worker."""
    with anyio.fail_after(TIMEOUT_S):
        while not (found := image_workers(parent)):
            await anyio.sleep(0.005)
    return found[0]

"""Server processes of their own: spoken to line by line, killed, and started again."""

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
PATIENCE_S = 60.0
"""How long any step of a process may take."""


@asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[Client]:
    """A client of a server process of its own."""
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env={**os.environ, **environment})
    async with Client(stdio_client(parameters)) as client:
        yield client


class Raw:
    """A server process spoken to line by line, so that it can be killed at any moment."""

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
        """Call a tool and do not wait; the id of the request."""
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
        """The structured content of the answer to the last call."""
        answer = self.answer()
        assert answer["id"] == self._number
        structured: dict[str, Any] = answer["result"]["structuredContent"]
        return structured

    def answer(self) -> dict[str, Any]:
        """Return the next answer, whichever call it belongs to."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.close()

    def close(self) -> tuple[str, str]:
        """Let it end by itself; what it still wrote."""
        return self.process.communicate(timeout=PATIENCE_S)


@contextmanager
def raw(environment: dict[str, str], *arguments: str) -> Iterator[Raw]:
    """A server process that does not outlive its test; `arguments` are those of the command."""
    opened = Raw(environment, *arguments)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.close()


class StoppedClock:
    """A clock for the sandbox that stands still: what a fault delays is held back until `seconds` reaches the delay."""

    seconds = 0.0
    _runs_since: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds + (time.monotonic() - self._runs_since if self._runs_since else 0.0)

    def run(self) -> None:
        """Go on in real time from now on: what fails is tried again."""
        self._runs_since = time.monotonic()


async def in_thread(call: Any, *arguments: Any, **more: Any) -> Any:
    """Run blocking code beside the sandbox of this process."""
    return await anyio.to_thread.run_sync(lambda: call(*arguments, **more))


async def until_created(upstream: sandbox.Running) -> None:
    """Wait until the sandbox has created a task; its request has been seen, and read, by then."""
    with anyio.fail_after(PATIENCE_S):
        while not any(entry.outcome == "created" for entry in upstream.sandbox.request_log.submissions):
            await anyio.sleep(0.01)


async def until_seen(upstream: sandbox.Running, endpoint: str, count: int = 1) -> None:
    """Wait until the sandbox has received so many requests."""
    with anyio.fail_after(PATIENCE_S):
        while upstream.sandbox.request_log.requests[endpoint] < count:
            await anyio.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process has used by now, without its children; Linux tells."""

    computed_s: float
    peak_bytes: int
    """Of memory."""
    read_bytes: int
    """From files and pipes, and by children that have ended."""

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Look now."""
        folder = Path(f"/proc/{pid}")
        _, _, rest = (folder / "stat").read_text().rpartition(")")
        ticks = sum(map(int, rest.split()[11:13]))
        peak = (folder / "status").read_text().partition("VmHWM:")[2].split()[0]
        read = (folder / "io").read_text().split()[1]
        return cls(computed_s=ticks / os.sysconf("SC_CLK_TCK"), peak_bytes=int(peak) * 1024, read_bytes=int(read))


def image_workers(parent: int) -> list[int]:
    """The living processes of a server that work on images."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            _, _, rest = (folder / "stat").read_text().rpartition(")")
            state, its_parent = rest.split()[:2]
            if int(its_parent) == parent and state != "Z" and b"image_worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def until_worker(parent: int) -> int:
    """Wait until a server has started a process for an image."""
    with anyio.fail_after(PATIENCE_S):
        while not (found := image_workers(parent)):
            await anyio.sleep(0.005)
    return found[0]

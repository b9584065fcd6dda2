"""A client of a server process on stdio; the process may end at any time."""

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_INHERITED = ("PATH", "HOME", "TMP", "LANG", "PYTHON", "SYSTEMROOT")
"""The variables that a server inherits: no developer's keys, and no coverage measurement."""
_LONGEST_LINE = 4 * 1024 * 1024
_META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
TIMEOUT_S = 300.0
"""The time limit of each step: it only ends what hangs, and a busy machine takes long."""


class Ended(Exception):
    """The server ended before it responded."""


class Server:
    """A running server."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured content.

        Raises Ended, or ValueError for a protocol error, which none of our calls should get.
        """
        number = next(self._numbers)
        params = {"name": tool, "arguments": arguments, "_meta": _META}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        self._waiting[number] = response = asyncio.get_running_loop().create_future()
        if self._process.stdin is None or self._reading.done():
            raise Ended
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        message = await response
        if "structuredContent" not in message.get("result", {}):
            raise ValueError(f"{tool} of {arguments} returned {message}")
        content: dict[str, Any] = message["result"]["structuredContent"]
        return content

    async def ended(self) -> int:
        """Wait until the process has ended and return its exit status."""
        await self._reading
        return await self._process.wait()

    async def end(self) -> int:
        """Terminate the process and return its exit status."""
        self._process.terminate()
        return await asyncio.wait_for(self.ended(), TIMEOUT_S)

    async def close_stdin(self) -> int:
        """Close its stdin and return its exit status."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return await asyncio.wait_for(self.ended(), TIMEOUT_S)

    async def _read(self) -> None:
        if self._process.stdout is None:
            raise RuntimeError("a server without stdout")
        async for line in self._process.stdout:
            message = json.loads(line)
            if waiting := self._waiting.pop(message.get("id"), None):
                waiting.set_result(message)
        for left in self._waiting.values():
            if not left.done():  # the caller may have been cancelled
                left.set_exception(Ended())
                left.exception()  # marks it as retrieved


@asynccontextmanager
async def server(environment: Mapping[str, str], log: Path, *arguments: str) -> AsyncIterator[Server]:
    """Run a server that does not outlive the block; its stderr is appended to a file."""
    inherited = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "journey_mcp",
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            env={**inherited, **environment},
            limit=_LONGEST_LINE,
        )
    opened = Server(process)
    try:
        yield opened
    finally:
        if process.returncode is None:
            process.kill()
        await opened.ended()

"""A server process spoken to over its stdin and stdout, which may end at any moment."""

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
"""What of this process's environment a server sees: no key of a developer's, and nobody who measures coverage."""
_LONGEST_LINE = 4 * 1024 * 1024
_META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
PATIENCE_S = 90.0
"""How long anything may take, on however busy a machine."""


class Ended(Exception):
    """The server ended before it answered."""


class Server:
    """A running server."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers, as structured content.

        Raises Ended, or ValueError for an error of the protocol, which none of our calls should get.
        """
        number = next(self._numbers)
        params = {"name": tool, "arguments": arguments, "_meta": _META}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        if self._process.stdin is None or self._reading.done():
            raise Ended
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        told = await answer
        if "structuredContent" not in told.get("result", {}):
            raise ValueError(f"{tool} of {arguments} was answered with {told}")
        content: dict[str, Any] = told["result"]["structuredContent"]
        return content

    async def ended(self) -> int:
        """The exit status of one that was killed, or told to end."""
        await self._reading
        return await self._process.wait()

    async def end(self) -> int:
        """Tell it to end, and wait until it has."""
        self._process.terminate()
        return await asyncio.wait_for(self.ended(), PATIENCE_S)

    async def leave(self) -> int:
        """Hang up, and wait until it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return await asyncio.wait_for(self.ended(), PATIENCE_S)

    async def _read(self) -> None:
        if self._process.stdout is None:
            raise RuntimeError("a server without stdout")
        async for line in self._process.stdout:
            message = json.loads(line)
            if waiting := self._waiting.pop(message.get("id"), None):
                waiting.set_result(message)
        for left in self._waiting.values():
            if not left.done():  # whoever asked may have been cancelled
                left.set_exception(Ended())
                left.exception()  # nobody need ask


@asynccontextmanager
async def server(environment: Mapping[str, str], log: Path, *arguments: str) -> AsyncIterator[Server]:
    """A server that does not outlive the block; what it says on stderr goes to the end of a file."""
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

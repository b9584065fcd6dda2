"""A bridge from HTTP to servers on stdio, for a suite that supports HTTP only.

Each handshake starts a server process, so its first responses are those of a starting server; requests of 2026-07-28
share one. Only messages pass: what concerns HTTP itself cannot be tested.
"""

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from processes import COMMAND
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_SESSION = "mcp-session-id"
_LONGEST_LINE = 2**20


class _Session:
    """One server process, which handles one request at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin
        assert process.stdout
        self._stdin, self._stdout = process.stdin, BufferedByteReceiveStream(process.stdout)
        self._asking = anyio.Lock()

    async def send(self, message: Mapping[str, Any]) -> Any:
        """Send a message; return the response to a request, `None` for a notification."""
        async with self._asking:
            await self._stdin.send(json.dumps(message).encode() + b"\n")
            while "id" in message:
                answer = json.loads(await self._stdout.receive_until(b"\n", _LONGEST_LINE))
                if answer.get("id") == message["id"]:
                    return answer
        return None


class _Bridge:
    def __init__(self, environment: Mapping[str, str], stack: AsyncExitStack) -> None:
        self._environment, self._stack = environment, stack
        self._sessions: dict[str, _Session] = {}

    async def answer(self, request: Request) -> Response:
        """Forward one message to a server and return its response as JSON."""
        message = await request.json()
        name = uuid.uuid4().hex if message.get("method") == "initialize" else request.headers.get(_SESSION, "")
        if name not in self._sessions:
            process = await anyio.open_process(COMMAND, env=self._environment, stderr=None)
            self._sessions[name] = _Session(await self._stack.enter_async_context(process))
            self._stack.callback(process.kill)
        answer = await self._sessions[name].send(message)
        headers = {_SESSION: name} if name else {}
        return Response(status_code=202, headers=headers) if answer is None else JSONResponse(answer, headers=headers)


@asynccontextmanager
async def bridged(environment: Mapping[str, str]) -> AsyncIterator[Starlette]:
    """Open the bridge to servers with this environment; they end with the block."""
    async with AsyncExitStack() as stack:
        yield Starlette(routes=[Route("/mcp", _Bridge(environment, stack).answer, methods=["POST"])])

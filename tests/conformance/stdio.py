"""A bridge from HTTP to servers on stdio, for a suite that supports HTTP only.

Each handshake starts a server process, so its first responses are those of a starting server; requests of 2026-07-28
share one. Only messages pass: what concerns HTTP itself cannot be tested.
"""

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectSendStream
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from processes import COMMAND
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

_SESSION = "mcp-session-id"
_LISTEN = "subscriptions/listen"
_LONGEST_LINE = 2**20
_MOST_LINES = 1_000

Message = dict[str, Any]


class _Session:
    """One server process, which handles one request at a time besides streams of events."""

    def __init__(self, process: Process) -> None:
        assert process.stdin
        assert process.stdout
        self._stdin, self._stdout = process.stdin, BufferedByteReceiveStream(process.stdout)
        self._asking = anyio.Lock()
        self._awaited: dict[Any, MemoryObjectSendStream[Message]] = {}

    async def read(self) -> None:
        """Read what the server sends until it ends; pass on what is awaited."""
        while True:
            try:
                message = json.loads(await self._stdout.receive_until(b"\n", _LONGEST_LINE))
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
                return
            if awaited := self._awaited.get(_request_of(message)):
                awaited.send_nowait(message)

    async def send(self, message: Message) -> Message | None:
        """Send a message; return the response to a request, `None` for a notification."""
        async with self._asking:
            if "id" not in message:
                await self._write(message)
                return None
            async with aclosing(self._exchange(message)) as answers:
                return await anext(answers)

    async def events(self, message: Message) -> AsyncIterator[bytes]:
        """Yield the events of a stream until it ends; cancel it when the client disconnects."""
        # its id must differ from those of other requests meanwhile
        ours, theirs = uuid.uuid4().hex, message["id"]
        async with aclosing(self._exchange({**message, "id": ours})) as answers:
            try:
                async for answer in answers:
                    text = json.dumps(answer).replace(json.dumps(ours), json.dumps(theirs))
                    yield f"event: message\ndata: {text}\n\n".encode()
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await self._write(
                        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": ours}}
                    )
                raise

    async def _exchange(self, message: Message) -> AsyncGenerator[Message, None]:
        """Send a request; yield its events and its response."""
        put, answers = anyio.create_memory_object_stream[Message](_MOST_LINES)
        self._awaited[message["id"]] = put
        try:
            with put, answers:
                await self._write(message)
                async for answer in answers:
                    yield answer
                    if "method" not in answer:
                        return
        finally:
            del self._awaited[message["id"]]

    async def _write(self, message: Message) -> None:
        await self._stdin.send(json.dumps(message).encode() + b"\n")


def _request_of(message: Mapping[str, Any]) -> Any:
    """Return the id of the request to which a response or an event belongs; `None` for other messages."""
    if "method" not in message:
        return message.get("id")
    return message.get("params", {}).get("_meta", {}).get(SUBSCRIPTION_ID_META_KEY)


class _Bridge:
    def __init__(self, environment: Mapping[str, str], stack: AsyncExitStack, group: TaskGroup) -> None:
        self._environment, self._stack, self._group = environment, stack, group
        self._sessions: dict[str, _Session] = {}

    async def answer(self, request: Request) -> Response:
        """Forward one message to a server; return its response as JSON, or its events as a stream."""
        message = await request.json()
        name = uuid.uuid4().hex if message.get("method") == "initialize" else request.headers.get(_SESSION, "")
        if name not in self._sessions:
            process = await anyio.open_process(COMMAND, env=self._environment, stderr=None)
            self._sessions[name] = _Session(await self._stack.enter_async_context(process))
            self._stack.callback(process.kill)
            self._group.start_soon(self._sessions[name].read)
        session, headers = self._sessions[name], {_SESSION: name} if name else {}
        if message.get("method") == _LISTEN and "id" in message:
            return StreamingResponse(session.events(message), media_type="text/event-stream", headers=headers)
        answer = await session.send(message)
        return Response(status_code=202, headers=headers) if answer is None else JSONResponse(answer, headers=headers)


@asynccontextmanager
async def bridged(environment: Mapping[str, str]) -> AsyncIterator[Starlette]:
    """Open the bridge to servers with this environment; they end with the block."""
    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        yield Starlette(routes=[Route("/mcp", _Bridge(environment, stack, group).answer, methods=["POST"])])

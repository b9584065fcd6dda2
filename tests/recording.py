"""A server that records every request, and everything that a call shows."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from manual_clock import ManualClock, until

from journey_mcp.core.errors import JourneyError
from journey_mcp.core.requests import Webhook
from journey_mcp.providers.base import WebhookDelivery

SECRET = "secret-of-this-task-alone"
NO_TASKS = {
    "nothing": b"",
    "null": b"null",
    "not a number": b"NaN",
    "an endless number": b"9" * 10_000,
    "no text": b"\xff\xfe",
    "half of it": b'{"id":"7","task_id":"7","status":',
    "a list": b'[{"id":"7","task_id":"7"}]',
    "a word": b'"finished"',
    "nested without end": b"[" * 100_000,
    "nested very deep": b'{"id":' * 3_000 + b"7" + b"}" * 3_000,
    "no id": b'{"status":"succeeded","output":"https://x.test/a.png"}',
    "an id that is none": b'{"id":["7"],"task_id":{"7":7},"status":"failed"}',
    "an id of words": b'{"id":"tell the person","task_id":"tell the person"}',
}
"""Bodies that identify no task."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One recorded request."""

    line: str
    """Method and target, as in `GET /v1/credits`."""
    headers: Mapping[str, str]
    """The headers by lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


@dataclass(kw_only=True)
class Recorder:
    """The recorded requests and the prepared responses."""

    port: int
    clock: ManualClock
    answers: dict[str, Any]
    """JSON by request line; a pair is a status and JSON. Everything else gets 404."""
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    """The number of connections, including those without a request."""

    @property
    def origin(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """Method and target of all requests."""
        return [request.line for request in self.received]

    def webhook(self, secret: str = SECRET) -> Webhook:
        """Return a webhook with the address of this server."""
        self.answers["POST /hook"] = {}
        return Webhook(url=f"{self.origin}/hook", secret=secret)

    async def delivery(self, number: int = 1, secret: str = SECRET) -> WebhookDelivery:
        """Wait for the webhook of this number."""
        await until(lambda: len(self.received) >= number)
        posted = self.received[number - 1]
        return WebhookDelivery(headers=posted.headers, body=posted.body, secret=secret, at=self.clock.now())

    def answer(self, request: Received) -> tuple[int, bytes]:
        """Record a request; return status and body of the response."""
        self.received.append(request)
        response = self.answers.get(request.line, (404, {}))
        status, body = response if isinstance(response, tuple) else (200, response)
        return status, json.dumps(body).encode()


@asynccontextmanager
async def recorder(**answers: Any) -> AsyncIterator[Recorder]:
    """Run a recorder on a free port of this machine; `answers` may be added later."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.connections += 1
        try:
            status, body = kept.answer(await _read(reader))
            head = f"HTTP/1.1 {status} Recorded\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a connection without a request
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        kept = Recorder(port=server.sockets[0].getsockname()[1], clock=ManualClock(), answers=answers)
        yield kept


async def shown(call: Awaitable[object]) -> str:
    """Return everything that a call shows: its result or its error."""
    try:
        return repr(await call)
    except JourneyError as error:
        return repr(error.failure)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(line=head[0].removesuffix(" HTTP/1.1"), headers=headers, body=body)

"""The listener for providers' webhooks: a port of its own, which knows nothing of MCP.

Whatever is not genuine gets the one answer that an unknown address gets.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from journey_mcp.errors import JourneyError, SetupError
from journey_mcp.inbox import Inbox
from journey_mcp.studio import Listening

_MAX_BODY_BYTES = 1024 * 1024
_BODY_WITHIN_S = 10.0
_TOLD_WITHIN_S = 8.0
"""JourneyAPI waits 10 s for an answer; what takes longer goes on, and the delivery comes again."""
_CONNECTED_S = 25.0
"""Longer than a body and its answer may take."""
_MOST_AT_ONCE = 100
_CLOSE_WITHIN_S = 2

_NOTHING_HERE = 404
_LATER = 503

_log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """The port, taken before anything else is begun; deliveries wait there until somebody listens.

    Raises:
        SetupError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise SetupError(
            f"--webhooks {host}:{port} cannot be listened on: {error.strerror}.", next_step="Choose another port."
        ) from error
    return listener


def listening_at(listener: socket.socket) -> Listening:
    """Lets webhooks in at a bound port."""

    @asynccontextmanager
    async def listening(inbox: Inbox) -> AsyncIterator[None]:
        under_way: set[asyncio.Task[bool]] = set()
        config = uvicorn.Config(
            make_app(inbox, under_way),
            http=_Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            limit_concurrency=_MOST_AT_ONCE,
            timeout_graceful_shutdown=_CLOSE_WITHIN_S,
        )
        server = _Listener(config)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [listener])
                try:
                    yield
                finally:
                    server.end()
        finally:
            listener.close()
            if under_way:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait(under_way, timeout=_CLOSE_WITHIN_S)

    return listening


def make_app(inbox: Inbox, under_way: set[asyncio.Task[bool]]) -> ASGIApp:
    """The ASGI application: `POST …/<task id>/<token>`, whatever comes before it; what it has begun is in the set."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await Response(status_code=await _status(request, inbox, under_way))(scope, receive, send)

    return app


async def _status(request: Request, inbox: Inbox, under_way: set[asyncio.Task[bool]]) -> int:
    if request.method != "POST":
        return _NOTHING_HERE
    try:
        body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        return 408
    if body is None:
        return 413
    address = "/".join(request.url.path.split("/")[-2:])
    taking = asyncio.create_task(inbox.take(address, dict(request.headers), body))
    under_way.add(taking)
    taking.add_done_callback(under_way.discard)
    try:
        async with asyncio.timeout(_TOLD_WITHIN_S):
            is_genuine = await asyncio.shield(taking)
    except TimeoutError:
        taking.add_done_callback(_logged)
        return _LATER
    except JourneyError as error:
        _log.warning("a webhook cannot be taken in now: %s", error)
        return _LATER
    return 204 if is_genuine else _NOTHING_HERE


def _logged(taking: asyncio.Task[bool]) -> None:
    if not taking.cancelled() and (error := taking.exception()):
        _log.warning("a webhook could not be taken in: %s", error)


class _Protocol(H11Protocol):
    """A connection that ends after a while, whatever comes over it: uvicorn waits for a request for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in its own parent
        super().connection_made(transport)
        self.loop.call_later(_CONNECTED_S, transport.close)


class _Listener(uvicorn.Server):
    """Serves beside something that minds the signals, until it is told to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._is_over = asyncio.Event()

    def end(self) -> None:
        """Let `serve` return."""
        self._is_over.set()

    async def main_loop(self) -> None:
        """Wait for the end. The original wakes ten times a second, for a date header that is not sent here."""
        await self._is_over.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever runs the process."""
        yield


async def _body(request: Request) -> bytes | None:
    """All of it; `None` when it is too large."""
    content = bytearray()
    async with asyncio.timeout(_BODY_WITHIN_S):
        async for chunk in request.stream():
            content += chunk
            if len(content) > _MAX_BODY_BYTES:
                return None
    return bytes(content)

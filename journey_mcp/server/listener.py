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
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from journey_mcp.errors import JourneyError, SetupError
from journey_mcp.inbox import Inbox
from journey_mcp.studio import Listening

_MAX_BODY_BYTES = 1024 * 1024
_BODY_WITHIN_S = 10.0
_TOLD_WITHIN_S = 8.0
"""JourneyAPI waits 10 s for an answer; what takes longer goes on, and the delivery comes again."""
_MOST_AT_ONCE = 100
_CLOSE_WITHIN_S = 2

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
        config = uvicorn.Config(
            make_app(inbox),
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=_MOST_AT_ONCE,
            timeout_graceful_shutdown=_CLOSE_WITHIN_S,
        )
        server = _Listener(config)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            try:
                yield
            finally:
                server.should_exit = True

    return listening


def make_app(inbox: Inbox) -> Starlette:
    """The ASGI application: `POST …/<task id>/<token>`, whatever comes before it."""
    under_way: set[asyncio.Task[bool]] = set()

    async def deliver(request: Request) -> Response:
        address = "/".join(request.path_params["path"].split("/")[-2:])
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        taking = asyncio.create_task(inbox.take(address, dict(request.headers), body))
        under_way.add(taking)
        taking.add_done_callback(under_way.discard)
        try:
            async with asyncio.timeout(_TOLD_WITHIN_S):
                is_genuine = await asyncio.shield(taking)
        except TimeoutError:
            return _later()
        except JourneyError as error:
            _log.warning("a webhook cannot be taken in now: %s", error)
            return _later()
        return Response(status_code=204 if is_genuine else 404)

    async def nothing(_request: Request) -> Response:
        return Response(status_code=404)

    return Starlette(
        routes=[
            Route("/{path:path}", deliver, methods=["POST"]),
            Route("/{path:path}", nothing, methods=["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ]
    )


class _Listener(uvicorn.Server):
    """Serves beside something that minds the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever runs the process."""
        yield


def _later() -> Response:
    return Response(status_code=503, headers={"retry-after": "10"})


async def _body(request: Request) -> bytes | None:
    """All of it; `None` when it is too large, too slow, or cut off."""
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > _MAX_BODY_BYTES:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return bytes(content)

"""The listener for providers' webhooks: a port of its own, which knows nothing of MCP.

Whatever is not genuine gets the one answer that an unknown address gets.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.core.errors import JourneyError
from journey_mcp.engine.inbound_webhooks import InboundWebhooks
from journey_mcp.handshake.lines import Overlong
from journey_mcp.server.transports.bodies import Bodies, TooMuchAtOnceError
from journey_mcp.server.transports.bounded_server import Bounds, EmbeddedServer, listen
from journey_mcp.studio import Listening

_MAX_BODY_BYTES = 1024 * 1024
_MAX_BODIES_BYTES = 64 * 1024 * 1024
_BODY_WITHIN_S = 10.0
_TOLD_WITHIN_S = 8.0
"""JourneyAPI waits 10 s for an answer; what takes longer goes on, and the delivery comes again."""
_MOST_AT_ONCE = 100
"""Deliveries that are being applied. Connections that bring none are bounded by their number and their age."""
_CLOSE_WITHIN_S = 2

_NOTHING_HERE = 404
_LATER = 503

_log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """The port, taken before anything else is begun; deliveries wait there until somebody listens.

    Raises:
        SetupError: it cannot be had.
    """
    return listen("--webhooks", host, port)


def listening_at(listener: socket.socket) -> Listening:
    """Lets webhooks in at a bound port."""

    @asynccontextmanager
    async def listening(inbound_webhooks: InboundWebhooks) -> AsyncIterator[None]:
        under_way: set[asyncio.Task[bool]] = set()
        server = EmbeddedServer(
            make_app(inbound_webhooks, under_way),
            Bounds.of_port(body_within_s=2 * _BODY_WITHIN_S),
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_CLOSE_WITHIN_S,
        )
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


def make_app(inbound_webhooks: InboundWebhooks, under_way: set[asyncio.Task[bool]]) -> ASGIApp:
    """The ASGI application: `POST …/<task id>/<token>`, whatever comes before it; what it has begun is in the set."""
    bodies = Bodies(most_bytes=_MAX_BODY_BYTES, most_together_bytes=_MAX_BODIES_BYTES, within_s=_BODY_WITHIN_S)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await Response(status_code=await _status(request, bodies, inbound_webhooks, under_way))(scope, receive, send)

    return app


async def _status(
    request: Request, bodies: Bodies, inbound_webhooks: InboundWebhooks, under_way: set[asyncio.Task[bool]]
) -> int:
    if request.method != "POST":
        return _NOTHING_HERE
    try:
        async with bodies.read(request.receive) as body:
            if isinstance(body, Overlong):
                return 413
            return (
                _LATER if len(under_way) >= _MOST_AT_ONCE else await _taken(request, body, inbound_webhooks, under_way)
            )
    except (TimeoutError, ClientDisconnect):
        return 408
    except TooMuchAtOnceError:
        return _LATER


async def _taken(
    request: Request, body: bytes, inbound_webhooks: InboundWebhooks, under_way: set[asyncio.Task[bool]]
) -> int:
    address = "/".join(request.url.path.split("/")[-2:])
    taking = asyncio.create_task(inbound_webhooks.take(address, dict(request.headers), body))
    under_way.add(taking)
    taking.add_done_callback(under_way.discard)
    try:
        async with asyncio.timeout(_TOLD_WITHIN_S):
            is_verified = await asyncio.shield(taking)
    except TimeoutError:
        taking.add_done_callback(_logged)
        return _LATER
    except JourneyError as error:
        _log.warning("a webhook cannot be taken in now: %s", error)
        return _LATER
    return 204 if is_verified else _NOTHING_HERE


def _logged(taking: asyncio.Task[bool]) -> None:
    if not taking.cancelled() and (error := taking.exception()):
        _log.warning("a webhook could not be taken in: %s", error)

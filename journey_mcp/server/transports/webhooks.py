"""The listener for providers: they send webhooks there, and fetch images by signed links. A port without MCP.

A webhook that is not verified gets the same response as an unknown address.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.core.errors import JourneyError
from journey_mcp.core.image_links import PATH
from journey_mcp.engine.inbound_webhooks import InboundWebhooks
from journey_mcp.handshake.lines import Overlong
from journey_mcp.server.transports.bounded_server import ConnectionLimits, EmbeddedServer, listen
from journey_mcp.server.transports.images import image_route
from journey_mcp.server.transports.request_bodies import BodiesTooLargeError, RequestBodies
from journey_mcp.studio import Listening
from journey_mcp.studio.public_images import PublicImages

_MAX_BODY_BYTES = 1024 * 1024
_MAX_TOTAL_BYTES = 64 * 1024 * 1024
_BODY_TIMEOUT_S = 10.0
_APPLY_WITHIN_S = 8.0
"""JourneyAPI waits 10 s for a response. Work that takes longer goes on, and JourneyAPI sends the webhook again."""
_MAX_CONCURRENT = 100
"""Webhooks that are being applied. Other connections are limited by number and age."""
_CLOSE_WITHIN_S = 2

_NOT_FOUND = 404
_UNAVAILABLE = 503

_log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """Bind the port before anything else starts; webhooks wait there until the listener accepts them.

    Raises:
        SetupError: the port cannot be bound.
    """
    return listen("--webhooks", host, port)


def listening_at(listener: socket.socket) -> Listening:
    """Return what listens at a bound port while a studio is open."""

    @asynccontextmanager
    async def listening(inbound_webhooks: InboundWebhooks, images: PublicImages) -> AsyncIterator[None]:
        pending: set[asyncio.Task[bool]] = set()
        server = EmbeddedServer(
            make_app(inbound_webhooks, images, pending),
            ConnectionLimits.for_port(body_timeout_s=2 * _BODY_TIMEOUT_S),
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
                    server.request_shutdown()
        finally:
            listener.close()
            if pending:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait(pending, timeout=_CLOSE_WITHIN_S)

    return listening


def make_app(inbound_webhooks: InboundWebhooks, images: PublicImages, pending: set[asyncio.Task[bool]]) -> ASGIApp:
    """Return the ASGI application: `POST …/<task id>/<token>` and `GET …/images/<file name>` under any prefix.

    `pending` holds the running work of webhooks.
    """
    bodies = RequestBodies(max_bytes=_MAX_BODY_BYTES, max_total_bytes=_MAX_TOTAL_BYTES, timeout_s=_BODY_TIMEOUT_S)
    readings = Router([image_route(lambda: images)])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = f"/{_last_two_parts(scope['path'])}"
        if request.method in {"GET", "HEAD"} and path.startswith(f"{PATH}/"):
            await readings({**scope, "path": path}, receive, send)
            return
        await Response(status_code=await _status(request, bodies, inbound_webhooks, pending))(scope, receive, send)

    return app


async def _status(
    request: Request, bodies: RequestBodies, inbound_webhooks: InboundWebhooks, pending: set[asyncio.Task[bool]]
) -> int:
    if request.method != "POST":
        return _NOT_FOUND
    try:
        async with bodies.read(request.receive) as body:
            if isinstance(body, Overlong):
                return 413
            return (
                _UNAVAILABLE
                if len(pending) >= _MAX_CONCURRENT
                else await _apply(request, body, inbound_webhooks, pending)
            )
    except (TimeoutError, ClientDisconnect):
        return 408
    except BodiesTooLargeError:
        return _UNAVAILABLE


async def _apply(
    request: Request, body: bytes, inbound_webhooks: InboundWebhooks, pending: set[asyncio.Task[bool]]
) -> int:
    address = _last_two_parts(request.url.path)
    applying = asyncio.create_task(inbound_webhooks.take(address, dict(request.headers), body))
    pending.add(applying)
    applying.add_done_callback(pending.discard)
    try:
        async with asyncio.timeout(_APPLY_WITHIN_S):
            is_verified = await asyncio.shield(applying)
    except TimeoutError:
        applying.add_done_callback(_log_failure)
        return _UNAVAILABLE
    except JourneyError as error:
        _log.warning("a webhook cannot be applied now: %s", error)
        return _UNAVAILABLE
    return 204 if is_verified else _NOT_FOUND


def _last_two_parts(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _log_failure(applying: asyncio.Task[bool]) -> None:
    if not applying.cancelled() and (error := applying.exception()):
        _log.warning("a webhook could not be applied: %s", error)

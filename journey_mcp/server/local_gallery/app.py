"""The web application of the gallery: the page, and `api/config` and `api/call` beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from journey_mcp.core.errors import InvalidRequest, JourneyError
from journey_mcp.handshake.lines import Overlong
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.local_gallery.access import ENTRANCE, Access
from journey_mcp.server.local_gallery.calls import GalleryCall, GalleryCalls
from journey_mcp.server.local_gallery.confirmations import ConfirmationRequired
from journey_mcp.server.local_gallery.pages import HEADERS, entrance_page, gallery_page, message_page
from journey_mcp.server.transports.jsonrpc import structure_problem
from journey_mcp.server.transports.request_bodies import BodiesTooLargeError, RequestBodies

BODY_TIMEOUT_S = 30.0
_MAX_BODY_BYTES = 1024 * 1024
"""The largest call keeps an image, of at most 900,000 characters."""
_MAX_TOTAL_BYTES = 16 * _MAX_BODY_BYTES
_NO_SESSION = (
    "This address works once, in one browser. Use the tab in which the gallery is open, or start journey-mcp gallery "
    "again for a new address."
)


def make_app(lifespan: Lifespan, access: Access, calls: GalleryCalls, page: str) -> Starlette:
    """Return the application. The studio is opened while it runs."""
    gallery = _Gallery(access, calls, page)

    @asynccontextmanager
    async def run_lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(lifespan.run)
            group.start_soon(lifespan.keep_opening)
            try:
                yield
            finally:
                lifespan.close()

    routes = [
        Route(ENTRANCE, gallery.enter, methods=["GET"]),
        Route(access.path, gallery.show, methods=["GET"]),
        Route(f"{access.path}api/config", gallery.config, methods=["GET"]),
        Route(f"{access.path}api/call", gallery.call, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=run_lifespan)
    app.add_middleware(_Guard, access=access)
    return app


class _Guard:
    """ASGI middleware that refuses requests of others, and adds the headers of every response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._access.refusal(scope["method"], scope["path"], Headers(scope=scope))
        app = self._app if refusal is None else _problem(403, f"Refused: {refusal}.")
        await app(scope, receive, send_guarded)


class _Gallery:
    """The responses of the gallery."""

    def __init__(self, access: Access, calls: GalleryCalls, page: str) -> None:
        self._access = access
        self._calls = calls
        self._page = page
        self._bodies = RequestBodies(
            max_bytes=_MAX_BODY_BYTES, max_total_bytes=_MAX_TOTAL_BYTES, timeout_s=BODY_TIMEOUT_S
        )

    async def enter(self, request: Request) -> Response:
        """Exchange the token for the cookie of the session."""
        # a HEAD, as programs send that show a preview of a link, does not use it up
        if request.method != "GET" or not self._access.redeem(request.query_params.get("token", "")):
            return message_page(403, _NO_SESSION)
        response = entrance_page(self._access.path)
        response.headers["set-cookie"] = self._access.cookie()
        return response

    async def show(self, request: Request) -> Response:
        """Return the page."""
        if not self._access.has_session(request.cookies):
            return message_page(403, _NO_SESSION)
        return gallery_page(self._page)

    async def config(self, request: Request) -> Response:
        """Return what the page can do."""
        if not self._access.has_session(request.cookies):
            return _problem(403, _NO_SESSION)
        return JSONResponse({"tools": self._calls.tools(), "can_pay": True})

    async def call(self, request: Request) -> Response:
        """Run a call: its result, or 409 with the cost that the person has to confirm."""
        if not self._access.has_session(request.cookies):
            return _problem(403, _NO_SESSION)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _problem(415, "The body must be application/json.")
        try:
            async with self._bodies.read(request.receive) as body:
                return await self._respond(body)
        except TimeoutError:
            return _problem(408, f"The body did not arrive within {BODY_TIMEOUT_S:g} s.")
        except BodiesTooLargeError:
            return _problem(503, "Other calls fill the memory; try again in a moment.")
        except ClientDisconnect:
            return _problem(400, "The body is incomplete.")

    async def _respond(self, body: bytes | Overlong) -> Response:
        if isinstance(body, Overlong):
            return _problem(413, f"The body is larger than {_MAX_BODY_BYTES:,} bytes.")
        if problem := structure_problem(body):
            return _problem(400, problem)
        try:
            return JSONResponse(await self._calls.run(GalleryCall.parse(body)))
        except ConfirmationRequired as required:
            return JSONResponse(_question(required), 409)
        except JourneyError as error:
            return _problem(400 if isinstance(error, InvalidRequest) else 503, str(error))


def _question(required: ConfirmationRequired) -> dict[str, Any]:
    question = required.question
    cost = {"amount": f"{question.amount:f}", "unit": question.unit, "is_known": question.is_known}
    return {
        "confirmation": required.confirmation,
        "question": f"Make an image with {question}?",
        "model": question.model,
        "provider": question.provider,
        "cost": cost,
    }


def _problem(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)

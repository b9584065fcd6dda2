"""The sandbox as one web application: the imitated services, the pictures they make, and the control surface.

Outside of the imitated services there are

    GET    /pictures/{task_id}/{name}   a result
    GET    /sandbox/ledger              what was asked and delivered
    GET    /sandbox/faults              the faults in force
    POST   /sandbox/faults              a JSON list of objects, or of texts as in Fault.parse, replaces them
    DELETE /sandbox/faults              nothing goes wrong any more
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from journey_mcp.sandbox import journeyapi
from journey_mcp.sandbox.answers import Answer, json_answer, refusal, spoil
from journey_mcp.sandbox.clock import wait_until
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.recipes import MEDIA_TYPES
from journey_mcp.sandbox.settings import Settings
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.wire import WireResponse


def build(settings: Settings) -> Starlette:
    """Return the application; its `state` holds `sandbox` and `journeyapi`."""
    sandbox = Sandbox(settings, (*journeyapi.ENDPOINTS, "pictures"))
    journey = journeyapi.JourneyApi(sandbox)
    control = _Control(sandbox)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with sandbox.deliveries.open():
            yield

    app = Starlette(
        routes=[
            *journey.routes(),
            Route("/pictures/{task_id}/{name}", control.picture),
            Route("/sandbox/ledger", control.ledger),
            Route("/sandbox/faults", control.show_faults, methods=["GET"]),
            Route("/sandbox/faults", control.replace_faults, methods=["POST"]),
            Route("/sandbox/faults", control.clear_faults, methods=["DELETE"]),
        ],
        exception_handlers={HTTPException: journeyapi.http_error, ClientDisconnect: _client_gone},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.sandbox = sandbox
    app.state.journeyapi = journey
    return app


async def _client_gone(_request: Request, _error: Exception) -> Response:
    """Answer a client that left in the middle of its request: nobody reads it, nothing is made."""
    return Response(status_code=400)


class _Control:
    """The endpoints that no imitated service has."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def picture(self, request: Request) -> Response:
        faults = self._sandbox.arrive("pictures", "picture")
        answer = refusal(faults, {}) or await self._drawn(request.path_params["task_id"], request.path_params["name"])
        spoiled = spoil(answer, faults, {})
        await wait_until(self._sandbox.settings.clock, self._sandbox.now() + spoiled.delay_s)
        return WireResponse(spoiled)

    async def _drawn(self, task_id: str, name: str) -> Answer:
        task = self._sandbox.tasks.find(task_id)
        recipe = task.pictures.get(name) if task and not task.failure and task.is_over(self._sandbox.now()) else None
        if recipe is None:
            return json_answer({}, 404)
        content = await self._sandbox.gallery.picture(f"{task_id}/{name}", recipe)
        return Answer(content=content, media_type=MEDIA_TYPES[recipe.image_format])

    async def ledger(self, _request: Request) -> Response:
        # in ASCII, because a request may hold text that UTF-8 cannot
        return Response(json.dumps(self._sandbox.ledger.as_json()), media_type="application/json")

    async def show_faults(self, _request: Request) -> Response:
        return JSONResponse([fault.as_json() for fault in self._sandbox.faults.faults])

    async def replace_faults(self, request: Request) -> Response:
        try:
            faults = _read_faults(await request.body())
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        self._sandbox.faults.replace(faults)
        return await self.show_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._sandbox.faults.replace(())
        return await self.show_faults(request)


def _read_faults(content: bytes) -> list[Fault]:
    told: Any = json.loads(content)
    if not isinstance(told, list):
        raise ValueError("Faults come as a JSON list.")  # noqa: TRY004 - to the caller all nonsense is alike
    return [Fault.parse(item) if isinstance(item, str) else Fault.from_json(item) for item in told]

"""The sandbox as one web application: the fake services, the images they make, and the control endpoints.

Besides the fake services there are

    GET    /pictures/{task_id}/{name}   a result
    GET    /sandbox/images/{name}       an image that `Running.host` was given
    GET    /sandbox/requests            the request log; also under its older path /sandbox/ledger
    GET    /sandbox/faults              the active faults
    POST   /sandbox/faults              replaces them by a JSON list of objects, or of texts as in Fault.parse
    DELETE /sandbox/faults              removes all faults
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from journey_mcp.sandbox import credentials
from journey_mcp.sandbox.bfl import fake as bfl
from journey_mcp.sandbox.clock import wait_until
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.journeyapi import fake as journeyapi
from journey_mcp.sandbox.render_specs import MEDIA_TYPES
from journey_mcp.sandbox.replicate import fake as replicate
from journey_mcp.sandbox.responses import HttpResponse, corrupt, early_response, json_response
from journey_mcp.sandbox.service import Service, misplaced_key
from journey_mcp.sandbox.services import service_at
from journey_mcp.sandbox.settings import Settings
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Task
from journey_mcp.sandbox.vtrix import fake as vtrix
from journey_mcp.sandbox.wire import WireResponse

_ENDPOINTS = (
    *journeyapi.ENDPOINTS,
    "pictures",
    *(f"vtrix/{endpoint}" for endpoint in vtrix.ENDPOINTS),
    *(f"kkiai/{endpoint}" for endpoint in replicate.KKIAI_ENDPOINTS),
    *(f"replicate/{endpoint}" for endpoint in replicate.ENDPOINTS),
    *(f"bfl/{endpoint}" for endpoint in bfl.ENDPOINTS),
    "unknown",
)
"""All names in the request log. JourneyAPI's have no prefix, because they existed first."""


def build(settings: Settings) -> Starlette:
    """Return the application; its `state` holds `sandbox` and `services`."""
    sandbox = Sandbox(settings, _ENDPOINTS)
    services: dict[str, Service[Any]] = {
        "journeyapi": journeyapi.JourneyApi(sandbox),
        "vtrix": vtrix.Vtrix(sandbox),
        "kkiai": replicate.Kkiai(sandbox),
        "replicate": replicate.Replicate(sandbox),
        "bfl": bfl.Bfl(sandbox),
    }
    control = _Control(sandbox, services)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        sandbox.calendar.start()
        async with sandbox.deliveries.open():
            yield

    app = Starlette(
        routes=[
            *(route for service in services.values() for route in service.routes()),
            Route("/pictures/{task_id}/{name}", control.image),
            Route("/sandbox/images/{name}", control.hosted),
            Route("/sandbox/requests", control.request_log),
            Route("/sandbox/ledger", control.request_log),
            Route("/sandbox/faults", control.show_faults, methods=["GET"]),
            Route("/sandbox/faults", control.replace_faults, methods=["POST"]),
            Route("/sandbox/faults", control.clear_faults, methods=["DELETE"]),
        ],
        exception_handlers={HTTPException: control.http_error, ClientDisconnect: _client_gone},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.sandbox = sandbox
    app.state.services = services
    return app


async def _client_gone(_request: Request, _error: Exception) -> Response:
    """Respond to a client that disconnected during its request; the response is never read."""
    return Response(status_code=400)


class _Control:
    """The endpoints outside of the fake services."""

    def __init__(self, sandbox: Sandbox, services: Mapping[str, Service[Any]]) -> None:
        self._sandbox = sandbox
        self._services = services

    def http_error(self, request: Request, error: Exception) -> Response:
        """Respond to unknown routes and methods in the format of the service at that path."""
        # handlers are typed for any exception, this one is registered for HTTPException
        exception = cast("HTTPException", error)
        self._sandbox.request_log.count("unknown", is_keyed=self._log_misplaced_keys(request, "unknown path"))
        service = self._services[service_at(request.url.path) or "journeyapi"]
        return WireResponse(
            replace(service.error(exception.status_code, exception.detail), headers=exception.headers or {})
        )

    async def image(self, request: Request) -> Response:
        task = self._sandbox.tasks.find(request.path_params["task_id"])
        is_keyed = self._log_misplaced_keys(request, "image")
        on = f"{task.service}/image" if task else "image"
        faults = self._sandbox.receive("pictures", on, is_keyed=is_keyed)
        response = early_response(faults, {}) or await self._render(request, task)
        corrupted = corrupt(response, faults, {})
        await wait_until(self._sandbox.settings.clock, self._sandbox.now() + corrupted.delay_s)
        return WireResponse(corrupted)

    async def hosted(self, request: Request) -> Response:
        content = self._sandbox.hosted.find(request.path_params["name"])
        return Response(content, status_code=404 if content is None else 200, media_type="application/octet-stream")

    async def _render(self, request: Request, task: Task | None) -> HttpResponse:
        name, now = request.path_params["name"], self._sandbox.now()
        render_spec = task.images.get(name) if task and not task.failure and task.is_over(now) else None
        if task is None or render_spec is None:
            return json_response({}, 404)
        if not task.link.is_good(request.query_params.get("sig"), now):
            return json_response({}, task.link.gone_status)
        content = await self._sandbox.image_cache.get(f"{task.task_id}/{name}", render_spec)
        return HttpResponse(content=content, media_type=MEDIA_TYPES[render_spec.image_format])

    def _log_misplaced_keys(self, request: Request, reason: str) -> bool:
        """Log the credentials of a request that needs none; return whether there are any."""
        headers = credentials.carried(request.headers)
        for header in headers:
            self._sandbox.request_log.add_misplaced_key(misplaced_key(request, header, reason))
        return bool(headers)

    async def request_log(self, _request: Request) -> Response:
        # in ASCII, because a request may contain text that UTF-8 cannot encode
        return Response(json.dumps(self._sandbox.request_log.as_json()), media_type="application/json")

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
    items: Any = json.loads(content)
    if not isinstance(items, list):
        raise ValueError("Faults must be a JSON list.")  # noqa: TRY004 - the caller handles one type of error
    return [Fault.parse(item) if isinstance(item, str) else Fault.from_json(item) for item in items]

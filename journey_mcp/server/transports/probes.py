"""`/healthz` and `/readyz`, for load balancers and orchestrators."""

from collections.abc import Sequence

from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.server.readiness import Readiness

_NOT_STORED = {"cache-control": "no-store"}


class OpenRoutes:
    """ASGI middleware with routes that need neither a known host nor authentication: probes come by IP address."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        # responds to other methods
        self._routes = ExceptionMiddleware(Router(routes, redirect_slashes=False))
        beginnings = [_beginning(route.path) for route in routes]
        self._beginnings = {*beginnings, *(f"{one.rstrip('/')}/" for one in beginnings)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a path that may be of one of the routes, or pass the request on."""
        is_open = scope["type"] == "http" and _beginning(scope["path"]) in self._beginnings
        await (self._routes if is_open else self._app)(scope, receive, send)


def _beginning(path: str) -> str:
    """Return a path up to its first folder: comparing it costs less than matching routes, for every call."""
    folder, slash, _ = path.lstrip("/").partition("/")
    return folder + slash


def probes(readiness: Readiness) -> list[Route]:
    """Return the routes of both probes."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=_NOT_STORED)

    async def ready(_request: Request) -> Response:
        found = await readiness.check()
        if found.reason is None:
            return JSONResponse({"status": "ready"}, headers=_NOT_STORED)
        return JSONResponse(
            {"status": "not_ready", "reason": found.reason},
            503,
            headers={**_NOT_STORED, "retry-after": str(found.retry_after_s)},
        )

    return [Route("/healthz", health), Route("/readyz", ready)]

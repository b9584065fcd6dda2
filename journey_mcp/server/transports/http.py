"""MCP over streamable HTTP, stateless: any replica answers any request."""

import asyncio
import errno
import gc
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp

from journey_mcp.auth.access import Access
from journey_mcp.core.errors import SetupError
from journey_mcp.core.urls import LOOPBACK_HOSTS, is_loopback
from journey_mcp.server.app import make_server
from journey_mcp.server.auth.caller_keys import CallerKeyHeaders
from journey_mcp.server.auth.middleware import Authentication, Unauthenticated
from journey_mcp.server.lifespan import Lifespan, StudioOpener
from journey_mcp.server.observability.endpoint import MetricsEndpoint
from journey_mcp.server.readiness import Readiness
from journey_mcp.server.transports import call_bodies
from journey_mcp.server.transports.auth_failure_limit import AuthFailureLimit
from journey_mcp.server.transports.bounded_server import BoundedServer, ConnectionLimits, listen
from journey_mcp.server.transports.call_bodies import BODY_TIMEOUT_S, CallBodies
from journey_mcp.server.transports.call_limit import CallLimit
from journey_mcp.server.transports.image_uploads import upload_limits, upload_route
from journey_mcp.server.transports.images import image_route
from journey_mcp.server.transports.probes import OpenRoutes, probes
from journey_mcp.server.transports.rate_limit import RateLimit
from journey_mcp.server.transports.request_bodies import RequestBodies
from journey_mcp.server.transports.request_filter import RequestFilter
from journey_mcp.server.transports.sessions import SessionManager
from journey_mcp.settings import Settings
from journey_mcp.settings.allowed_origins import AllowedOrigins

if TYPE_CHECKING:
    from journey_mcp.studio.public_images import PublicImages

_GRACEFUL_SHUTDOWN_S = 2
"""How long calls and open streams may take to end once calls no longer wait for their tasks."""
_FOLLOW_UP_S = 0.5
"""How long the port stays open after the last result: some clients list the tools before they return it."""
_MAX_CALLS = 1_000
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def serve(
    settings: Settings,
    listeners: list[socket.socket],
    opener: StudioOpener | None = None,
    access: Access | None = None,
) -> None:
    """Serve `/mcp` at these sockets until a signal; `opener` as for stdio, `access` as `make_app`."""
    gc.freeze()
    gc.enable()
    lifespan = Lifespan(settings, opener, is_local=False, is_service=True)
    # `CallBodies` responds to slow bodies; this limit ends connections that go on sending
    limits = ConnectionLimits.for_port(body_timeout_s=BODY_TIMEOUT_S + 5)
    app = make_app(lifespan, access, max_calls=limits.requests)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after an orderly shutdown
        DrainingServer(app, lifespan, limits).run(listeners)


def bind(option: str, host: str, port: int, *, has_authentication: bool = False) -> list[socket.socket]:
    """Listen; for `localhost` at both loopback addresses, because clients try either first.

    Without authentication, only at addresses of this machine.

    Raises:
        SetupError: the address is not on this machine, or is in use; names the option.
    """
    if not has_authentication:
        _check_loopback(option, host)
    if host != "localhost":
        return [listen(option, host, port)]
    listeners = [listen(option, "127.0.0.1", port)]
    try:
        listeners.append(listen(option, "::1", port))
    except SetupError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_IPV6:
            raise
    return listeners


def make_app(
    lifespan: Lifespan,
    access: Access | None = None,
    *,
    bodies: RequestBodies | None = None,
    uploads: RequestBodies | None = None,
    open_routes: Sequence[Route] = (),
    max_calls: int = _MAX_CALLS,
) -> Starlette:
    """Return the ASGI application: `/mcp` for all revisions, `/images`, and beside them the probes and `/metrics`.

    `access` authenticates callers; without it, every caller is the person at this machine. `open_routes` are served
    without a check of host and caller, as the probes are.
    """
    settings = lifespan.settings
    sessions = SessionManager(make_server(lifespan, is_eager=True), lifespan.finished_results)
    readiness = Readiness(lifespan, needs_provider=access is not None)
    middleware = [
        Middleware(OpenRoutes, routes=_open_routes(lifespan, access, readiness, open_routes)),
        Middleware(RequestFilter, hosts=settings.hosts_over_http, origins=settings.allowed_origins),
        Middleware(CallerKeyHeaders, settings=settings),
        # after authentication: strangers cannot fill the memory with bodies
        Middleware(CallBodies, bodies=bodies or call_bodies.limits()),
        Middleware(RateLimit, lifespan=lifespan),
        # after the body has arrived: those who send slowly take no place
        Middleware(CallLimit, max_calls=max_calls),
    ]
    if access is None:
        middleware.insert(2, Middleware(Unauthenticated))
    else:
        failures = Middleware(AuthFailureLimit, trusts_proxy=settings.trust_proxy == "on")
        middleware[2:2] = [failures, Middleware(Authentication, access=access)]
    if settings.allowed_origins.origins:
        middleware.insert(0, _cors(settings.allowed_origins))
    # a GET would open an event stream that never has an event; there are no sessions to delete
    calls = [Route(path, sessions, methods=["POST"]) for path in ("/mcp", "/mcp/")]
    return Starlette(
        routes=[*calls, upload_route(lifespan.studio, uploads or upload_limits())],
        middleware=middleware,
        lifespan=lambda _app: sessions.run(),
    )


def _open_routes(
    lifespan: Lifespan, access: Access | None, readiness: Readiness, more: Sequence[Route]
) -> Sequence[Route]:
    """Return the routes that need no known host; the metrics check the caller themselves, and images their link."""
    return [*probes(readiness), _metrics(lifespan, access), image_route(lambda: _images(lifespan)), *more]


def _metrics(lifespan: Lifespan, access: Access | None) -> Route:
    """Return the route of the metrics.

    Replicas are scraped by address, so the host is checked only where callers are not authenticated.
    """
    endpoint: ASGIApp = MetricsEndpoint(lifespan)
    settings = lifespan.settings
    if access is not None:
        guarded = AuthFailureLimit(Authentication(endpoint, access), trusts_proxy=settings.trust_proxy == "on")
        return Route("/metrics", guarded, methods=["GET"])
    local = RequestFilter(Unauthenticated(endpoint), settings.hosts_over_http, settings.allowed_origins)
    return Route("/metrics", local, methods=["GET"])


def _images(lifespan: Lifespan) -> "PublicImages | None":
    studio = lifespan.opened_studio
    return studio.public_images if studio else None


def _cors(origins: AllowedOrigins) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=origins.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["WWW-Authenticate", "Mcp-Session-Id", "Retry-After"],
    )


class DrainingServer(BoundedServer):
    """A server that lets calls return before it closes streams; a second signal closes them at once."""

    def __init__(self, app: Starlette, lifespan: Lifespan, limits: ConnectionLimits) -> None:
        super().__init__(app, limits, timeout_graceful_shutdown=_GRACEFUL_SHUTDOWN_S)
        self._lifespan = lifespan
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown, or end at once on a second signal."""
        if self._draining:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self._start_draining, sig)

    def _start_draining(self, sig: int) -> None:
        self._draining = self._loop.create_task(self._drain(sig))

    async def _drain(self, sig: int) -> None:
        self._lifespan.drain()
        if await self._lifespan.wait_for_calls():
            await asyncio.sleep(_FOLLOW_UP_S)
        super().handle_exit(sig, None)


def _check_loopback(option: str, host: str) -> None:
    if not is_loopback(host):
        raise SetupError(
            f"{option} {host}: without authentication only this machine may connect "
            f"(allowed: {', '.join(LOOPBACK_HOSTS)}).",
            next_step="Set JOURNEY_MCP_TOKENS_FILE or JOURNEY_MCP_OAUTH_ISSUER, or use one of these addresses.",
        )

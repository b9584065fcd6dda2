"""MCP over streamable HTTP, stateless, for clients on this machine."""

import asyncio
import errno
import gc
import socket
from contextlib import suppress
from types import FrameType

from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from journey_mcp.core.errors import SetupError
from journey_mcp.core.urls import LOOPBACK_HOSTS, is_loopback
from journey_mcp.handshake.lines import MAX_BYTES
from journey_mcp.server.app import make_server
from journey_mcp.server.lifespan import Lifespan, StudioOpener
from journey_mcp.server.transports.bounded_server import BoundedServer, ConnectionLimits, listen
from journey_mcp.server.transports.request_bodies import RequestBodies
from journey_mcp.server.transports.request_filter import BODY_TIMEOUT_S, RequestFilter, call_bodies
from journey_mcp.settings import Settings
from journey_mcp.settings.allowed_hosts import AllowedHosts

_GRACEFUL_SHUTDOWN_S = 2
"""How long calls and open streams may take to end once calls no longer wait for their tasks."""
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def serve(settings: Settings, listeners: list[socket.socket], opener: StudioOpener | None = None) -> None:
    """Serve `/mcp` at these sockets until a signal; `opener` as for stdio."""
    gc.freeze()
    gc.enable()
    lifespan = Lifespan(settings, opener, is_local=False)
    app = make_app(lifespan, settings.allowed_hosts)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after an orderly shutdown
        # the request filter responds to slow bodies; this limit ends connections that go on sending
        DrainingServer(app, lifespan, body_timeout_s=BODY_TIMEOUT_S + 5).run(listeners)


def bind(host: str, port: int) -> list[socket.socket]:
    """Listen; for `localhost` at both loopback addresses, because clients try either first.

    Raises:
        SetupError: the address is not on this machine, or is in use.
    """
    check_loopback(host)
    if host != "localhost":
        return [listen("--http", host, port)]
    listeners = [listen("--http", "127.0.0.1", port)]
    try:
        listeners.append(listen("--http", "::1", port))
    except SetupError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_IPV6:
            raise
    return listeners


def make_app(lifespan: Lifespan, hosts: AllowedHosts | None = None, bodies: RequestBodies | None = None) -> Starlette:
    """Return the ASGI application: one path, `/mcp`, for all revisions of the protocol."""
    app = make_server(lifespan, is_eager=True).streamable_http_app(
        stateless_http=True,
        # the request filter checks both, with clearer errors
        max_request_body_size=MAX_BYTES,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    app.add_middleware(RequestFilter, hosts=hosts or AllowedHosts.parse(), bodies=bodies or call_bodies())
    return app


class DrainingServer(BoundedServer):
    """A server that lets calls return before it closes streams; a second signal closes them at once."""

    def __init__(self, app: Starlette, lifespan: Lifespan, *, body_timeout_s: float) -> None:
        limits = ConnectionLimits.for_port(body_timeout_s=body_timeout_s)
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
        await self._lifespan.wait_for_calls()
        super().handle_exit(sig, None)


def check_loopback(host: str) -> None:
    """Reject addresses that other machines reach, because there is no authentication.

    Raises:
        SetupError: names the address and what is allowed.
    """
    if not is_loopback(host):
        raise SetupError(
            f"--http {host}: without authentication only this machine may connect "
            f"(allowed: {', '.join(LOOPBACK_HOSTS)}).",
        )

"""The gallery over HTTP on the loopback address, for the person at this machine."""

import gc
import socket
from contextlib import suppress

import anyio

from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.local_gallery.access import Access
from journey_mcp.server.local_gallery.app import BODY_TIMEOUT_S, make_app
from journey_mcp.server.local_gallery.calls import GalleryCalls
from journey_mcp.server.local_gallery.confirmations import Confirmations
from journey_mcp.server.transports.bounded_server import ConnectionLimits, listen
from journey_mcp.server.transports.http import DrainingServer
from journey_mcp.settings import Settings


def bind(port: int) -> tuple[socket.socket, Access]:
    """Listen on a port, or on a free one for 0; return the socket and who may connect.

    Raises:
        SetupError: the port cannot be bound.
    """
    listener = listen("--port", "127.0.0.1", port)
    return listener, Access(listener.getsockname()[1])


def serve(settings: Settings, listener: socket.socket, access: Access, page: str) -> None:
    """Serve the page at this socket until a signal."""
    gc.freeze()
    gc.enable()
    lifespan = Lifespan(settings, is_local=True)
    app = make_app(lifespan, access, GalleryCalls(lifespan, Confirmations(anyio.current_time)), page)
    # the application responds to slow bodies; this limit ends connections that go on sending
    limits = ConnectionLimits.for_port(body_timeout_s=BODY_TIMEOUT_S + 5)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after an orderly shutdown
        DrainingServer(app, lifespan, limits).run([listener])

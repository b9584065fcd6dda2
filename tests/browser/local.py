"""`journey-mcp gallery` in this process, on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from journey_mcp.server.lifespan import Lifespan, StudioOpener
from journey_mcp.server.local_gallery.access import Access
from journey_mcp.server.local_gallery.app import make_app
from journey_mcp.server.local_gallery.calls import GalleryCalls
from journey_mcp.server.local_gallery.confirmations import Confirmations
from journey_mcp.server.transports.bounded_server import ConnectionLimits, EmbeddedServer
from journey_mcp.server.transports.gallery import bind
from journey_mcp.settings import Settings


@asynccontextmanager
async def serving_gallery(settings: Settings, opener: StudioOpener, page: str) -> AsyncIterator[Access]:
    """Serve a page as the gallery; yield its address and the way in."""
    listener, access = bind(0)
    lifespan = Lifespan(settings, opener, is_local=True)
    app = make_app(lifespan, access, GalleryCalls(lifespan, Confirmations(anyio.current_time)), page)
    server = EmbeddedServer(app, ConnectionLimits.for_port(body_timeout_s=60))
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield access
    finally:
        lifespan.drain()
        server.request_shutdown()
        await running

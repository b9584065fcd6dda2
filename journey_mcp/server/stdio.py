"""MCP over stdin and stdout."""

import gc
import signal

import anyio
from mcp.server.stdio import stdio_server

from journey_mcp.server import make_server
from journey_mcp.settings import Settings


def serve(settings: Settings) -> None:
    """Serve one client until it closes stdin, or until a signal asks to end."""
    # What was imported stays for the life of the process: the collector need never look at it.
    gc.freeze()
    gc.enable()
    anyio.run(_serve, settings)


async def _serve(settings: Settings) -> None:
    server = make_server(settings)
    async with anyio.create_task_group() as group:
        group.start_soon(_end_on_signal, group.cancel_scope)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        group.cancel_scope.cancel()


async def _end_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _signal in signals:
            scope.cancel()
            return

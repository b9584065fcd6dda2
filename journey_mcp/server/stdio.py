"""MCP over stdin and stdout."""

import gc
import logging
import os
import signal
import sys

import anyio
from mcp.server.stdio import stdio_server

from journey_mcp.server import make_server
from journey_mcp.settings import Settings


def serve(settings: Settings) -> None:
    """Serve one client until it closes stdin, or until a signal asks to end."""
    # What was imported stays for the life of the process: the collector need never look at it.
    gc.freeze()
    gc.enable()
    if sys.stdin.isatty():
        sys.stderr.write("journey-mcp serves MCP on stdio, for an assistant to start; -h tells of the commands.\n")
    try:
        anyio.run(_serve, settings)
    except* (BrokenPipeError, anyio.BrokenResourceError):
        logging.getLogger(__name__).warning("the client closed its end")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains once more while it ends


async def _serve(settings: Settings) -> None:
    server = make_server(settings)
    async with anyio.create_task_group() as group, stdio_server() as (incoming, outgoing):
        with anyio.CancelScope() as serving:
            group.start_soon(_end_on_signal, serving)
            await server.run(incoming, outgoing, server.create_initialization_options())
        if serving.cancelled_caught:
            # Everything is stored and closed. What is left is a thread that reads stdin, and nothing can wake it.
            logging.shutdown()
            os._exit(0)
        group.cancel_scope.cancel()


async def _end_on_signal(serving: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _signal in signals:
            serving.cancel()

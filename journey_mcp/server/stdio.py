"""MCP over stdin and stdout."""

import gc
import logging
import os
import signal
import sys
from functools import partial

import anyio
from mcp.server.stdio import stdio_server

from journey_mcp.server import Backstage, StudioOpener, server_on
from journey_mcp.settings import Settings


def serve(settings: Settings, opener: StudioOpener | None = None) -> None:
    """Serve one client until it closes stdin, or until a signal asks to end.

    `opener` stands in for `open_studio`, for a studio that listens to webhooks, and so is opened at once.
    """
    # What was imported stays for the life of the process: the collector need never look at it.
    gc.freeze()
    gc.enable()
    if sys.stdin.isatty():
        sys.stderr.write("journey-mcp serves MCP on stdio, for an assistant to start; -h tells of the commands.\n")
    try:
        backstage = Backstage(settings, opener, is_local=True)
        anyio.run(partial(_serve, backstage, is_eager=opener is not None))
    except* (BrokenPipeError, anyio.BrokenResourceError):
        logging.getLogger(__name__).warning("the client closed its end")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains once more while it ends


async def _serve(backstage: Backstage, *, is_eager: bool) -> None:
    server = server_on(backstage, is_eager=is_eager)
    async with anyio.create_task_group() as group, stdio_server() as (incoming, outgoing):
        with anyio.CancelScope() as serving:
            group.start_soon(_end_on_signal, backstage, serving)
            await server.run(incoming, outgoing, server.create_initialization_options())
        if serving.cancelled_caught:
            # Everything is stored and closed. What is left is a thread that reads stdin, and nothing can wake it.
            logging.shutdown()
            os._exit(0)
        group.cancel_scope.cancel()


async def _end_on_signal(backstage: Backstage, serving: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _signal in signals:
            backstage.end()
            await backstage.answer_all()
            serving.cancel()

"""MCP over stdin and stdout."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NoReturn

import anyio
import mcp_types as types
from anyio import to_thread
from mcp.shared.message import SessionMessage

from journey_mcp.core.errors import SetupError
from journey_mcp.core.redaction import redactor_of, secrets_in
from journey_mcp.handshake.client_connection import CHUNK_BYTES, ClientConnection
from journey_mcp.handshake.lines import Overlong
from journey_mcp.server.app import make_server
from journey_mcp.server.lifespan import Lifespan, StudioOpener
from journey_mcp.server.transports import jsonrpc, revisions
from journey_mcp.server.transports.descriptor import Descriptor
from journey_mcp.server.transports.stdout import Stdout
from journey_mcp.settings import Settings, read_settings

_log = logging.getLogger(__name__)
_THREAD_BYTES = 256 * 1024
"""Longer lines are parsed in a thread, so that they do not block other calls."""
Prepare = Callable[[], tuple[Settings, StudioOpener | None]]
"""Returns the settings, and a replacement for `open_studio` or `None`; may raise `SetupError`."""


def serve(client: ClientConnection, prepare: Prepare) -> int:
    """Serve the client until it closes stdin or a signal arrives; return the exit code.

    When `prepare` finds a wrong setting, stderr says so at once, and so does every call, because most clients show
    results and not why a server ended. At a terminal the process ends at once.
    """
    opener: StudioOpener | None
    try:
        settings, opener = prepare()
    except SetupError as error:
        redact = redactor_of(*secrets_in(os.environ)).text
        redacted = SetupError(redact(str(error)), next_step=redact(error.failure.next_step or "") or None)
        sys.stderr.write(f"journey-mcp: {redacted} {redacted.failure.next_step or ''}".rstrip() + "\n")
        if not client.is_terminal:
            _run(client, Lifespan(read_settings({}), _refusing(redacted), is_local=True))
        return 2
    if client.is_terminal:
        sys.stderr.write("journey-mcp serves MCP on stdio; an assistant starts it. -h lists the commands.\n")
    # a replacement has work besides calls
    _run(client, Lifespan(settings, opener, is_local=True), is_eager=opener is not None)
    return 0


def _refusing(error: SetupError) -> StudioOpener:
    def refuse(_settings: Settings) -> NoReturn:
        raise error

    return refuse


def _run(client: ClientConnection, lifespan: Lifespan, *, is_eager: bool = False) -> None:
    # Imported modules are never freed, so the garbage collector need not scan them.
    gc.freeze()
    gc.enable()
    try:
        anyio.run(partial(_serve, client, lifespan, is_eager=is_eager))
    except* (BrokenPipeError, anyio.BrokenResourceError):
        _log.warning("the client closed the connection")


async def _serve(client: ClientConnection, lifespan: Lifespan, *, is_eager: bool) -> None:
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as serving:
            group.start_soon(_drain_on_signal, lifespan, serving)
            arrived = asyncio.Event()
            wake = partial(asyncio.get_running_loop().call_soon_threadsafe, arrived.set)
            descriptor = Descriptor(client.input)
            hand_over = partial(client.hand_over, wake, ends=descriptor.can_be_watched)
            surplus = await to_thread.run_sync(hand_over, abandon_on_cancel=True)
            server = make_server(lifespan, is_eager=is_eager, has_answered=client.has_answered)
            stdout = Stdout(client, surplus)
            async with anyio.create_task_group() as connection:
                connection.start_soon(stdout.until_lost)
                messages = _messages(_lines(client, descriptor, arrived), stdout, lifespan)
                await revisions.serve(server, messages, stdout)
                connection.cancel_scope.cancel()
        if serving.cancelled_caught:
            # Everything is stored and closed. One thread still reads stdin, and nothing can wake it.
            logging.shutdown()
            os._exit(0)
        group.cancel_scope.cancel()


async def _lines(
    client: ClientConnection, descriptor: Descriptor, arrived: asyncio.Event
) -> AsyncIterator[bytes | Overlong]:
    """Yield the lines of the client: those that its thread has read, then those that the event loop reads."""
    is_reading = True
    while is_reading:
        arrived.clear()
        lines, is_reading = client.take()
        for line in lines:
            yield line
        if is_reading and not lines:
            await arrived.wait()
    with descriptor:
        while client.is_open and (chunk := await descriptor.read(CHUNK_BYTES)):
            for line in client.splitter.split(chunk):
                yield line
    for line in client.splitter.rest():
        yield line


async def _messages(
    lines: AsyncIterator[bytes | Overlong], stdout: Stdout, lifespan: Lifespan
) -> AsyncIterator[SessionMessage]:
    """Yield the messages of the client; log other lines, and respond to them."""
    async for line in lines:
        is_long = isinstance(line, bytes) and len(line) > _THREAD_BYTES
        parsed, message = await to_thread.run_sync(_parse, line) if is_long else _parse(line)
        if parsed.problem is not None:
            # errors are logged at every log level
            _log.error("a line on stdin is not a message: %s", parsed.problem)
        if parsed.response is not None:
            await stdout.write(parsed.response + b"\n")
        if message is not None:
            yield message
    await lifespan.wait_for_calls()


def _parse(line: bytes | Overlong) -> tuple[jsonrpc.ParsedLine, SessionMessage | None]:
    parsed = jsonrpc.parse_line(line)
    if parsed.message is None:
        return parsed, None
    return parsed, SessionMessage(types.jsonrpc_message_adapter.validate_python(parsed.message, by_name=False))


async def _drain_on_signal(lifespan: Lifespan, serving: anyio.CancelScope) -> None:
    # asyncio has no signals on Windows; there Ctrl+C ends the loop
    numbers = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGINT)
    with anyio.open_signal_receiver(*numbers) as signals:
        async for _signal in signals:
            lifespan.drain()
            await lifespan.wait_for_calls()
            serving.cancel()

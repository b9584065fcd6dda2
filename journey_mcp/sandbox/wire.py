"""Sending of responses, including ways that a well-behaved web server avoids."""

import asyncio
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from journey_mcp.sandbox.clock import Clock, wait_until
from journey_mcp.sandbox.responses import HttpResponse


class TooLargeError(Exception):
    """A request body exceeds the service's limit."""


class OpenConnection(H11Protocol):
    """uvicorn's HTTP connection, which also exposes its transport to the application.

    Without it no ASGI application can close a connection before or during a response.
    """

    is_refused = False
    """The server was closed before the connection was made."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Store the transport where requests of this connection find it: `scope["state"]`."""
        super().connection_made(transport)
        if self.is_refused:
            transport.abort()
        self.app_state = {**self.app_state, "transport": transport}


class WireResponse(Response):
    """Sender of an HttpResponse, in the way that its `delivery` states."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.content, response.status, response.headers, response.media_type)
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, or the requested part of it."""
        delivery = self._response.delivery
        if delivery == "whole":
            await super().__call__(scope, receive, send)
            return
        if delivery == "none":
            await hang_up(scope, receive)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if delivery == "cut":
            await send(_part(self._response.content[: len(self._response.content) // 2], more=True))
            await hang_up(scope, receive)
            return
        for index in range(len(self._response.content)):
            await anyio.sleep(self._response.pace_s)
            await send(_part(self._response.content[index : index + 1], more=True))
        await send(_part(b"", more=False))


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Send what has been written, close the connection, and return when it is closed.

    Raises RuntimeError outside of `running`: only there the application has access to its connections.
    """
    transport = scope.get("state", {}).get("transport")
    if transport is None:
        raise RuntimeError("Only a sandbox started by running() can close a connection without a response.")
    transport.close()
    # uvicorn treats an earlier return as a missing response
    await _gone(receive)


def _part(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body of a request. Raises TooLargeError after reading all of it, so the client gets the response."""
    content, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= limit_bytes:
            content += part
    if size > limit_bytes:
        raise TooLargeError
    return bytes(content)


async def hold(request: Request, clock: Clock, *, until: float) -> None:
    """Wait until the clock has reached `until` or the client has disconnected."""
    if until <= clock():
        return
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_gone, request.receive, group.cancel_scope)
        await wait_until(clock, until)
        group.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    await _gone(receive)
    scope.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

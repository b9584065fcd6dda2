"""Putting an answer on the wire, also in ways that a well-behaved web server avoids."""

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
    """A request body of more than the service takes."""


class OpenConnection(H11Protocol):
    """uvicorn's HTTP connection, which also shows its transport to the application.

    Without that no ASGI application can end a connection in the middle of an answer, or before it.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Remember the transport where requests of this connection find it: `scope["state"]`."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class WireResponse(Response):
    """Sends an Answer the way it asks for."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.content, response.status, response.headers, response.media_type)
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or as much of it as is wanted."""
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
    """Send what is written so far, close the connection, and return when it is closed.

    Raises RuntimeError outside of `running`: only there does the application see its connections.
    """
    transport = scope.get("state", {}).get("transport")
    if transport is None:
        raise RuntimeError("Only a sandbox started by running() can end a connection without an answer.")
    transport.close()
    # uvicorn takes a return before this for an application that forgot to answer
    await _gone(receive)


def _part(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body of a request. Raises TooLargeError, having read all of it: the client hears the answer."""
    content, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= limit_bytes:
            content += part
    if size > limit_bytes:
        raise TooLargeError
    return bytes(content)


async def hold(request: Request, clock: Clock, *, until: float) -> None:
    """Return when the clock has reached `until`, or when the client has gone."""
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

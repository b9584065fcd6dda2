"""The limit on the tool calls and uploads of each principal in a minute."""

import json
import math

from mcp.shared.inbound import MCP_METHOD_HEADER
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.auth.identity import Identity
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.image_links import PATH as UPLOADS
from journey_mcp.server.auth.scopes import CALL
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.call_bodies import replayed
from journey_mcp.server.transports.responses import busy_response


class RateLimit:
    """ASGI middleware behind authentication and `CallBodies`: it refuses calls and uploads above the caller's limit.

    Other requests are not counted: clients of older revisions send several before their first call.
    """

    def __init__(self, app: ASGIApp, lifespan: Lifespan) -> None:
        self._app = app
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a tool call or an upload, and pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity: Identity = scope["state"]["identity"]
        limit = identity.calls_per_minute or self._lifespan.settings.calls_per_minute
        if limit is None:
            await self._app(scope, receive, send)
            return
        if scope["path"] == UPLOADS:  # its body is read later
            is_counted = True
        else:
            body = (await receive()).get("body", b"")  # in one piece, from `CallBodies`
            is_counted, receive = is_tool_call(Headers(scope=scope), body), replayed(body, receive)
        retry_after_s = await self._retry_after_s(identity, limit) if is_counted else None
        if retry_after_s is None:
            await self._app(scope, receive, send)
        else:
            problem = f"you have made {limit} calls in this minute, as many as you may; nothing was sent or charged"
            response = busy_response(429, problem, retry_after_s=math.ceil(retry_after_s))
            await response(scope, receive, send)

    async def _retry_after_s(self, identity: Identity, limit: int) -> float | None:
        try:
            studio = await self._lifespan.studio()
        except JourneyError:
            return None  # the call says what is wrong
        return await studio.call_rate.retry_after_s(identity.principal, limit)


def is_tool_call(headers: Headers, body: bytes) -> bool:
    """Return whether a request calls a tool: later revisions say so in a header, which spares the look at the body.

    That it calls none, a header cannot say: the SDK compares it with the body in later revisions only.
    """
    if headers.get(MCP_METHOD_HEADER) == CALL:
        return True
    try:
        message = json.loads(body)
    except ValueError:
        return False  # it is answered with an error
    return isinstance(message, dict) and message.get("method") == CALL

"""The bodies of calls over HTTP: read whole before anything is parsed, within limits on size, time and memory."""

from contextlib import AsyncExitStack

from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import JSONRPCResponse
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.image_links import PATH as UPLOADS
from journey_mcp.handshake.lines import MAX_BYTES, Overlong
from journey_mcp.server.transports import jsonrpc
from journey_mcp.server.transports.request_bodies import BodiesTooLargeError, RequestBodies
from journey_mcp.server.transports.responses import busy_response, error_response

BODY_TIMEOUT_S = 60.0
_MAX_TOTAL_BYTES = 256 * 1024 * 1024
"""The limit for all calls without a response; each is in memory a few times."""


def limits() -> RequestBodies:
    """Return the limits for the bodies of calls."""
    return RequestBodies(max_bytes=MAX_BYTES, max_total_bytes=_MAX_TOTAL_BYTES, timeout_s=BODY_TIMEOUT_S)


class CallBodies:
    """ASGI middleware that passes a call on with its whole body, or responds with an error; uploads read their own."""

    def __init__(self, app: ASGIApp, bodies: RequestBodies) -> None:
        self._app = app
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the body until the request has its response."""
        if scope["type"] != "http" or scope["path"] == UPLOADS:
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as held:
            received = await self._body_or_response(held, Headers(scope=scope), receive)
            if isinstance(received, bytes):
                await self._app(scope, replayed(received, receive), send)
            elif received is not None:
                await received(scope, receive, send)

    async def _body_or_response(
        self, held: AsyncExitStack, headers: Headers, receive: Receive
    ) -> bytes | Response | None:
        """Return the body, held until the stack closes; an error response; or `None` when the client is gone."""
        try:
            body = await held.enter_async_context(self._bodies.read(receive))
        except ClientDisconnect:
            return None
        except TimeoutError:
            return error_response(408, f"the body did not arrive within {BODY_TIMEOUT_S:g} s")
        except BodiesTooLargeError:
            return busy_response(503, "other calls fill the memory; try again in a moment")
        if isinstance(body, Overlong):
            return _too_large_response(body, headers)
        if problem := jsonrpc.structure_problem(body):
            return error_response(400, problem, code=jsonrpc.PARSE_ERROR)
        return body


def _too_large_response(body: Overlong, headers: Headers) -> Response:
    """Return a tool error for a tool call, because models read those; else an error of JSON-RPC."""
    members = jsonrpc.envelope_members(body)
    if members.get("method") != "tools/call" or "id" not in members:
        return error_response(413, jsonrpc.too_large_problem(), id_=members.get("id"))
    from journey_mcp.server.handlers import error_result  # noqa: PLC0415  # not before the first answer

    error = InvalidArguments(
        f"This call is too large: {jsonrpc.too_large_problem()}.",
        next_step="Give the image as a public URL or as the id of an earlier image, or make it smaller. Or the person "
        "sends its bytes with POST to /images of this server, which returns an id for them.",
    )
    # only images are so large, so the call was of one of the tools that take them
    result = error_result("imagine", error).model_dump(by_alias=True, mode="json", exclude_none=True)
    if headers.get(MCP_PROTOCOL_VERSION_HEADER) in MODERN_PROTOCOL_VERSIONS:
        result["resultType"] = "complete"
    answer = JSONRPCResponse(jsonrpc="2.0", id=members["id"], result=result)
    return Response(answer.model_dump_json(), media_type="application/json")


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body in one piece, and then what the client sends."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay

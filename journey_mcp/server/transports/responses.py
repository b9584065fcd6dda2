"""Responses before a call reaches the protocol: errors of JSON-RPC with a status of HTTP."""

from starlette.responses import Response

from journey_mcp.server.transports import jsonrpc


def error_response(status: int, problem: str, *, code: int = jsonrpc.INVALID_REQUEST, id_: object = None) -> Response:
    """Return an error; a repetition of the request has it again."""
    return Response(jsonrpc.error_line(code, problem, id_), status, media_type="application/json")


def busy_response(status: int, problem: str, *, retry_after_s: int = 1) -> Response:
    """Return an error that ends by itself; the header says when to try again."""
    response = error_response(status, problem, code=jsonrpc.INTERNAL_ERROR)
    response.headers["retry-after"] = str(retry_after_s)
    return response

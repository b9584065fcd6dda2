"""Authentication over HTTP: every request has an identity before its body is read, or gets an error."""

import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_NAME_HEADER, decode_header_value
from mcp_types import INVALID_REQUEST
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.auth.access import Access
from journey_mcp.auth.errors import CannotVerify, InvalidToken
from journey_mcp.auth.identity import Identity
from journey_mcp.auth.identity import Scope as Granted
from journey_mcp.auth.metadata import SUPPORTED, challenge
from journey_mcp.auth.tokens_file import PREFIX
from journey_mcp.server.auth.identity import LOCAL_IDENTITY
from journey_mcp.server.auth.scopes import missing_scope

_MAX_TOKEN = 16_384
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_IN_URLS = (PREFIX, "eyJ")
"""How tokens begin: those of a file, and JWTs."""

_log = logging.getLogger(__name__)


class Authentication:
    """ASGI middleware that puts the `Identity` of a request into its state, or responds with an error.

    It also answers for the metadata of the resource, which needs no token.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with an error or the metadata, or pass the request on with an identity."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = await identify(scope, self._access)
        if isinstance(found, Identity):
            await self._app(_with_identity(scope, found), receive, send)
        else:
            await found(scope, receive, send)


class Unauthenticated:
    """ASGI middleware of a server without authentication: every request is of the person at this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._app(_with_identity(scope, LOCAL_IDENTITY), receive, send)


def _with_identity(scope: Scope, identity: Identity) -> Scope:
    return {**scope, "state": {**scope.get("state", {}), "identity": identity}}


async def identify(scope: Scope, access: Access) -> Identity | Response:
    """Return who sends a request, or the response to it."""
    if metadata := _metadata(scope, access):
        return metadata
    headers = Headers(scope=scope)
    token = _token(scope["query_string"], headers, access)
    if isinstance(token, Response):
        return token
    try:
        identity = await access.identify(token)
    except InvalidToken as error:
        _log.info("a token was rejected: %s", error)
        return _refusal(401, SUPPORTED, access, error="invalid_token", because=str(error))
    except CannotVerify as error:
        return _error(503, str(error), {"retry-after": str(error.retry_after_s)})
    return _scope_refusal(headers, identity, access) or identity


def _metadata(scope: Scope, access: Access) -> Response | None:
    """Return the response if the metadata of the resource is asked for."""
    document = access.resource and access.resource.metadata_at(scope["path"])
    if document is None or scope["method"] not in {"GET", "HEAD"}:
        return None
    return Response(document, media_type="application/json", headers={"cache-control": "public, max-age=3600"})


def _token(query: bytes, headers: Headers, access: Access) -> str | Response:
    """Return the token of a request, or the response to a request without one."""
    if _has_token(query):
        because = "A token in the address is not accepted, because addresses are logged. Send it in the header."
        return _refusal(400, SUPPORTED, access, error="invalid_request", because=because)
    given = headers.getlist("authorization")
    if not given:
        return _refusal(401, SUPPORTED, access)
    match = _BEARER.fullmatch(given[0].strip()) if len(given) == 1 and len(given[0]) <= _MAX_TOKEN else None
    if match is None:
        because = "The header Authorization must be Bearer and one token."
        return _refusal(401, SUPPORTED, access, error="invalid_token", because=because)
    return match[1]


def _scope_refusal(headers: Headers, identity: Identity, access: Access) -> Response | None:
    """Return an error for a request whose headers say that the identity may not send it; the handler checks again."""
    method = headers.get(MCP_METHOD_HEADER)
    if method is None:
        return None
    missing = missing_scope(identity, method, decode_header_value(headers.get(MCP_NAME_HEADER)))
    if missing is None:
        return None
    return _refusal(403, [missing], access, error="insufficient_scope", because=f"The token lacks the scope {missing}.")


def _has_token(query: bytes) -> bool:
    if not query:
        return False
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name.lower() == "access_token" or value.startswith(_IN_URLS) for name, value in pairs)


def _refusal(
    status: int, scopes: Iterable[Granted], access: Access, *, error: str | None = None, because: str | None = None
) -> Response:
    problem = because or "This server needs a token, in the header Authorization: Bearer TOKEN."
    header = challenge(scopes, access.resource, error=error, because=because)
    return _error(status, problem, {"www-authenticate": header})


def _error(status: int, problem: str, headers: Mapping[str, str]) -> Response:
    """Return an error of JSON-RPC, since clients show its message."""
    return JSONResponse(
        {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": problem}},
        status,
        headers={"cache-control": "no-store", **headers},
    )

"""Stateless streamable HTTP for all revisions: as an event stream, or as JSON."""

import json
from contextvars import ContextVar
from typing import Any

from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import DEFAULT_NEGOTIATED_VERSION
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from journey_mcp.handshake.lines import MAX_BYTES
from journey_mcp.server.auth.scopes import CALL
from journey_mcp.server.finished_results import FinishedResults
from journey_mcp.server.transports.call_bodies import replayed

_is_json: ContextVar[bool] = ContextVar("is_json", default=False)
_LONGEST_FETCH = 4_000
"""The body of a call that may have a kept result, in bytes."""


class SessionManager(StreamableHTTPSessionManager):
    """The SDK's manager, which chooses the form of the response for each request.

    The SDK has one form for all requests. As JSON, a response has no progress, and a client that disconnects is not
    noticed; so a client that accepts both gets an event stream. In older revisions the SDK opens the stream before it
    handles the request, which takes a third of the whole time; so a result that is in memory is JSON.
    """

    def __init__(self, server: Server[Any], finished_results: FinishedResults) -> None:
        super().__init__(
            server,
            stateless=True,
            # the middleware before it checks both, with clearer errors
            max_request_body_size=MAX_BYTES,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        self._finished_results = finished_results

    @property
    def json_response(self) -> bool:
        """Whether the response to the current request is JSON."""
        return _is_json.get()

    @json_response.setter
    def json_response(self, value: bool) -> None:
        """Ignore the value that the parent's constructor sets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request: the endpoint as an ASGI application."""
        request = Request(scope)
        takes_json, takes_events = check_accept_headers(request)
        revision = request.headers.get(MCP_PROTOCOL_VERSION_HEADER, DEFAULT_NEGOTIATED_VERSION)
        is_json = takes_json and not takes_events
        if takes_json and takes_events and revision not in MODERN_PROTOCOL_VERSIONS:
            body = (await receive()).get("body", b"")  # in one piece, from `CallBodies`
            is_json, receive = self._has_result(scope, revision, body), replayed(body, receive)
        form = _is_json.set(is_json)
        try:
            await self.handle_request(scope, receive, send)
        finally:
            _is_json.reset(form)

    def _has_result(self, scope: Scope, revision: str, body: bytes) -> bool:
        """Return whether this is a call whose result is kept."""
        if len(body) > _LONGEST_FETCH or b'"fetch_task"' not in body:
            return False
        try:
            message = json.loads(body)
        except ValueError:
            return False  # it is answered with an error
        match message:
            case {"method": method, "params": dict(parameters)} if method == CALL:
                return self._finished_results.has(scope["state"]["identity"], revision, parameters)
        return False

"""Stateless streamable HTTP for all revisions: as an event stream, or as JSON for clients that take nothing else."""

from contextvars import ContextVar
from typing import Any

from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from journey_mcp.handshake.lines import MAX_BYTES

_takes_only_json: ContextVar[bool] = ContextVar("takes_only_json", default=False)


class SessionManager(StreamableHTTPSessionManager):
    """The SDK's manager, which chooses the form of the response by the `Accept` header of each request.

    The SDK has one form for all requests. As JSON, a response has no progress, and a client that disconnects is not
    noticed; so a client that accepts both gets an event stream.
    """

    def __init__(self, server: Server[Any]) -> None:
        super().__init__(
            server,
            stateless=True,
            # the middleware before it checks both, with clearer errors
            max_request_body_size=MAX_BYTES,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    @property
    def json_response(self) -> bool:
        """Whether the response to the current request is JSON."""
        return _takes_only_json.get()

    @json_response.setter
    def json_response(self, value: bool) -> None:
        """Ignore the value that the parent's constructor sets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request: the endpoint as an ASGI application."""
        takes_json, takes_events = check_accept_headers(Request(scope))
        form = _takes_only_json.set(takes_json and not takes_events)
        try:
            await self.handle_request(scope, receive, send)
        finally:
            _takes_only_json.reset(form)

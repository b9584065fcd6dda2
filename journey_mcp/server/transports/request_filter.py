"""The filter before `/mcp` over HTTP: only allowed hosts, and only pages of allowed origins."""

import logging

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.core.text import quoted
from journey_mcp.core.urls import LOOPBACK_HOSTS
from journey_mcp.server.transports.responses import error_response
from journey_mcp.settings.allowed_hosts import AllowedHosts
from journey_mcp.settings.allowed_origins import AllowedOrigins

_MAX_SHOWN = 100
_log = logging.getLogger(__name__)


class RequestFilter:
    """ASGI middleware that checks the host and the origin of a request (DNS rebinding)."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, origins: AllowedOrigins) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with an error, or pass the request on."""
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._hosts.allows(host):
            _log.warning("a request for host %s was rejected", quoted(host, _MAX_SHOWN))
            return error_response(
                421,
                f"the host {quoted(host, _MAX_SHOWN)} is not allowed; allowed are {_listed(self._hosts)}, an "
                "environment variable of the server",
            )
        if origin and not self._origins.allows(origin) and not self._hosts.allows_origin(origin):
            _log.warning("a request of a page from %s was rejected", quoted(origin, _MAX_SHOWN))
            named = ", ".join(self._origins.origins) or "none"
            return error_response(
                403,
                f"a page from {quoted(origin, _MAX_SHOWN)} is not allowed; allowed are {_listed(self._hosts)}, and the "
                f"origins in JOURNEY_MCP_ALLOWED_ORIGINS ({named}), environment variables of the server",
            )
        return None


def _listed(hosts: AllowedHosts) -> str:
    named = ", ".join(hosts.named) or "none"
    return f"{', '.join(LOOPBACK_HOSTS)} and the hosts in JOURNEY_MCP_ALLOWED_HOSTS ({named})"

"""The limit of requests that are handled at once over HTTP, event streams included."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.server.transports.responses import busy_response


class CallLimit:
    """ASGI middleware that refuses requests above the limit, and all new ones during the shutdown.

    Refused requests have changed nothing, so clients and proxies may repeat them, here or at another replica.
    """

    def __init__(self, app: ASGIApp, max_calls: int, is_draining: Callable[[], bool]) -> None:
        self._app = app
        self._max_calls = max_calls
        self._is_draining = is_draining
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request while it is handled."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._is_draining():
            response = busy_response(503, "this server is shutting down; try again in a moment")
            response.headers["connection"] = "close"
            await response(scope, receive, send)
        elif self._running >= self._max_calls:
            await busy_response(503, f"{self._max_calls:,} requests are being handled; try again in a moment")(
                scope, receive, send
            )
        else:
            self._running += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._running -= 1

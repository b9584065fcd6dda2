"""The limit of requests that are handled at once over HTTP, event streams included."""

from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.server.transports.responses import busy_response


class CallLimit:
    """ASGI middleware that refuses requests above the limit.

    They have changed nothing, so clients and proxies may repeat them, here or at another replica.
    """

    def __init__(self, app: ASGIApp, max_calls: int) -> None:
        self._app = app
        self._max_calls = max_calls
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request while it is handled."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
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

"""The requests that are being answered, and ending them all at once."""

import asyncio

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from journey_mcp.sandbox.wire import OpenConnection, hang_up


class Visits:
    """Makes uvicorn's connections for an application, and closes them when it has to stop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._scopes: set[anyio.CancelScope] = set()
        self._state = ServerState()
        self._config = Config(
            self._visit,
            http=OpenConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,
        )
        self._config.load()

    def connection(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return OpenConnection(self._config, self._state, app_state={})

    async def end(self) -> None:
        """Break off all answers, close all connections, and return when that is done."""
        for connection in self._state.connections:
            connection.transport.abort()
        for scope in self._scopes:
            scope.cancel()
        # connections learn of their end in the next turn of the loop
        await asyncio.sleep(0)
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)

    async def _visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as visit:
            self._scopes.add(visit)
            try:
                await self._app(scope, receive, send)
            finally:
                self._scopes.discard(visit)
        if visit.cancelled_caught:
            await hang_up(scope, receive)

"""The open connections, and closing them all at once."""

import asyncio
from weakref import WeakSet

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from journey_mcp.sandbox.events import Event, Observer, Point
from journey_mcp.sandbox.wire import OpenConnection, hang_up

_ACCEPTING_ITERATIONS = 5
"""From `accept` to the end of a connection that is aborted as soon as it is made."""


class Connections:
    """The factory of uvicorn's connections for an application, which also closes them at shutdown."""

    def __init__(self, app: ASGIApp, observer: Observer | None = None) -> None:
        self._app = _observed(app, observer) if observer else app
        self._observer = observer
        self._scopes: set[anyio.CancelScope] = set()
        self._state = ServerState()
        self._created: WeakSet[OpenConnection] = WeakSet()
        self._is_closed = False
        self._config = Config(
            self._serve,
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
        """Return the protocol of a new connection."""
        if self._observer:
            self._observer(Event(point="connected"))
        opened = OpenConnection(self._config, self._state, app_state={})
        opened.is_refused = self._is_closed
        self._created.add(opened)
        return opened

    def open(self) -> None:
        """Accept connections, also after `close`."""
        self._is_closed = False

    async def close(self) -> None:
        """Abort all responses, close all connections, and return when that is done."""
        self._is_closed = True
        for connection in self._created:
            # one that was just accepted is made in one of the next iterations of the loop
            connection.is_refused = True
            if connection.transport is not None:
                connection.transport.abort()
        for scope in self._scopes:
            scope.cancel()
        # connections notice their end in the next iteration of the loop, one that was just accepted after this many
        for _ in range(_ACCEPTING_ITERATIONS):
            await asyncio.sleep(0)
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as cancel_scope:
            self._scopes.add(cancel_scope)
            try:
                await self._app(scope, receive, send)
            finally:
                self._scopes.discard(cancel_scope)
        if cancel_scope.cancelled_caught:
            await hang_up(scope, receive)


def _observed(app: ASGIApp, observer: Observer) -> ASGIApp:
    """Return the same application; `observer` receives the events of each request from `headers` on."""

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        status: int | None = None
        has_body = False

        def notify(point: Point) -> None:
            observer(Event(point=point, method=scope["method"], path=scope["path"], status=status))

        async def observed_receive() -> Message:
            nonlocal has_body
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False) and not has_body:
                has_body = True
                notify("body")
            return message

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                notify("answering")
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                notify("answered")

        notify("headers")
        await app(scope, observed_receive, observed_send)

    return observed

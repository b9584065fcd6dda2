"""Running a sandbox in the current event loop, or as a command.

uvicorn's protocol handles HTTP, but its `Server` is not used: it installs signal handlers, ends the process if the
port is in use, and takes tenths of a second to stop, in every test.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from journey_mcp.sandbox.services import PATHS
from journey_mcp.sandbox.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from journey_mcp.sandbox.connections import Connections
    from journey_mcp.sandbox.journeyapi.fake import JourneyApi
    from journey_mcp.sandbox.service import Service
    from journey_mcp.sandbox.state import Sandbox


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running sandbox."""

    origin: str
    """Its address, as in http://127.0.0.1:8099."""
    sandbox: "Sandbox"
    """Its state: request log, faults, tasks."""
    journeyapi: "JourneyApi"
    """The account at JourneyAPI; its `credits` may be set."""
    services: "Mapping[str, Service[Any]]"
    """All accounts by service name; their `balance` may be set."""
    away: Callable[[], AbstractAsyncContextManager[None]]
    """Return a context in which connections are refused; open ones are aborted. The state is kept."""

    def host(self, content: bytes) -> str:
        """Host an image in memory; return its URL, which works until the sandbox ends or many more are hosted."""
        return f"{self.origin}/sandbox/images/{self.sandbox.hosted.add(content)}"

    @property
    def base_url(self) -> str:
        """The base URL of the fake JourneyAPI."""
        return self.base_urls["journeyapi"]

    @property
    def base_urls(self) -> Mapping[str, str]:
        """The base URLs of all fake services, by name."""
        return {name: f"{self.origin}{path}" for name, path in PATHS.items()}


def create_app(settings: Settings | None = None) -> "Starlette":
    """Return the sandbox as an application for any server that runs its lifespan.

    Faults that close connections work under `running` only.
    """
    from journey_mcp.sandbox.app import build  # noqa: PLC0415 - loads the web framework

    return build(settings or Settings())


@asynccontextmanager
async def running(
    settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Running]:
    """Serve a sandbox while the context lasts. Port 0 selects a free port.

    Raises OSError if the port is in use. At the end connections are closed without waiting for requests.
    """
    from journey_mcp.sandbox.connections import Connections  # noqa: PLC0415 - loads the web server

    settings = settings or Settings()
    app = create_app(settings)
    connections = Connections(app, settings.observer)
    listener = _Listener(connections)
    await listener.open(host, port)
    ready, stop = asyncio.Event(), asyncio.Event()
    # a separate task, because fixtures may be entered in one task and left in another
    lifespan = asyncio.create_task(_run_lifespan(app, ready, stop))
    try:
        await ready.wait()
        await listener.server.start_serving()
        yield Running(
            origin=_origin(listener.address),
            sandbox=app.state.sandbox,
            journeyapi=app.state.services["journeyapi"],
            services=app.state.services,
            away=listener.refuse_connections,
        )
    finally:
        await listener.close()
        stop.set()
        await lifespan


async def serve(
    settings: Settings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[Running], None],
) -> None:
    """Serve a sandbox until a signal (SIGINT, SIGTERM) arrives or the task is cancelled.

    Prints nothing; `on_ready` is called when the sandbox accepts requests.
    """
    async with running(settings, host=host, port=port) as sandbox:
        stop = asyncio.Event()
        with _called_on_signals(stop.set):
            on_ready(sandbox)
            await stop.wait()


@contextmanager
def _called_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    # asyncio on Windows has no signal handlers; there Ctrl+C cancels the task
    numbers = () if sys.platform == "win32" else (signal.SIGINT, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class _Listener:
    """The listening socket, which can refuse connections for a time."""

    server: asyncio.Server
    """Set by `open`."""

    def __init__(self, connections: "Connections") -> None:
        self._connections = connections

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; only while it is open."""
        host, port = self.server.sockets[0].getsockname()[:2]
        return host, port

    async def open(self, host: str, port: int) -> None:
        """Bind the port; connections before `start_serving` are refused."""
        self._connections.open()
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._connections.connection, host, port, start_serving=False)

    async def close(self) -> None:
        """Stop listening and abort all responses."""
        # asyncio (3.11) neither makes nor closes a connection whose server is closed between `accept` and the protocol
        with suppress(NotImplementedError):  # on Windows
            for listening in self.server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
        await self._connections.close()
        self.server.close()

    @asynccontextmanager
    async def refuse_connections(self) -> AsyncIterator[None]:
        """Refuse connections while the context lasts."""
        host, port = self.address
        with socket.socket(self.server.sockets[0].family) as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await self.close()
            # bound and not listening: connections are refused, and no other process gets the port
            reserved.bind((host, port))
            try:
                yield
            finally:
                await self.open(host, port)
                await self.server.start_serving()


async def _run_lifespan(app: "Starlette", ready: asyncio.Event, stop: asyncio.Event) -> None:
    async with app.router.lifespan_context(app):
        ready.set()
        await stop.wait()


def _origin(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

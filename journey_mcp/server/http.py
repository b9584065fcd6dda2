"""MCP over streamable HTTP, stateless, for clients on this machine."""

import asyncio
import gc
import ipaddress
import socket
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from journey_mcp.errors import SetupError
from journey_mcp.server import Backstage, StudioOpener, server_on
from journey_mcp.settings import Settings

if TYPE_CHECKING:
    import uvicorn

_ANSWERS_S = 2
"""How long calls and open streams may take to end once nothing is waited for."""


def serve(settings: Settings, host: str, port: int, opener: StudioOpener | None = None) -> None:
    """Serve `/mcp` until a signal asks to end; `opener` as for stdio.

    Raises:
        SetupError: the address is not on this machine, or is taken.
    """
    import uvicorn  # noqa: PLC0415  # only for HTTP

    check_loopback(host)
    gc.freeze()
    gc.enable()
    try:
        backstage = Backstage(settings, opener, is_local=False)
        config = uvicorn.Config(
            make_app(backstage, host),
            host=host,
            port=port,
            log_config=None,  # uvicorn's own would write requests to stdout
            access_log=False,
            timeout_graceful_shutdown=_ANSWERS_S,
        )
        with suppress(KeyboardInterrupt):  # it ends in order, and then passes the signal on
            _server_of(config, backstage).run()
    except SystemExit as error:
        raise SetupError(f"{host}:{port} cannot be served; is the port taken?") from error


def make_app(backstage: Backstage, host: str = "127.0.0.1") -> Starlette:
    """The ASGI application: one path, `/mcp`, in both eras of the protocol."""
    return server_on(backstage, is_eager=True).streamable_http_app(stateless_http=True, host=host)


def _server_of(config: "uvicorn.Config", backstage: Backstage) -> "uvicorn.Server":
    """A server that lets calls return before streams are cut, which its exit does at once; a second signal does not."""
    import uvicorn  # noqa: PLC0415  # only for HTTP

    class Server(uvicorn.Server):
        _ending: asyncio.Task[None] | None = None

        async def serve(self, sockets: list[socket.socket] | None = None) -> None:
            self._loop = asyncio.get_running_loop()
            await super().serve(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self._ending:
                super().handle_exit(sig, frame)
            else:
                self._loop.call_soon_threadsafe(self._end, sig)

        def _end(self, sig: int) -> None:
            self._ending = self._loop.create_task(self._end_in_order(sig))

        async def _end_in_order(self, sig: int) -> None:
            backstage.end()
            await backstage.answer_all()
            super().handle_exit(sig, None)

    return Server(config)


def check_loopback(host: str) -> None:
    """Refuse to listen to other machines while there is no authentication.

    Raises:
        SetupError: names the address and what is allowed.
    """
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise SetupError(
            f"--http {host}: without authentication only this machine may connect "
            "(allowed: 127.0.0.1, localhost, [::1]).",
        )

"""MCP over streamable HTTP, stateless, for clients on this machine."""

import gc
import ipaddress

from starlette.applications import Starlette

from journey_mcp.errors import SetupError
from journey_mcp.server import make_server
from journey_mcp.settings import Settings


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve `/mcp` until a signal asks to end.

    Raises:
        SetupError: the address is not on this machine, or is taken.
    """
    import uvicorn  # noqa: PLC0415  # only for HTTP

    check_loopback(host)
    gc.freeze()
    gc.enable()
    try:
        # log_config=None: uvicorn's own would write requests to stdout
        uvicorn.run(make_app(settings, host), host=host, port=port, log_config=None, access_log=False)
    except SystemExit as error:
        raise SetupError(f"{host}:{port} cannot be served; is the port taken?") from error


def make_app(settings: Settings, host: str = "127.0.0.1") -> Starlette:
    """The ASGI application: one path, `/mcp`, in both eras of the protocol."""
    return make_server(settings, is_eager=True, is_local=False).streamable_http_app(stateless_http=True, host=host)


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

"""The command `journey-mcp`. Without arguments it serves MCP on stdio, by the shortest way to a first answer."""

# ruff: noqa: E402, PLC0415  # the order of imports is this module's work: see below

import gc

# Importing makes many objects that stay: looking through them over and over costs a tenth of the start.
gc.disable()

import os
import sys

TYPE_CHECKING = False  # importing typing would take as long as all that comes before the first answer
if TYPE_CHECKING:
    from journey_mcp.server.lifespan import StudioOpener
    from journey_mcp.settings import Settings


def main() -> None:
    """Run the command line, or serve on stdio without one."""
    try:
        if sys.argv[1:] in ([], ["serve"]):
            sys.exit(_serve_stdio())
        _run_command()
    except KeyboardInterrupt:
        sys.exit(130)  # while it was still being imported: nothing had begun


def _run_command() -> None:
    from journey_mcp.cli import app

    app()


def _serve_stdio() -> int:
    from journey_mcp.handshake.front import Front

    front = Front(os.environ)
    front.start()
    from journey_mcp.server.transports import stdio

    return stdio.serve(front, _prepared)


def _prepared() -> "tuple[Settings, StudioOpener | None]":
    from journey_mcp.server.app import check
    from journey_mcp.startup import ready_settings

    settings = ready_settings()
    check(settings)
    return settings, None


if __name__ == "__main__":
    main()

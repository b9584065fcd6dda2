"""The command `journey-mcp`. Without arguments it serves MCP on stdio, by the shortest way to a first answer."""

# ruff: noqa: E402, PLC0415  # the order of imports is this module's work: see below

import gc

# Importing makes many objects that stay: looking through them over and over costs a tenth of the start.
gc.disable()

import os
import sys


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
    from journey_mcp.startup import checked_settings

    return stdio.serve(front, lambda: (checked_settings(), None))


if __name__ == "__main__":
    main()

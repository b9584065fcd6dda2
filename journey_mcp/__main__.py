"""The command `journey-mcp`. Without arguments it serves MCP on stdio, with few imports before the first response."""

# ruff: noqa: E402, PLC0415  # the order of imports matters here: see below

import gc

# Imports create many objects that stay: collecting them repeatedly takes a tenth of the startup.
# The transports and cli/event_loop.py turn the collector on again.
gc.disable()

import os
import sys

_COMPLETION = "_JOURNEY_MCP_COMPLETE"
"""Set by a shell that asks for completions, without arguments."""


def main() -> None:
    """Run a command, or serve on stdio if there is none."""
    try:
        if sys.argv[1:] in ([], ["serve"]) and _COMPLETION not in os.environ:
            sys.exit(_serve_stdio())
        _run_command()
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C during the imports: nothing has started


def _run_command() -> None:
    from journey_mcp.cli import app

    if _COMPLETION in os.environ:
        from journey_mcp.cli.completion import prepare

        prepare()
    app()


def _serve_stdio() -> int:
    from journey_mcp.handshake.client_connection import ClientConnection

    client = ClientConnection(os.environ)
    client.start()
    from journey_mcp.server.transports import stdio
    from journey_mcp.startup import checked_settings

    return stdio.serve(client, lambda: (checked_settings(), None))


if __name__ == "__main__":
    main()

"""The command `journey-mcp`. Without arguments it serves MCP on stdio, by the shortest way to a first answer."""

# ruff: noqa: E402, PLC0415  # the order of imports is this module's work: see below

import gc

# Importing makes many objects that stay: looking through them over and over costs a tenth of the start.
gc.disable()

import logging
import os
import sys

from journey_mcp.errors import SetupError


def main() -> None:
    """Run the command line; a setup that cannot work ends it with one line and exit code 2."""
    try:
        if len(sys.argv) > 1:
            _run_command()
        else:
            _serve_stdio()
    except SetupError as error:
        step = f" {error.failure.next_step}" if error.failure.next_step else ""
        sys.stderr.write(f"journey-mcp: {error}{step}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)  # while it was still being imported: nothing had begun


def _run_command() -> None:
    gc.enable()
    from journey_mcp.cli import app

    app()


def _serve_stdio() -> None:
    from journey_mcp import logs
    from journey_mcp.server import check, stdio
    from journey_mcp.settings import misspelled, read_settings

    settings = read_settings(os.environ)
    logs.set_up(settings.log_level, settings.secrets)
    for name in misspelled(os.environ):
        logging.getLogger("journey_mcp").warning("%s is not a setting of journey-mcp", name)
    check(settings)
    stdio.serve(settings)


if __name__ == "__main__":
    main()

"""A session with an installed server: `python -m installed.session COMMAND ...` for any command that starts it."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import anyio
from mcp import Client, StdioServerParameters, stdio_client

from journey_mcp import __version__
from journey_mcp.settings import read_settings, variables
from journey_mcp.tools.tool_set import read_tool_set

_TIMEOUT_S = 300.0
"""Of a whole session: uv may have to download everything first."""


def without_settings() -> dict[str, str]:
    """Return the environment without the keys and settings of the developer."""
    return {name: value for name, value in os.environ.items() if name not in variables()}


async def converse(command: Sequence[str], environment: dict[str, str]) -> None:
    """Start a server without a key, list its tools, and make an image in the sandbox.

    Raises:
        AssertionError: the server is not the one of this checkout, or there is no image.
    """
    parameters = StdioServerParameters(command=command[0], args=list(command[1:]), env=environment)
    with anyio.fail_after(_TIMEOUT_S):
        async with Client(stdio_client(parameters)) as client:
            assert client.server_info is not None
            assert client.server_info.version == __version__, client.server_info
            offered = [tool.name for tool in (await client.list_tools()).tools]
            assert offered == [tool["name"] for tool in read_tool_set(read_settings({})).tools], offered
            result = await client.call_tool("imagine", {"prompt": "a lighthouse at dusk", "wait_s": 60})
            made: Any = result.structured_content
            assert made["status"] == "succeeded", result.content


if __name__ == "__main__":
    anyio.run(converse, sys.argv[1:], without_settings())
    sys.stdout.write(f"{sys.argv[1]}: the server answers, lists its tools, and makes an image in the sandbox\n")

"""Whole sessions with a server process."""

import os
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from support import environment_for

from journey_mcp import __version__

ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


@pytest.mark.parametrize("mode", ERAS)
async def test_a_session_with_a_real_process_over_stdio(mode: str, tmp_path: Path) -> None:
    """Without a key: the sandbox inside the process makes the pictures and says so."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "journey_mcp"],
        env={**os.environ, **environment_for("", tmp_path, JOURNEYAPI_API_KEY="", JOURNEYAPI_BASE_URL="")},
    )
    async with Client(stdio_client(parameters), mode=mode) as client:
        assert client.protocol_version == ERAS[mode]
        assert client.server_info is not None
        assert client.server_info.version == __version__
        result = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
        assert result.structured_content is not None
        task = result.structured_content
        assert (task["provider"], task["status"]) == ("sandbox", "succeeded")
        assert any("JOURNEYAPI_API_KEY" in notice for notice in task["notices"])

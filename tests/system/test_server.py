"""Complete sessions with a server process."""

import os
import socket
import sys
from pathlib import Path

import httpx2
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from processes import TIMEOUT_S, server_process
from support import environment_for, free_port, until_listening

from journey_mcp import __version__

ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


async def test_localhost_is_served_at_both_addresses(tmp_path: Path) -> None:
    """Clients try either first; if a machine has only one, that one is served."""
    port = free_port()
    with server_process(environment_for("http://127.0.0.1:9", tmp_path), "serve", "--http", f"localhost:{port}"):
        await until_listening(port)
        addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            for address in addresses:
                answer = await http.post(f"http://{address}:{port}/other", timeout=TIMEOUT_S)
                assert answer.status_code == 404


def has_ipv6() -> bool:
    """Return whether this machine has an IPv6 loopback address."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("mode", ERAS)
async def test_a_session_with_a_real_process_over_stdio(mode: str, tmp_path: Path) -> None:
    """Without a key, the sandbox inside the process makes the images and a notice says so."""
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

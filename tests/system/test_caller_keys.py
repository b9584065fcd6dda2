"""A caller's provider key in real processes: it survives a SIGKILL sealed, and shows nowhere."""

import sys
from pathlib import Path

import httpx2
import pytest
from processes import ServerProcess, in_thread, server_process
from server.auth.served import Served
from support import coarse, environment_for, free_port

from journey_mcp import sandbox
from journey_mcp.sandbox import JourneyApiSettings
from system.test_http_shutdown import ready

OWN = "own-key-of-ada-0123456789"


def shown_by(server: ServerProcess) -> bytes:
    """Return what the system shows of a process to others: its arguments and its environment."""
    return b"".join(Path(f"/proc/{server.process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_killed_server_goes_on_with_a_callers_key(tmp_path: Path) -> None:
    """The provider accepts no other key, and the second server gets none in a header."""
    fake = JourneyApiSettings(keys=(OWN,))
    async with sandbox.running(coarse(speed=10, journeyapi=fake)) as upstream:
        port = free_port()
        served = Served(f"http://127.0.0.1:{port}", upstream)
        more = {"JOURNEY_MCP_CALLER_KEYS": "on", "JOURNEY_MCP_SECRET": "s" * 40, "JOURNEY_MCP_LOG_LEVEL": "debug"}
        environment = environment_for(upstream.base_url, tmp_path, **more)
        with server_process(environment, "serve", "--port", str(port)) as first:
            await ready(port)
            arguments = {"prompt": "a kite", "model": "midjourney", "wait_s": 0}
            params = {"name": "imagine", "arguments": arguments}
            made = await served.send(None, "tools/call", params, x_journey_key_journeyapi=OWN)
            assert made.structured["status"] == "running"
            seen = shown_by(first)
            first.process.kill()
            _, log = await in_thread(first.close)
        with server_process(environment, "serve", "--port", str(port)) as second:
            await ready(port)
            task_ids = [made.structured["task_id"]]
            (found,) = (await served.call(None, "fetch_task", task_ids=task_ids, wait_s=60)).structured["tasks"]
            assert found["status"] == "succeeded"
            async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
                metrics = (await http.get(f"{served.address}/metrics")).content
            seen += shown_by(second) + metrics
            second.process.terminate()
            _, more_log = await in_thread(second.close)
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert "is taken over" in more_log
    for text in (seen, stored, log.encode(), more_log.encode()):
        assert OWN.encode() not in text
        assert text

"""The queue of a server process that is killed."""

from pathlib import Path

from processes import in_thread, process, server_process
from support import coarse, environment_for

from journey_mcp import sandbox


async def test_a_queued_task_of_a_killed_server_ends_free_at_the_next_server(tmp_path: Path) -> None:
    """Nothing was sent for it; the running task continues."""
    seconds = 0.0
    async with sandbox.running(coarse(speed=1, clock=lambda: seconds)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path, JOURNEY_MCP_MAX_CONCURRENT="1")
        with server_process(environment) as first_server:
            first = await in_thread(first_server.call, "imagine", prompt="a kite", wait_s=0)
            second = await in_thread(first_server.call, "imagine", prompt="a boat", wait_s=0)
            assert (first["status"], second["status"]) == ("running", "queued")
            first_server.kill()
        seconds = 90.0  # the first task is finished now, and not before
        async with process(environment) as second_server:
            ids = [first["task_id"], second["task_id"]]
            result = await second_server.call_tool("fetch_task", {"task_ids": ids, "wait_s": 60})
            assert result.structured_content is not None
            kite, boat = result.structured_content["tasks"]
            assert (kite["status"], boat["error"]["code"]) == ("succeeded", "not_submitted")
            assert "cost" not in boat
        assert upstream.sandbox.request_log.requests["imagine"] == 1

"""The queue of a server process that is killed."""

from pathlib import Path

from processes import in_thread, process, server_process
from support import environment_for

from journey_mcp import sandbox


async def test_who_waits_in_a_killed_server_ends_free_at_the_next(tmp_path: Path) -> None:
    """Nothing was sent for it; what was running goes on."""
    seconds = 0.0
    async with sandbox.running(sandbox.Settings(speed=1, clock=lambda: seconds)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path, JOURNEY_MCP_MAX_CONCURRENT="1")
        with server_process(environment) as doomed:
            first = await in_thread(doomed.call, "imagine", prompt="a kite", wait_s=0)
            second = await in_thread(doomed.call, "imagine", prompt="a boat", wait_s=0)
            assert (first["status"], second["status"]) == ("running", "queued")
            doomed.kill()
        seconds = 90.0  # the first one is finished now, and not before
        async with process(environment) as next_one:
            ids = [first["task_id"], second["task_id"]]
            result = await next_one.call_tool("fetch_task", {"task_ids": ids, "wait_s": 60})
            assert result.structured_content is not None
            kite, boat = result.structured_content["tasks"]
            assert (kite["status"], boat["error"]["code"]) == ("succeeded", "not_submitted")
            assert "cost" not in boat
        assert upstream.sandbox.request_log.requests["imagine"] == 1

"""Server processes on one PostgreSQL database."""

from pathlib import Path

from processes import in_thread, server_process, until_created
from support import environment_for

from journey_mcp import sandbox


async def test_a_server_finishes_what_a_killed_one_has_sent(url: str, tmp_path: Path) -> None:
    """Each has a data folder of its own; the task, what was spent and the listing are those of the database."""
    async with sandbox.running(sandbox.Settings(speed=200, seed=7)) as upstream:
        first, second = (
            environment_for(upstream.base_url, tmp_path / name, JOURNEY_MCP_DATABASE_URL=url)
            for name in ("first", "second")
        )
        with server_process(first) as server, server_process(second) as other:
            made = await in_thread(server.call, "imagine", prompt="a kite", model="midjourney", wait_s=0)
            await until_created(upstream)
            await in_thread(server.kill)
            (task,) = (await in_thread(other.call, "fetch_task", task_ids=[made["task_id"]], wait_s=60))["tasks"]
            assert task["status"] == "succeeded"
            listed = await in_thread(other.call, "fetch_task")
            assert [one["task_id"] for one in listed["tasks"]] == [made["task_id"]]
        assert len(upstream.sandbox.request_log.submissions) == 1

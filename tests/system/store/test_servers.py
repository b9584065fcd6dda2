"""Server processes on one PostgreSQL database."""

from pathlib import Path

import pytest
from processes import in_thread, server_process, until_created
from support import environment_for

from journey_mcp import sandbox
from journey_mcp.settings import read_settings
from journey_mcp.studio import open_studio


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_server_says_what_it_does_not_share(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_whole: bool
) -> None:
    """Without an object store and a secret, other servers on the database read neither its images nor its links."""
    whole = {"JOURNEY_MCP_STORE": "s3://bucket/prefix?region=us-east-1", "JOURNEY_MCP_SECRET": "s" * 32}
    more = {
        "JOURNEY_MCP_DATABASE_URL": url,
        "JOURNEY_MCP_SERVER_URL": "https://mcp.test",
        **(whole if is_whole else {}),
    }
    settings = read_settings(environment_for("http://127.0.0.1:9", tmp_path, **more)).over_http()
    async with open_studio(settings):
        pass
    for name in whole:
        assert (f"{name} is not set" in caplog.text) is not is_whole


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

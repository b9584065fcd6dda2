"""Results of finished tasks are made once, as long as nothing can change them."""

from dataclasses import replace
from pathlib import Path

import mcp_types as types
import pytest
from store.examples import TASK
from support import client_of, settings_for

from journey_mcp import sandbox
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.server.finished_results import FinishedResults

IMAGE = OutputImage(url="https://images.test/a.png")
ENDED = replace(TASK, status=Status.SUCCEEDED, images=(IMAGE,))
RESULT = types.CallToolResult(content=[])


def test_a_result_belongs_to_a_task_in_memory() -> None:
    """One that was read again may be another one."""
    results = FinishedResults()
    results.add(ENDED, RESULT)
    assert results.get(ENDED) is RESULT
    assert results.get(replace(ENDED)) is None


@pytest.mark.parametrize(
    "task",
    [
        replace(ENDED, status=Status.RUNNING),
        replace(ENDED, provider=SANDBOX),
        replace(ENDED, images=(IMAGE, replace(IMAGE, expires_at=200.0))),
        replace(ENDED, images=(replace(IMAGE, path="/a.png"),)),
    ],
    ids=["running", "sandbox", "link expires", "copy"],
)
def test_what_time_or_files_can_change_is_not_kept(task: Task) -> None:
    """It is rendered for each call."""
    results = FinishedResults()
    results.add(task, RESULT)
    assert results.get(task) is None


def test_the_oldest_of_a_thousand_results_is_replaced() -> None:
    """Memory is bounded."""
    results, tasks = FinishedResults(), [replace(ENDED, id=f"tsk_{number}") for number in range(1001)]
    for task in tasks:
        results.add(task, RESULT)
    assert [results.get(task) is RESULT for task in (tasks[0], tasks[1], tasks[-1])] == [False, True, True]


async def test_a_client_gets_the_same_result_again(tmp_path: Path) -> None:
    """Also with a second id, or by the id of an image, where it is made anew."""
    async with (
        sandbox.running(sandbox.Settings(speed=0)) as upstream,
        client_of(settings_for(upstream.base_url, tmp_path), is_local=False) as client,
    ):
        made = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
        task_id = (made.structured_content or {})["task_id"]
        ids = ([task_id], [task_id], [task_id], [task_id, "tsk_unknown"], [f"{task_id}.1"])
        found = [await client.call_tool("fetch_task", {"task_ids": id_}) for id_ in ids]
    tasks = [(one.structured_content or {})["tasks"][0] for one in found]
    assert tasks == [tasks[0]] * len(ids)
    assert tasks[0]["images"] == (made.structured_content or {})["images"]
    assert found[0].content == found[2].content

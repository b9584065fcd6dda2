"""The first result of finished tasks: it has the paths of the copies that are there in time."""

from itertools import product
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from manual_clock import ManualClock
from support import client_at, make_environment

from server.test_previews import KITE, MODES, connected, kinds

SLOW = "image:delay=2,times=always"


def paths_of(result: types.CallToolResult) -> list[str | None]:
    """Return the path of each image of a result."""
    return [image.get("path") for image in (result.structured_content or {})["images"]]


async def seconds_of_a_call(folder: Path, name: str, *faults: str, **more: Any) -> tuple[types.CallToolResult, float]:
    """Return a result, and how long it took."""
    clock = ManualClock()
    async with connected(folder, name=name, faults=faults, **more) as client:
        began = clock.elapsed()
        result = await client.call_tool("imagine", KITE)
        return result, clock.elapsed() - began


async def test_the_first_result_has_the_paths_of_its_copies(tmp_path: Path) -> None:
    """Of all candidates, with and without a preview, and in the text too."""
    async with make_environment(tmp_path) as here:
        for name, mode in product(["mcp", "claude-code"], MODES):
            host = types.Implementation(name=name, version="1")
            async with client_at(here.studio, mode, client_info=host) as client:
                made = await client.call_tool("imagine", {**KITE, "model": "midjourney", "fresh": True})
                assert made.structured_content is not None
                files = (tmp_path / "pictures").glob(f"{made.structured_content['task_id']}.*")
                assert sorted(map(str, paths_of(made))) == sorted(map(str, files)), (name, mode)
                assert isinstance(made.content[0], types.TextContent)
                assert all(f"(copy: {path})" in made.content[0].text for path in paths_of(made))


async def test_the_fetch_that_first_sees_a_task_finished_has_the_paths(tmp_path: Path) -> None:
    """As the call that made it would have."""
    async with connected(tmp_path, name="mcp", speed=1) as client:
        started = (await client.call_tool("imagine", {**KITE, "wait_s": 0})).structured_content or {}
        fetched = await client.call_tool("fetch_task", {"task_ids": [started["task_id"]], "wait_s": 300})
        (image,) = (fetched.structured_content or {})["tasks"][0]["images"]
        assert Path(image["path"]).parent == tmp_path / "pictures"


@pytest.mark.parametrize("name", ["mcp", "claude-code"])
async def test_copy_and_preview_together_delay_a_result_by_300_ms_at_most(tmp_path: Path, name: str) -> None:
    """A slow download is continued, and later results have the path."""
    _, usual_s = await seconds_of_a_call(
        tmp_path / "off", name, JOURNEY_MCP_KEEP_IMAGES="off", JOURNEY_MCP_PREVIEW="off"
    )
    result, slow_s = await seconds_of_a_call(tmp_path / "slow", name, SLOW)
    assert (paths_of(result), kinds(result)) == ([None], ["text"])
    assert slow_s - usual_s == pytest.approx(0.3, abs=0.01)


async def test_nothing_is_waited_for_where_nothing_is_copied(tmp_path: Path) -> None:
    """Neither with the setting off, nor for images whose links expire soon, which have their copies by then."""
    seconds = []
    for number, fault in enumerate((SLOW, "image:delay=0")):
        folder = tmp_path / str(number)
        result, needed_s = await seconds_of_a_call(folder, "mcp", fault, JOURNEY_MCP_KEEP_IMAGES="off")
        assert paths_of(result) == [None]
        seconds.append(needed_s)
    assert seconds[0] == pytest.approx(seconds[1], abs=0.01)

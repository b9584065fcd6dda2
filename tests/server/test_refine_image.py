"""The tool `refine_image` through an in-memory client: results, errors, confirmation, progress and the extension."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import mcp_types as types
import pytest
from mcp import Client
from support import client_of, coarse, settings_for
from tasks_client import Tasks, begin, wait_for_status

from journey_mcp import sandbox


@asynccontextmanager
async def session(
    folder: Path, *faults: str, mode: str = "auto", client_options: dict[str, Any] | None = None, **more: str
) -> AsyncIterator[tuple[Client, sandbox.Running]]:
    """Connect a client in memory; its server has a manual clock and a sandbox. `more` are settings."""
    parsed = tuple(sandbox.Fault.parse(fault) for fault in faults)
    async with (
        sandbox.running(coarse(speed=0, seed=7, faults=parsed)) as upstream,
        client_of(settings_for(upstream.base_url, folder, **more), mode, **(client_options or {})) as client,
    ):
        yield client, upstream


async def grid(client: Client) -> str:
    """Make four images, and return the id of the task."""
    made = await client.call_tool("imagine", {"prompt": "a red kite over the dunes", "wait_s": 300})
    assert made.structured_content is not None
    return str(made.structured_content["task_id"])


def text_of(result: types.CallToolResult) -> str:
    """Return the text of a result."""
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_image_is_refined(tmp_path: Path, mode: str) -> None:
    """The result names the action and the image, as object and as text, and conforms to the schema."""
    async with session(tmp_path, mode=mode) as (client, _):
        first = await grid(client)
        result = await client.call_tool("refine_image", {"image": f"{first}.2", "action": "Vary", "wait_s": 300})
        plain = result.structured_content
        assert plain is not None
        assert not result.is_error
        assert (plain["action"], plain["parent"], plain["model"]) == ("vary", f"{first}.2", "midjourney")
        assert (plain["status"], len(plain["images"]), plain["cost"]["amount"]) == ("succeeded", 4, "4")
        assert f"succeeded, 100.0% done (vary of {first}.2, midjourney at journeyapi)" in text_of(result)
        (tool,) = [one for one in (await client.list_tools()).tools if one.name == "refine_image"]
        assert tool.output_schema is not None
        jsonschema_rs.validator_for(tool.output_schema).validate(plain)
        fetched = await client.call_tool("fetch_task", {"task_ids": [plain["task_id"]]})
        assert fetched.structured_content is not None
        (task,) = fetched.structured_content["tasks"]
        assert (task["action"], task["parent"], task["prompt"]) == ("vary", f"{first}.2", "a red kite over the dunes")


async def test_an_upscale_of_a_url_has_no_parent(tmp_path: Path) -> None:
    """Its model is the action."""
    async with session(tmp_path) as (client, _):
        url = "https://images.example.com/a.png"
        result = await client.call_tool("refine_image", {"image": url, "action": "upscale_2x", "wait_s": 0})
        plain = result.structured_content
        assert plain is not None
        assert (plain["action"], plain["model"], "parent" in plain) == ("upscale_2x", "upscale_2x", False)
        assert "(upscale_2x at journeyapi)" in text_of(result)


WRONG_CALLS = [
    ({"image": "ID.2", "action": "upscale"}, "unknown_action", "Did you mean upscale_2x"),
    ({"image": "ID.2", "action": "pan_left"}, "action_required", "single costs 2 credits"),
    ({"image": "ID.9", "action": "vary"}, "unknown_image", "has no image 9"),
    ({"image": "https://images.example.com/a.png", "action": "vary"}, "image_not_refinable", "made here"),
    ({"image": "ID.2", "action": "vary", "prompt": "x"}, "unsupported_option", "would ignore prompt"),
    ({"image": "ID.2"}, "invalid_arguments", "action is missing"),
    ({"action": "vary"}, "invalid_arguments", "image is missing"),
    ({"image": "ID.2", "action": "vary", "model": "x"}, "invalid_arguments", "there is no argument model"),
]
"""The arguments, the code of the error, and a part of its message."""


async def test_an_error_lets_a_model_correct_its_call(tmp_path: Path) -> None:
    """Code, message, next step; nothing was sent."""
    async with session(tmp_path) as (client, upstream):
        first = await grid(client)
        for arguments, code, says in WRONG_CALLS:
            given = {name: value.replace("ID", first) for name, value in arguments.items()}
            result = await client.call_tool("refine_image", given)
            plain = result.structured_content
            assert plain is not None
            assert result.is_error, says
            assert plain["error"]["code"] == code
            assert says in plain["error"]["message"]
            assert plain["next_step"], says
            assert len(upstream.sandbox.request_log.submissions) == 1, says


async def test_a_duplicate_call_returns_the_running_task(tmp_path: Path) -> None:
    """Also when the first one was not waited for."""
    async with session(tmp_path, "submit:hang,after=1") as (client, upstream):
        call = {"image": f"{await grid(client)}.2", "action": "vary", "wait_s": 1}
        one, other = [await client.call_tool("refine_image", call) for _ in range(2)]
        assert one.structured_content is not None
        assert other.structured_content is not None
        assert one.structured_content["task_id"] == other.structured_content["task_id"]
        assert "Identical request" in other.structured_content["notices"][0]
        assert len(upstream.sandbox.request_log.submissions) == 2


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_person_confirms_the_cost(tmp_path: Path, mode: str) -> None:
    """The question names the action."""
    asked: list[str] = []

    async def answer(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"agree": True})

    options = {"elicitation_callback": answer}
    async with session(tmp_path, mode=mode, client_options=options, JOURNEY_MCP_CONFIRM_ABOVE="3credits") as (
        client,
        _,
    ):
        first = await grid(client)
        result = await client.call_tool("refine_image", {"image": f"{first}.2", "action": "vary", "wait_s": 300})
        assert not result.is_error
        assert asked[-1] == "Make an image with vary (midjourney) at journeyapi for about 4 credits?"


async def test_a_client_with_the_tasks_extension_gets_a_task(tmp_path: Path) -> None:
    """As soon as it is stored; it ends with what the tool would have returned."""
    async with session(tmp_path, client_options={"extensions": [Tasks()]}) as (client, _):
        first = await begin(client, "imagine", prompt="a kite")
        made = await wait_for_status(client, first.task_id, "completed")
        assert made.result is not None
        image = made.result["structuredContent"]["images"][1]["id"]
        handle = await begin(client, "refine_image", image=image, action="vary")
        done = await wait_for_status(client, handle.task_id, "completed")
        assert done.result is not None
        assert done.result["structuredContent"]["parent"] == image

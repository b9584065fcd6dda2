"""Whole sessions of a real MCP client in memory, with and without the handshake."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import jsonschema_rs
import pytest
from manual_clock import until
from mcp import Client, MCPError
from studio.test_inputs import data_uri, image_bytes
from support import client_of, coarse, database_away, settings_for

from journey_mcp import sandbox
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.settings import Settings, read_settings
from journey_mcp.studio import Studio, open_studio
from journey_mcp.tools.tool_set import read_tool_set

REVISIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


@asynccontextmanager
async def session(mode: str, folder: Path, *faults: str, **more: Any) -> AsyncIterator[tuple[Client, sandbox.Running]]:
    """Connect a client in memory; its server has a manual clock and a sandbox."""
    parsed = tuple(sandbox.Fault.parse(fault) for fault in faults)
    async with (
        sandbox.running(coarse(speed=0, seed=7, faults=parsed)) as upstream,
        client_of(settings_for(upstream.base_url, folder, **more), mode) as client,
    ):
        yield client, upstream


async def check_schema(client: Client, tool: str, structured: Any) -> None:
    """Check that a result conforms to the output schema."""
    schema = next(t.output_schema for t in (await client.list_tools()).tools if t.name == tool)
    assert schema is not None
    jsonschema_rs.validator_for(schema).validate(structured)


IN_WORDS = {"registry": "list price", "provider": "reported by the provider"}
"""The source of a cost, as the text has it."""


def facts(value: Any) -> list[str]:
    """Return every fact of a structured result, as the text has it."""
    if isinstance(value, dict):
        inner = {**value, "source": IN_WORDS[value["source"]]} if "source" in value else value
        return [fact for key, part in inner.items() if key != "retryable" for fact in facts(part)]
    if isinstance(value, list):
        return [fact for inner in value for fact in facts(inner)]
    if isinstance(value, float):
        return [f"{value * 100:.1f}" if value <= 1 else f"{value:g}"]
    return [str(value)]


@pytest.mark.parametrize("mode", REVISIONS)
async def test_a_whole_session(mode: str, tmp_path: Path) -> None:
    """List, imagine, edit by id, fetch: structured content and text have the same facts, and conform."""
    async with session(mode, tmp_path) as (client, upstream):
        assert client.protocol_version == REVISIONS[mode]
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            "imagine",
            "edit_image",
            "refine_image",
            "fetch_task",
            "cancel_task",
            "view_image",
            "keep_image",
        ]
        made = await client.call_tool("imagine", {"prompt": "a red kite over the dunes", "wait_s": 300})
        assert not made.is_error
        first = made.structured_content
        assert first is not None
        assert (first["model"], first["status"], first["progress"], len(first["images"])) == (
            "midjourney",
            "succeeded",
            1.0,
            4,
        )
        assert first["cost"] == {"amount": "4", "unit": "credits", "source": "registry"}
        edited = await client.call_tool(
            "edit_image", {"prompt": "make the kite blue", "image": first["images"][1]["id"], "wait_s": 300}
        )
        second = edited.structured_content
        assert second is not None
        assert (second["model"], second["status"]) == ("flux-kontext-pro", "succeeded")
        fetched = await client.call_tool("fetch_task", {"task_ids": [second["task_id"], first["task_id"]]})
        assert fetched.structured_content is not None
        assert [task["task_id"] for task in fetched.structured_content["tasks"]] == [
            second["task_id"],
            first["task_id"],
        ]
        listed = await client.call_tool("fetch_task", {})
        for tool, result in (
            ("imagine", made),
            ("edit_image", edited),
            ("fetch_task", fetched),
            ("fetch_task", listed),
        ):
            await check_schema(client, tool, result.structured_content)
            # nothing but text: the SDKs of Anthropic and adapters of LangChain fail on a `resource_link`
            (text,) = result.content
            assert text.type == "text"
            for fact in facts(result.structured_content):
                assert fact in text.text
            tasks = (result.structured_content or {}).get("tasks", [result.structured_content])
            assert {image["mime_type"] for task in tasks for image in task["images"]} <= {"image/png", "image/jpeg"}
        assert upstream.sandbox.request_log.requests["imagine"] == 2


@pytest.mark.parametrize("mode", REVISIONS)
async def test_a_tool_that_is_not_listed_cannot_be_called(mode: str, tmp_path: Path) -> None:
    """The error names those that are."""
    async with session(mode, tmp_path, JOURNEY_MCP_TOOLS="imagine,fetch_task") as (client, upstream):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["imagine", "fetch_task"]
        with pytest.raises(MCPError, match=r"Unknown tool: edit_image\. Tools: imagine, fetch_task"):
            await client.call_tool("edit_image", {"prompt": "x", "image": "https://example.test/a.png"})
        assert not upstream.sandbox.request_log.submissions
        made = (await client.call_tool("imagine", {"prompt": "a red kite", "wait_s": 300})).structured_content or {}
        listed = (await client.call_tool("fetch_task", {})).structured_content or {}
        for task in (made, *listed["tasks"]):
            assert "Show" in task["next_step"]
            assert "edit_image" not in task["next_step"]


async def test_links_to_images_are_optional(tmp_path: Path) -> None:
    """One for each image, each with a media type."""
    async with session("auto", tmp_path, JOURNEY_MCP_RESOURCE_LINKS="on") as (client, _):
        made = await client.call_tool("imagine", {"prompt": "a red kite", "wait_s": 300})
        listed = await client.call_tool("fetch_task", {})
        assert made.structured_content is not None
        images = made.structured_content["images"]
        for result in (made, listed):
            links = [
                (block.uri, block.name, block.mime_type) for block in result.content if block.type == "resource_link"
            ]
            assert links == [(image["url"], image["id"], image["mime_type"]) for image in images]
        refused = await client.call_tool("imagine", {"prompt": ""})
        assert [block.type for block in refused.content] == ["text"]


@pytest.mark.parametrize("placeholder", [None, "", "null", "auto"])
async def test_every_model_accepts_a_call_with_every_argument(tmp_path: Path, placeholder: str | None) -> None:
    """Strict schemas require all arguments; omitted ones arrive as placeholders."""
    async with session("auto", tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as (client, _):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        properties = tools["imagine"].input_schema["properties"]
        for model in properties["model"]["enum"]:
            given = {**dict.fromkeys(properties, placeholder), "prompt": "a red kite", "model": model}
            result = await client.call_tool("imagine", given)
            assert result.structured_content is not None
            assert "error" not in result.structured_content, model


HAPPY = Path(__file__).parents[1] / "snapshots"


@pytest.mark.generated
@pytest.mark.parametrize("tool", ["imagine", "edit_image", "fetch_task"])
async def test_a_whole_result(tool: str, tmp_path: Path) -> None:
    """A snapshot of one successful result per tool, with fixed ids; UPDATE_DOCS=1 rewrites it."""
    async with session("auto", tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as (client, upstream):
        made = await client.call_tool("imagine", {"prompt": "a red kite", "model": "z-image"})
        assert made.structured_content is not None
        task_id = made.structured_content["task_id"]
        calls: dict[str, dict[str, Any]] = {
            "imagine": {"prompt": "a red kite"},
            "edit_image": {"prompt": "make it blue", "image": f"{task_id}.1"},
            "fetch_task": {"task_ids": [task_id, "tsk_unknown"]},
        }
        result = await client.call_tool(tool, calls[tool])
        assert result.structured_content is not None
        text = json.dumps(
            result.model_dump(by_alias=True, mode="json", exclude_none=True), indent=1, ensure_ascii=False
        )
        text = text.replace(upstream.origin, "http://sandbox").replace(task_id, "tsk_first")
        for number, task in enumerate(result.structured_content.get("tasks", [result.structured_content])):
            text = text.replace(task["task_id"], f"tsk_{number}")
            for name in ("created_at", "finished_at"):
                text = text.replace(task.get(name, "\0"), "2026-11-28T00:00:00Z")
            for image in task.get("images", ()):
                text = text.replace(image.get("expires_at", "\0"), "2026-12-05T00:00:00Z")
        path = HAPPY / f"result_{tool}.json"
        if os.environ.get("UPDATE_DOCS"):
            path.write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", REVISIONS)
async def test_an_image_of_the_person_is_kept(mode: str, tmp_path: Path) -> None:
    """Text and structured content say the same, and no base64 comes back."""
    async with session(mode, tmp_path) as (client, _):
        result = await client.call_tool("keep_image", {"data": DATA})
        kept = result.structured_content
        assert kept is not None
        assert not result.is_error
        await check_schema(client, "keep_image", kept)
        assert (kept["width"], kept["height"], kept["mime_type"]) == (160, 120, "image/png")
        (text,) = result.content
        assert text.type == "text"
        assert text.text == f"Stored as {kept['image_id']} (image/png, 160x120): use this id in edit_image."
        mask = await client.call_tool("keep_image", {"data": DATA, "mask_of": kept["image_id"]})
        assert mask.structured_content is not None
        assert mask.structured_content["width"] == 160


async def test_results_name_copies_and_files(tmp_path: Path) -> None:
    """For a client on this machine, in the text too; over HTTP there is neither path."""
    images = tmp_path / "Images"
    async with session("auto", tmp_path / "data", JOURNEY_MCP_SAVE_DIR=str(images)) as (client, upstream):
        made = (await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 60})).structured_content
        assert made is not None
        result = await client.call_tool("fetch_task", {"task_ids": [made["task_id"]]})
        assert result.structured_content is not None
        await check_schema(client, "fetch_task", result.structured_content)
        (task,) = result.structured_content["tasks"]
        (text,) = result.content
        assert text.type == "text"
        for one, other in zip(made["images"], task["images"], strict=True):
            assert one == other
            assert Path(one["saved_to"]).parent == images
            assert f"(copy: {one['path']}) (saved to: {one['saved_to']})" in text.text
        assert task["next_step"].startswith("Show the images; the files at saved_to stay.")
        settings = settings_for(upstream.base_url, tmp_path / "data", JOURNEY_MCP_SAVE_DIR=str(images))
        async with client_of(settings, is_local=False) as remote:
            result = await remote.call_tool("fetch_task", {"task_ids": [made["task_id"]]})
            assert str(tmp_path) not in str(result)


async def test_over_http_only_images_whose_links_die_soon_are_copied(tmp_path: Path) -> None:
    """The clients of such a server may be many."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        async with client_of(settings_for(upstream.base_url, tmp_path), is_local=False) as client:
            await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 60})
        assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("mode", REVISIONS)
async def test_after_wait_s_a_call_returns_its_running_task(mode: str, tmp_path: Path) -> None:
    """As a success with status running; the task goes on in the background."""
    async with session(mode, tmp_path, "submit:delay=60") as (client, upstream):
        result = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image", "wait_s": 30})
        task = result.structured_content
        assert task is not None
        assert not result.is_error
        assert (task["status"], task["poll_after_s"]) == ("running", 5)
        assert task["task_id"] in task["next_step"]
        done = await client.call_tool("fetch_task", {"task_ids": [task["task_id"]], "wait_s": 300})
        assert done.structured_content is not None
        assert done.structured_content["tasks"][0]["status"] == "succeeded"
        assert upstream.sandbox.request_log.requests["imagine"] == 1


@pytest.mark.parametrize("mode", REVISIONS)
async def test_a_client_with_a_progress_token_gets_progress(mode: str, tmp_path: Path) -> None:
    """Strictly increasing, with a readable message."""
    seen: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async with session(mode, tmp_path, "submit:hang") as (client, _):
        await client.call_tool("imagine", {"prompt": "a kite", "wait_s": 40}, progress_callback=on_progress)
    values = [progress for progress, _, _ in seen]
    assert len(values) >= 5
    assert values == sorted(set(values))
    assert {total for _, total, _ in seen} == {1.0}
    assert all(message and message.startswith("midjourney: running") for _, _, message in seen)


DATA = data_uri(image_bytes())
TAKEN = ", ".join(read_tool_set(read_settings({"JOURNEYAPI_API_KEY": "k"})).tools[0]["inputSchema"]["properties"])
OTHER_API = (
    "imagine: there is no argument n (call again with fresh=true for another image, each costs 4 credits; midjourney "
    "makes four candidates at once); there is no argument size (use aspect_ratio=1:1; resolution is the size class); "
    f"there is no argument quality (use resolution, or choose another model). imagine takes: {TAKEN}."
)
"""The error of a call with the arguments of another vendor's tool."""


WRONG_CALLS: list[tuple[str, dict[str, Any], str, str]] = [
    ("imagine", {}, "invalid_arguments", "prompt is missing"),
    ("imagine", {"prompt": ""}, "empty_prompt", "is empty"),
    ("imagine", {"prompt": None}, "invalid_arguments", "prompt"),
    (
        "imagine",
        {"prompt": "p", "n": 4, "size": "1024x1024", "quality": "hd"},
        "invalid_arguments",
        OTHER_API,
    ),
    ("keep_image", {}, "invalid_arguments", "data is missing"),
    ("keep_image", {"data": "x" * 900_001}, "invalid_arguments", "at most 900,000 are accepted"),
    ("keep_image", {"data": "a cat"}, "unusable_image", "data is not a data URI"),
    ("keep_image", {"data": "data:image/png;base64,iVBORw0KGgo!"}, "unusable_image", "data is not base64"),
    ("keep_image", {"data": "data:image/png;base64,iVBORw0KGgo="}, "unusable_image", "data cannot be used"),
    ("keep_image", {"data": DATA, "mask_of": "a.png"}, "invalid_arguments", "mask_of='a.png' is not the id"),
    ("keep_image", {"data": DATA, "mask_of": f"tsk_{'A' * 22}.1"}, "unknown_image", "no task"),
    ("keep_image", {"data": DATA, "mask_of": f"up_{'A' * 22}"}, "unknown_image", "There is no image up_AAA"),
    ("keep_image", {"data": DATA, "name": "cat.png"}, "invalid_arguments", "keep_image takes: data, mask_of"),
    ("cancel_task", {"taskId": "tsk_a"}, "invalid_arguments", "no argument taskId (use task_ids=['tsk_a'])"),
    ("imagine", {"prompt": "p", "wait_s": 301}, "invalid_arguments", "wait_s='301'"),
    ("imagine", {"prompt": "p", "wait_s": "soon"}, "invalid_arguments", "wait_s='soon'"),
    (
        "imagine",
        {"prompt": "p", "reference_images": [5]},
        "invalid_arguments",
        "reference_images.0=5 is not text: give the id",
    ),
    ("imagine", {"prompt": "a\0b"}, "invalid_arguments", "prompt has characters that are not text"),
    ("imagine", {"prompt": "p", "model": "dall-e"}, "unknown_model", "'dall-e'"),
    ("imagine", {"prompt": "p", "model": "seededit"}, "edit_only_model", "seededit"),
    ("imagine", {"prompt": "p", "seed": 5}, "unsupported_option", "seed=5"),
    ("imagine", {"prompt": "p", "webhook_url": "http://x"}, "invalid_webhook", "http://x"),
    ("imagine", {"prompt": "p", "model": "grok-image", "reference_images": ["x"]}, "malformed_url", "'x'"),
    ("edit_image", {"prompt": "p"}, "invalid_arguments", "image is missing"),
    ("edit_image", {"prompt": "p", "image": "tsk_AAAAAAAAAAAAAAAAAAAAAA.1"}, "unknown_image", "no task"),
    (
        "edit_image",
        {"prompt": "p", "image": "https://x/a.png", "mask": "https://x/m.png"},
        "unsupported_option",
        "mask",
    ),
    ("fetch_task", {"task_ids": [f"t{n}" for n in range(21)]}, "invalid_arguments", "at most 20"),
    ("fetch_task", {"wait_for": "some"}, "invalid_arguments", "'all' or 'any'"),
]
"""The tool, the arguments, the code of the error, and a part of its message."""


async def test_an_error_lets_a_model_correct_its_call(tmp_path: Path) -> None:
    """A tool error with the value, the allowed values and the next step; nothing is sent, no task is created."""
    async with session("auto", tmp_path) as (client, upstream):
        for tool, arguments, code, says in WRONG_CALLS:
            result = await client.call_tool(tool, arguments)
            assert result.is_error, says
            assert result.structured_content is not None
            await check_schema(client, tool, result.structured_content)
            failed = result.structured_content.get("tasks", [result.structured_content])[0]
            assert (failed["error"]["code"], failed["status"]) == (code, "failed"), says
            assert says in failed["error"]["message"]
            assert failed["next_step"], says
            assert result.content[0].type == "text"
            assert failed["error"]["message"] in result.content[0].text
            assert upstream.sandbox.request_log.requests["imagine"] == 0, says
            listed = await client.call_tool("fetch_task", {})
            assert listed.structured_content == {"tasks": []}, says


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": "p", "model": "flux-pro", "output_format": "jpg"},
        {"prompt": "p", "model": "flux-pro", "output_format": "JPEG", "resolution": "2k"},
        {"prompt": " p ", "model": "z-image", "aspect_ratio": None, "negative_prompt": "", "seed": None},
        {"prompt": "p", "model": "Z-Image", "wait_s": "30"},
        {"Prompt": "p", "model": "z-image", "aspectRatio": "16x9", "wait-s": "30s"},
        {"prompt": "p", "model": "z-image", "reference_images": []},
    ],
)
async def test_small_mistakes_of_models_are_understood(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """Other spellings, `null` and empty text for no value, numbers as text."""
    async with session("auto", tmp_path) as (client, _):
        assert not (await client.call_tool("imagine", arguments)).is_error


async def test_ids_may_be_one_text(tmp_path: Path) -> None:
    """A single id, or the array as JSON text."""
    async with session("auto", tmp_path) as (client, _):
        made = await client.call_tool("imagine", {"prompt": "p", "model": "z-image"})
        assert made.structured_content is not None
        task_id = made.structured_content["task_id"]
        for given in (task_id, json.dumps([task_id]), [task_id], [task_id, f"{task_id}.1", task_id]):
            found = await client.call_tool("fetch_task", {"task_ids": given})
            assert found.structured_content is not None
            assert [task["status"] for task in found.structured_content["tasks"]] == ["succeeded"]
        assert (await client.call_tool("fetch_task", {"task_ids": "[broken"})).is_error


async def test_a_failed_task_is_an_error_of_its_call_but_not_of_fetch_task(tmp_path: Path) -> None:
    """With the same object both times; an unknown id is an entry, and an error only when all ids are unknown."""
    async with session("auto", tmp_path) as (client, _):
        made = await client.call_tool("imagine", {"prompt": "forbidden-in-sandbox", "model": "z-image"})
        assert made.is_error
        assert made.structured_content is not None
        task = made.structured_content
        assert (task["status"], task["error"]["code"]) == ("failed", "generation_failed")
        fetched = await client.call_tool("fetch_task", {"task_ids": ["tsk_unknown", task["task_id"]]})
        assert not fetched.is_error
        assert fetched.structured_content is not None
        unknown, known = fetched.structured_content["tasks"]
        assert (unknown["task_id"], unknown["error"]["code"]) == ("tsk_unknown", "unknown_task")
        assert "status" not in unknown
        assert known == {**task, "prompt": "forbidden-in-sandbox"}
        unknown = await client.call_tool("fetch_task", {"task_ids": ["tsk_unknown"]})
        assert unknown.is_error
        await check_schema(client, "fetch_task", unknown.structured_content)


@pytest.mark.parametrize("tool", ["fetch_task", "cancel_task"])
async def test_a_task_that_cannot_be_read_has_no_status(tool: str, tmp_path: Path) -> None:
    """It has not failed: the entry has its id, an error that can be retried, and what to call again."""
    async with session("auto", tmp_path) as (client, _):
        made = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
        assert made.structured_content is not None
        task_id = made.structured_content["task_id"]
        with database_away(tmp_path):
            unread = await client.call_tool(tool, {"task_ids": [task_id]})
        assert unread.is_error
        assert unread.structured_content is not None
        (entry,) = unread.structured_content["tasks"]
        assert (entry["task_id"], entry["error"]["code"]) == (task_id, "store_unavailable")
        assert entry["error"]["retryable"]
        assert f"Call {tool} again with the same task_ids" in entry["next_step"]
        assert "status" not in entry
        await check_schema(client, tool, unread.structured_content)


async def test_an_unknown_tool_is_a_protocol_error(tmp_path: Path) -> None:
    """Not a tool error."""
    async with session("auto", tmp_path) as (client, _):
        with pytest.raises(
            MCPError, match=r"Unknown tool: paint\. Tools: imagine, edit_image, refine_image, fetch_task, cancel_task"
        ):
            await client.call_tool("paint", {})


async def test_a_setup_error_is_the_result_of_every_call(tmp_path: Path) -> None:
    """The server keeps running, and the error has the next step."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    settings = settings_for("http://127.0.0.1:9", tmp_path / "file" / "folder")
    async with client_of(settings) as client:
        for tool, arguments in (("imagine", {"prompt": "p"}), ("fetch_task", {})):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert result.content[0].type == "text"
            assert "JOURNEY_MCP_DATA_DIR" in result.content[0].text


async def test_a_server_shuts_down_while_its_studio_cannot_be_opened(tmp_path: Path) -> None:
    """Also when its client disconnects during the attempt."""
    is_trying, may_fail = anyio.Event(), anyio.Event()

    @asynccontextmanager
    async def opener(settings: Settings) -> AsyncIterator[Studio]:
        is_trying.set()
        await may_fail.wait()
        async with open_studio(settings) as studio:
            yield studio

    (tmp_path / "file").write_text("x", encoding="utf-8")
    lifespan = Lifespan(settings_for("http://127.0.0.1:9", tmp_path / "file" / "folder"), opener, is_local=True)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(lifespan.run)
            group.start_soon(lifespan.keep_opening)
            await is_trying.wait()
            lifespan.close()
            may_fail.set()


async def test_a_cancelled_call_leaves_its_task_running(tmp_path: Path) -> None:
    """Only the wait ends."""
    async with session("auto", tmp_path, "submit:delay=0.5") as (client, upstream):
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "imagine", {"prompt": "a kite", "model": "z-image"})
            await until(lambda: upstream.sandbox.request_log.requests["imagine"])
            group.cancel_scope.cancel()
        listed = await client.call_tool("fetch_task", {})
        assert listed.structured_content is not None
        (task,) = listed.structured_content["tasks"]
        done = await client.call_tool("fetch_task", {"task_ids": [task["task_id"]], "wait_s": 300})
        assert done.structured_content is not None
        assert done.structured_content["tasks"][0]["status"] == "succeeded"


async def test_a_model_from_the_users_file_is_listed_checked_and_run(tmp_path: Path) -> None:
    """A new model changes data only."""
    (tmp_path / "mine.toml").write_text(
        """
        [[model]]
        id = "dune-1"
        maker = "me"
        family = "dune"
        best_at = "dunes"
        recommended_for = { imagine = "dunes" }
        sources = ["https://example.test"]
        checked = 2026-11-21
        [[offer]]
        model = "dune-1"
        provider = "journeyapi"
        wire_id = "dune-one"
        synchronous = true
        credits = 1
        images = { support = "none" }
        parameters.seed = { minimum = 0, maximum = 9 }
        sources = ["https://example.test"]
        checked = 2026-11-21
        """,
        encoding="utf-8",
    )
    fake = sandbox.JourneyApiSettings(extra_models=("dune-one",))
    more = {"JOURNEY_MCP_REGISTRY": str(tmp_path / "mine.toml")}
    async with (
        sandbox.running(coarse(speed=0, journeyapi=fake)) as upstream,
        client_of(settings_for(upstream.base_url, tmp_path, **more)) as client,
    ):
        imagine = (await client.list_tools()).tools[0]
        assert "dune-1" in imagine.input_schema["properties"]["model"]["enum"]
        assert imagine.input_schema["properties"]["seed"]["description"].endswith("Only dune-1.")
        assert "dune-1 for dunes" in (imagine.description or "")
        wrong = await client.call_tool("imagine", {"prompt": "p", "model": "dune-1", "seed": 10})
        assert wrong.structured_content is not None
        assert "numbers from 0 to 9" in wrong.structured_content["error"]["message"]
        right = await client.call_tool("imagine", {"prompt": "p", "model": "dune-1", "seed": 9})
        assert not right.is_error
        assert upstream.sandbox.request_log.submissions[-1].request == {"model": "dune-one", "prompt": "p", "seed": 9}

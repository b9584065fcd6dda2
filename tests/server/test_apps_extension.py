"""The gallery as an MCP App: announced, served, named by the tools, and given what results leave out."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, MCPError
from mcp.client.extension import advertise
from mcp.client.streamable_http import streamable_http_client
from support import client_of, coarse, running_studio, serving, settings_for
from tasks_client import Tasks, begin, wait_for_status

from journey_mcp import gallery, sandbox
from journey_mcp.server.extensions.apps import EXTENSION, MIME_TYPE
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app

MODES = ["auto", "legacy"]
APPS = advertise(EXTENSION, {"mimeTypes": [MIME_TYPE]})
KITE = {"prompt": "a red kite over the dunes", "wait_s": 300}


@asynccontextmanager
async def session(mode: str, folder: Path, *extensions: Any) -> AsyncIterator[Client]:
    """Connect a client in memory that declares these extensions; every task ends at once."""
    async with (
        sandbox.running(coarse(speed=0, seed=7)) as upstream,
        client_of(settings_for(upstream.base_url, folder), mode, extensions=extensions) as client,
    ):
        yield client


def facts(result: types.CallToolResult) -> Any:
    """Return what the gallery learns of the tasks of a result, by task id."""
    return (result.meta or {}).get(gallery.FACTS)


@pytest.mark.parametrize("mode", MODES)
async def test_the_extension_is_announced_in_both_eras(mode: str, tmp_path: Path) -> None:
    """The SDK drops extensions from the result of `initialize`."""
    async with session(mode, tmp_path) as client:
        capabilities = client.server_capabilities
        assert capabilities is not None
        assert (capabilities.extensions or {})[EXTENSION] == {}


@pytest.mark.parametrize("mode", MODES)
async def test_the_page_is_a_resource(mode: str, tmp_path: Path) -> None:
    """With the media type of apps, and no foreign host in its policy."""
    async with session(mode, tmp_path) as client:
        (content,) = (await client.read_resource(gallery.URI)).contents
        assert isinstance(content, types.TextResourceContents)
        assert (content.uri, content.mime_type, content.text) == (gallery.URI, MIME_TYPE, gallery.page())
        assert content.meta == {"ui": {"csp": {}, "prefersBorder": False}}


async def test_another_resource_is_unknown(tmp_path: Path) -> None:
    """The error names the URI."""
    async with session("auto", tmp_path) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource("ui://journey/other.html")
        assert (caught.value.code, caught.value.data) == (types.INVALID_PARAMS, {"uri": "ui://journey/other.html"})


@pytest.mark.parametrize("mode", MODES)
async def test_tools_name_the_page(mode: str, tmp_path: Path) -> None:
    """Tools that return images do, also with the key that older hosts read."""
    async with session(mode, tmp_path) as client:
        metas = {tool.name: tool.meta for tool in (await client.list_tools()).tools}
        shown = {"ui": {"resourceUri": gallery.URI, "visibility": ["model", "app"]}, "ui/resourceUri": gallery.URI}
        assert [metas[name] for name in ("imagine", "edit_image", "fetch_task")] == [shown] * 3
        assert metas["cancel_task"] is None


@pytest.mark.parametrize("mode", MODES)
async def test_results_have_more_for_a_client_with_apps(mode: str, tmp_path: Path) -> None:
    """The whole prompt, the expected images, and which image was edited."""
    async with session(mode, tmp_path, APPS) as client:
        made = await client.call_tool("imagine", {**KITE, "aspect_ratio": "16:9"})
        assert made.structured_content is not None
        made_id = made.structured_content["task_id"]
        kite = {
            "tool": "imagine",
            "label": "midjourney",
            "prompt": KITE["prompt"],
            "aspect_ratio": "16:9",
            "candidates": 4,
        }
        assert facts(made) == {made_id: kite}
        offered = (made.meta or {})[gallery.ACTIONS][f"{made_id}.2"]
        assert {"tool": "refine_image", "action": "upscale_2x", "title": "Upscale 2×", "cost": "2 credits"} in offered
        assert {entry["tool"] for entry in offered} == {"imagine", "edit_image", "refine_image"}
        edit = {"image": f"{made_id}.2", "prompt": "make it blue", "wait_s": 300}
        edited = await client.call_tool("edit_image", edit)
        assert edited.structured_content is not None
        edited_id = edited.structured_content["task_id"]
        blue: dict[str, Any] = {
            "tool": "edit_image",
            "label": "flux-kontext-pro",
            "prompt": "make it blue",
            "source": f"{made_id}.2",
        }
        blue["candidates"] = 1
        assert facts(edited) == {edited_id: blue}
        assert facts(await client.call_tool("fetch_task", {"task_ids": [made_id]})) == {made_id: kite}
        assert facts(await client.call_tool("fetch_task", {})) == {edited_id: blue, made_id: kite}


async def test_a_refinement_names_its_action_and_its_source(tmp_path: Path) -> None:
    """And how many images the action makes, not the model."""
    async with session("auto", tmp_path, APPS) as client:
        made = await client.call_tool("imagine", KITE)
        assert made.structured_content is not None
        image = f"{made.structured_content['task_id']}.2"
        for action, count in (("upscale_2x", 1), ("vary", 4)):
            refined = await client.call_tool("refine_image", {"image": image, "action": action, "wait_s": 300})
            (known,) = facts(refined).values()
            assert (known["tool"], known["label"], known["source"]) == ("refine_image", f"{action} (midjourney)", image)
            assert known["candidates"] == count


async def test_the_page_shows_the_next_step_in_the_words_for_the_person(tmp_path: Path) -> None:
    """A model is to ask the person; the person reads what to do."""
    refused = sandbox.Fault(on="submit", kind="status", status=404, times=None)
    async with (
        sandbox.running(coarse(speed=0, faults=(refused,))) as upstream,
        client_of(settings_for(upstream.base_url, tmp_path), extensions=[APPS]) as client,
    ):
        failed = await client.call_tool("imagine", KITE)
        assert failed.structured_content is not None
        (known,) = facts(failed).values()
        assert "ask the person to check JOURNEYAPI_BASE_URL" in failed.structured_content["next_step"]
        assert "or check JOURNEYAPI_BASE_URL" in known["next_step"]


_ASKS = ("ask the person to ", "")


async def test_a_call_of_the_page_that_makes_no_task_fails_in_the_words_for_the_person(tmp_path: Path) -> None:
    """The same call of a model fails in the words for a model."""
    settings = settings_for("http://127.0.0.1:9", tmp_path, JOURNEY_MCP_BUDGET="1credits/call")
    async with client_of(settings, extensions=[APPS]) as client:
        of_page: Any = {gallery.FACTS: True}
        steps = [
            (await client.call_tool("imagine", KITE, meta=meta)).structured_content["next_step"]
            for meta in (None, of_page)
        ]
    assert steps == [f"Nothing was sent. Choose a cheaper model, or {ask}raise JOURNEY_MCP_BUDGET." for ask in _ASKS]


@pytest.mark.parametrize("mode", MODES)
async def test_results_have_nothing_more_for_other_clients(mode: str, tmp_path: Path) -> None:
    """Unless the page asks for it: the declaration of a client may be unknown."""
    async with session(mode, tmp_path) as client:
        made = await client.call_tool("imagine", KITE)
        assert facts(made) is None
        assert facts(await client.call_tool("fetch_task", {})) is None
        asked: Any = {gallery.FACTS: True}
        assert facts(await client.call_tool("fetch_task", {}, meta=asked)) is not None


async def test_the_page_asks_over_stateless_http(tmp_path: Path) -> None:
    """There the declaration of an older client is unknown."""
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        app = make_app(Lifespan(settings_for(upstream.base_url, tmp_path), running_studio, is_local=False))
        async with (
            app.router.lifespan_context(app),
            serving(app) as url,
            Client(f"{url}/mcp", mode="legacy", extensions=[APPS]) as client,
        ):
            asked: Any = {gallery.FACTS: True}
            assert facts(await client.call_tool("imagine", KITE, meta=asked)) is not None


CONNECTOR = "https://mcp.test/mcp"


@pytest.mark.parametrize("mode", MODES)
async def test_claude_gets_the_domain_of_its_connector(mode: str, tmp_path: Path) -> None:
    """Claude on the web shows no page without it, and other hosts refuse it. It follows from the URL of the server."""
    expected = f"{hashlib.sha256(CONNECTOR.encode()).hexdigest()[:32]}.claudemcpcontent.com"
    async with http_session(mode, tmp_path, "Claude-User/1.0", JOURNEY_MCP_SERVER_URL=CONNECTOR) as client:
        assert (await page_meta(client))["domain"] == expected
    async with http_session(mode, tmp_path, "python-httpx2", JOURNEY_MCP_SERVER_URL=CONNECTOR) as client:
        assert "domain" not in await page_meta(client)
    async with http_session(mode, tmp_path, "Claude-User/1.0") as client:
        assert "domain" not in await page_meta(client)


async def test_claude_is_known_by_the_name_of_its_client(tmp_path: Path) -> None:
    """Over HTTP; on stdio there is no connector."""
    claude = types.Implementation(name="Anthropic/ClaudeAI", version="1")
    given = {"JOURNEY_MCP_SERVER_URL": CONNECTOR}
    settings = settings_for("http://127.0.0.1:9", tmp_path, **given)
    for is_local in (False, True):
        async with client_of(settings, client_info=claude, is_local=is_local) as client:
            assert ("domain" in await page_meta(client)) is not is_local


@asynccontextmanager
async def http_session(mode: str, folder: Path, agent: str, **more: str) -> AsyncIterator[Client]:
    """Open a client over HTTP with this `User-Agent`."""
    app = make_app(Lifespan(settings_for("http://127.0.0.1:9", folder, **more), running_studio, is_local=False))
    async with (
        app.router.lifespan_context(app),
        serving(app) as url,
        httpx2.AsyncClient(headers={"user-agent": agent}, trust_env=False, verify=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


async def page_meta(client: Client) -> dict[str, Any]:
    """Return what the page says about its frame."""
    (content,) = (await client.read_resource(gallery.URI)).contents
    assert content.meta is not None
    meta: dict[str, Any] = content.meta["ui"]
    return meta


async def test_a_result_of_the_tasks_extension_has_more(tmp_path: Path) -> None:
    """For a client that declares both extensions."""
    async with session("auto", tmp_path, APPS, Tasks()) as client:
        handle = await begin(client, "imagine", prompt=KITE["prompt"])
        state = await wait_for_status(client, handle.task_id, "completed")
        assert state.result is not None
        assert state.result["_meta"][gallery.FACTS][handle.task_id]["candidates"] == 4


@pytest.mark.parametrize("mode", MODES)
async def test_results_state_what_can_be_done_with_each_image(mode: str, tmp_path: Path) -> None:
    """With its cost, for clients that show the gallery; listings too."""
    async with session(mode, tmp_path, APPS) as client:
        result = await client.call_tool("imagine", KITE)
        image = (result.structured_content or {})["images"][1]["id"]
        for shown in (result, await client.call_tool("fetch_task"), await client.call_tool("fetch_task", {})):
            actions = (shown.meta or {})[gallery.ACTIONS][image]
            assert {action["tool"] for action in actions} == {"refine_image", "edit_image", "imagine"}
            assert all(action["title"] and action["cost"] for action in actions)
    async with session(mode, tmp_path) as client:
        assert gallery.ACTIONS not in ((await client.call_tool("fetch_task")).meta or {})

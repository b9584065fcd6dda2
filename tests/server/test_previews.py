"""Previews: who gets one, once per task, in time, within their bytes; results are complete without them."""

from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle, product
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from drawn import opened, written
from manual_clock import ManualClock
from mcp import Client
from mcp.client.extension import ClientExtension
from PIL import Image
from support import client_at, client_of, coarse, make_environment, settings_for

from journey_mcp import sandbox
from journey_mcp.server.extensions import apps
from journey_mcp.server.preview_hosts import HOSTS
from server.test_http import serving_mcp

MODES = ["auto", "legacy"]
KITE = {"prompt": "a red kite", "wait_s": 300, "model": "z-image"}


class Apps(ClientExtension):
    """A client that shows apps."""

    identifier = apps.EXTENSION


@asynccontextmanager
async def connected(
    folder: Path, mode: str = "auto", name: str = "claude-code", *, faults: Sequence[str] = (), **more: Any
) -> AsyncIterator[Client]:
    """Connect a client of this name in memory, whose server has a sandbox."""
    options = {key: more.pop(key) for key in ("extensions",) if key in more}
    given = tuple(sandbox.Fault.parse(fault) for fault in faults)
    async with (
        sandbox.running(coarse(speed=more.pop("speed", 0), seed=7, faults=given)) as upstream,
        client_of(
            settings_for(upstream.base_url, folder, **more),
            mode,
            client_info=types.Implementation(name=name, version="1"),
            **options,
        ) as client,
    ):
        yield client


def kinds(result: types.CallToolResult) -> list[str]:
    """Return the kinds of blocks."""
    return [block.type for block in result.content]


def preview_of(result: types.CallToolResult) -> Image.Image:
    """Return the last block, which must be a preview."""
    block = result.content[-1]
    assert isinstance(block, types.ImageContent)
    assert block.mime_type == "image/jpeg"
    assert block.annotations == types.Annotations(priority=0.3)
    content = b64decode(block.data)
    assert len(content) <= 60_000
    return opened(content)


NAMES = [name for host in HOSTS for name in host.names]


SDKS = ["mcp", "langchain-mcp-adapters", "ai-sdk", "claude-code-fork", "openai-mcp", ""]


async def test_known_hosts_get_a_preview(tmp_path: Path) -> None:
    """In both eras, whatever the version."""
    async with make_environment(tmp_path) as here:
        for name, mode in zip(NAMES, cycle(MODES), strict=False):
            host = types.Implementation(name=name, version="1")
            async with client_at(here.studio, mode, client_info=host) as client:
                made = await client.call_tool("imagine", {**KITE, "fresh": True})
                assert kinds(made) == ["text", "image"], name
                assert max(preview_of(made).size) == 512


async def test_unknown_names_and_those_of_sdks_get_none(tmp_path: Path) -> None:
    """An image block makes some of them fail."""
    async with make_environment(tmp_path) as here:
        for name, mode in product(SDKS, MODES):
            host = types.Implementation(name=name, version="1")
            async with client_at(here.studio, mode, client_info=host) as client:
                made = await client.call_tool("imagine", {**KITE, "fresh": True})
                assert kinds(made) == ["text"], (name, mode)


async def test_a_known_proxy_does_not_hide_a_host(tmp_path: Path) -> None:
    """It adds itself to the name."""
    async with connected(tmp_path, "legacy", "Claude-AI (via mcp-remote 0.1.37)") as client:
        assert kinds(await client.call_tool("imagine", KITE)) == ["text", "image"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_host_that_shows_the_gallery_gets_none(tmp_path: Path, mode: str) -> None:
    """It would show everything twice."""
    async with connected(tmp_path, mode, extensions=[Apps()]) as client:
        assert kinds(await client.call_tool("imagine", KITE)) == ["text"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_setting_decides_for_all_clients(tmp_path: Path, mode: str) -> None:
    """Whoever they are."""
    async with connected(tmp_path, mode, JOURNEY_MCP_PREVIEW="off") as client:
        assert kinds(await client.call_tool("imagine", KITE)) == ["text"]
    async with connected(tmp_path, mode, "mcp", extensions=[Apps()], JOURNEY_MCP_PREVIEW="always") as client:
        assert kinds(await client.call_tool("imagine", KITE)) == ["text", "image"]


@pytest.mark.parametrize(("mode", "blocks"), [("auto", ["text", "image"]), ("legacy", ["text"])])
async def test_over_http_only_clients_that_state_who_they_are(tmp_path: Path, mode: str, blocks: list[str]) -> None:
    """Older revisions do that at the start only, and each request is served alone."""
    async with (
        serving_mcp(tmp_path) as (origin, _),
        Client(f"{origin}/mcp", mode=mode, client_info=types.Implementation(name="claude-code", version="1")) as client,
    ):
        assert kinds(await client.call_tool("imagine", KITE)) == blocks


async def test_four_candidates_are_one_numbered_sheet(tmp_path: Path) -> None:
    """The numbers are those in the ids."""
    async with connected(tmp_path) as client:
        made = await client.call_tool("imagine", {**KITE, "model": "midjourney"})
        assert kinds(made) == ["text", "image"]
        assert max(preview_of(made).size) == 516


async def test_an_edit_has_a_preview_too(tmp_path: Path) -> None:
    """And with links, the preview is still the last block."""
    async with connected(tmp_path, JOURNEY_MCP_RESOURCE_LINKS="on") as client:
        made = await client.call_tool("imagine", KITE)
        assert made.structured_content is not None
        image = made.structured_content["images"][0]["id"]
        edited = await client.call_tool("edit_image", {"prompt": "at night", "image": image, "wait_s": 300})
        assert kinds(made) == kinds(edited) == ["text", "resource_link", "image"]


async def test_text_and_object_are_the_same_without_a_preview(tmp_path: Path) -> None:
    """A client that drops the block loses nothing."""
    results = []
    for number, setting in enumerate(("always", "off")):
        async with connected(tmp_path / str(number), JOURNEY_MCP_PREVIEW=setting) as client:
            made = await client.call_tool("imagine", KITE)
            assert isinstance(made.content[0], types.TextContent)
            results.append((made.structured_content or {}).keys())
            assert "base64" not in made.content[0].text
    assert results[0] == results[1]


async def test_what_has_no_new_image_has_no_preview(tmp_path: Path) -> None:
    """A running or failed task, an error, a listing, an old task, a canceled one."""
    async with connected(tmp_path, faults=["submit:fail_task=filtered,after=1"]) as client:
        made = await client.call_tool("imagine", KITE)
        failed = await client.call_tool("imagine", {**KITE, "fresh": True})
        assert failed.is_error
        assert made.structured_content is not None
        ids = [made.structured_content["task_id"]]
        for result in (
            failed,
            await client.call_tool("imagine", {"prompt": ""}),
            await client.call_tool("fetch_task", {}),
            await client.call_tool("fetch_task", {"task_ids": ids}),
            await client.call_tool("fetch_task", {"task_ids": [f"tsk_{'x' * 22}"]}),
            await client.call_tool("cancel_task", {"task_ids": ids}),
        ):
            assert kinds(result) == ["text"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_fetch_that_first_sees_a_task_finished_has_the_preview(tmp_path: Path, mode: str) -> None:
    """Later ones do not repeat it."""
    async with connected(tmp_path, mode, speed=1) as client:
        started = await client.call_tool("imagine", {**KITE, "wait_s": 0})
        assert started.structured_content is not None
        assert kinds(started) == ["text"]
        ids = {"task_ids": [started.structured_content["task_id"]]}
        assert kinds(await client.call_tool("fetch_task", {**ids, "wait_s": 0})) == ["text"]
        first = await client.call_tool("fetch_task", {**ids, "wait_s": 300})
        assert kinds(first) == ["text", "image"]
        assert "preview" not in (first.structured_content or {})
        assert kinds(await client.call_tool("fetch_task", ids)) == ["text"]


async def test_several_tasks_are_on_one_sheet_with_a_legend(tmp_path: Path) -> None:
    """Text and object say which number is which image; at most four are shown, and each task first."""
    async with connected(tmp_path, speed=1) as client:
        ids = []
        for model in ("z-image", "midjourney", "nano-banana"):
            started = await client.call_tool("imagine", {**KITE, "model": model, "wait_s": 0})
            assert started.structured_content is not None
            ids.append(started.structured_content["task_id"])
        fetched = await client.call_tool("fetch_task", {"task_ids": ids, "wait_s": 300})
        assert max(preview_of(fetched).size) <= 520
        assert isinstance(fetched.content[0], types.TextContent)
        shown = [f"{ids[0]}.1", f"{ids[1]}.1", f"{ids[2]}.1", f"{ids[1]}.2"]
        assert (fetched.structured_content or {})["preview"] == shown
        legend = ", ".join(f"{number} is {image}" for number, image in enumerate(shown, start=1))
        assert fetched.content[0].text.endswith(f"\n\nPreview: {legend}.")
        assert kinds(await client.call_tool("fetch_task", {"task_ids": ids})) == ["text"]


async def test_a_slow_link_never_delays_a_result(tmp_path: Path) -> None:
    """The result comes after 0.3 s at most, without the preview; the next fetch has it, since it was continued."""
    clock = ManualClock()
    async with connected(tmp_path, faults=["image:delay=2"], JOURNEY_MCP_KEEP_IMAGES="off") as client:
        began = clock.elapsed()
        made = await client.call_tool("imagine", KITE)
        quick = clock.elapsed() - began
        assert kinds(made) == ["text"]
        assert made.structured_content is not None
        assert made.structured_content["status"] == "succeeded"
        ids = {"task_ids": [made.structured_content["task_id"]]}
        await clock.sleep(5)
        began = clock.elapsed()
        later = await client.call_tool("fetch_task", ids)
        assert kinds(later) == ["text", "image"]
        assert clock.elapsed() - began < 0.3
        assert kinds(await client.call_tool("fetch_task", ids)) == ["text"]
    async with connected(tmp_path / "off", JOURNEY_MCP_PREVIEW="off") as client:
        began = clock.elapsed()
        await client.call_tool("imagine", KITE)
        assert quick - (clock.elapsed() - began) == pytest.approx(0.3, abs=0.01)


async def test_a_dead_link_costs_nothing_and_is_not_tried_again(tmp_path: Path) -> None:
    """The result is complete without a preview."""
    async with connected(tmp_path, faults=["image:dead_image,times=1"], JOURNEY_MCP_KEEP_IMAGES="off") as client:
        made = await client.call_tool("imagine", KITE)
        assert not made.is_error
        assert kinds(made) == ["text"]
        assert made.structured_content is not None
        ids = {"task_ids": [made.structured_content["task_id"]]}
        assert kinds(await client.call_tool("fetch_task", ids)) == ["text"]


async def test_after_a_restart_an_unseen_result_has_its_preview(tmp_path: Path) -> None:
    """The store knows which results a client has received."""
    async with sandbox.running(coarse(speed=0.05, seed=7)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        host = types.Implementation(name="claude-code", version="1")
        async with client_of(settings, client_info=host) as client:
            started = await client.call_tool("imagine", {**KITE, "wait_s": 0})
            assert started.structured_content is not None
            assert started.structured_content["status"] != "succeeded"
        ids = {"task_ids": [started.structured_content["task_id"]]}
        async with client_of(settings, client_info=host) as client:
            assert kinds(await client.call_tool("fetch_task", {**ids, "wait_s": 300})) == ["text", "image"]
        async with client_of(settings, client_info=host) as client:
            assert kinds(await client.call_tool("fetch_task", ids)) == ["text"]


async def test_noise_stays_below_60_kb(tmp_path: Path) -> None:
    """The quality is lowered, for one image and for a sheet."""
    noise = written(Image.merge("RGB", [Image.effect_noise((1100, 1100), 250) for _ in range(3)]), "jpeg", quality=95)
    async with make_environment(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as here:
        for model, count in (("z-image", 1), ("midjourney", 4)):
            task = await here.made(model=model)
            (tmp_path / "pictures").mkdir(exist_ok=True)
            for number in range(1, count + 1):
                (tmp_path / "pictures" / f"{task.id}.{number}.jpg").write_bytes(noise)
            view = await here.studio.previews.of([task])
            assert view is not None
            assert len(view.seen) == count
            assert 20_000 < len(view.jpegs[0]) <= 60_000


async def test_many_slow_links_are_not_waited_for_at_once(tmp_path: Path) -> None:
    """Sixteen previews are made at the same time; a further result does not wait for one."""
    async with make_environment(tmp_path, "image:delay=60,times=always") as here:
        tasks = [await here.made(prompt=f"kite {number}") for number in range(17)]
        began = here.clock.elapsed()
        async with anyio.create_task_group() as group:
            for task in tasks[:16]:
                group.start_soon(here.studio.previews.of, [task])
        assert here.clock.elapsed() - began == pytest.approx(0.3, abs=0.05)
        began = here.clock.elapsed()
        assert await here.studio.previews.of(tasks[16:]) is None
        assert here.clock.elapsed() - began < 0.01


async def test_only_the_newest_tasks_are_remembered(tmp_path: Path) -> None:
    """The memory of a server that runs for long is bounded."""
    async with make_environment(tmp_path) as here:
        first = replace(await here.made(), duplicate_policy=None)
        here.studio.previews.expect(first)
        assert here.studio.previews.is_due(first)
        for number in range(1000):
            here.studio.previews.expect(replace(first, id=f"tsk_{number}"))
        assert not here.studio.previews.is_due(first)


async def test_after_the_shutdown_has_begun_there_are_no_previews(tmp_path: Path) -> None:
    """A result does not wait for one."""
    async with make_environment(tmp_path) as here:
        task = await here.made()
        here.studio.begin_shutdown()
        assert await here.studio.previews.of([task]) is None

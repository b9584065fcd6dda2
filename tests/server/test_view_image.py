"""The tool `view_image`: image blocks beside text and object, in both eras; its errors; the size of its results."""

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import mcp_types as types
import pytest
from drawn import opened, written
from mcp import Client
from PIL import Image
from support import client_of, coarse, compact, settings_for

from journey_mcp import sandbox

MODES = ["auto", "legacy"]


@asynccontextmanager
async def connected(folder: Path, mode: str = "auto", **more: Any) -> AsyncIterator[Client]:
    """Connect a client in memory, whose server has a sandbox."""
    async with (
        sandbox.running(coarse(speed=0, seed=7)) as upstream,
        client_of(settings_for(upstream.base_url, folder, **more), mode) as client,
    ):
        yield client


async def made(client: Client, **more: Any) -> list[str]:
    """Make images; return their ids."""
    result = await client.call_tool("imagine", {"prompt": "a red kite", "wait_s": 300, **more})
    assert result.structured_content is not None
    return [image["id"] for image in result.structured_content["images"]]


def images(result: types.CallToolResult) -> list[Image.Image]:
    """Return the images of a result, which has one text before them and nothing else."""
    text, *blocks = result.content
    assert text.type == "text"
    for block in blocks:
        assert isinstance(block, types.ImageContent)
        assert block.mime_type == "image/jpeg"
    return [opened(b64decode(block.data)) for block in blocks if isinstance(block, types.ImageContent)]


async def check(client: Client, result: types.CallToolResult) -> dict[str, Any]:
    """Check that the object conforms to its schema, and that the text has the same facts; return the object."""
    assert result.structured_content is not None
    plain: dict[str, Any] = result.structured_content
    text = result.content[0]
    assert text.type == "text"
    schema = next(tool.output_schema for tool in (await client.list_tools()).tools if tool.name == "view_image")
    jsonschema_rs.validator_for(schema or {}).validate(plain)
    for image in plain.get("images", ()):
        assert f"Image {image['id']}: {image['width']}x{image['height']}" in text.text
        assert f", number {image['label']} on the sheet" in text.text if "label" in image else True
    for error in plain.get("errors", ()):
        for fact in ("id", "code", "message", "next_step"):
            assert error.get(fact, "") in text.text
    if plain.get("images"):
        assert f"Layout: {plain['layout']}. Size: {plain['size']} pixels" in text.text
    assert len(compact(plain)) < 3000
    assert len(text.text) < 3000
    return plain


@pytest.mark.parametrize("mode", MODES)
async def test_one_image(tmp_path: Path, mode: str) -> None:
    """Its pixels are a block, never in the object; its width and height are those of the original."""
    async with connected(tmp_path, mode) as client:
        (image_id,) = await made(client, model="z-image")
        result = await client.call_tool("view_image", {"image_ids": [image_id]})
        assert not result.is_error
        plain = await check(client, result)
        (image,) = images(result)
        assert max(image.size) == 512
        (facts,) = plain["images"]
        assert facts["id"] == image_id
        assert facts["width"] >= 1024
        assert {name: plain[name] for name in plain if name != "images"} == {"layout": "each", "size": 512}


@pytest.mark.parametrize("mode", MODES)
async def test_four_candidates(tmp_path: Path, mode: str) -> None:
    """On one numbered sheet, or each."""
    async with connected(tmp_path, mode) as client:
        ids = await made(client)
        task_id = ids[0].partition(".")[0]
        sheet = await client.call_tool("view_image", {"image_ids": ids})
        plain = await check(client, sheet)
        assert [(one["id"], one["label"]) for one in plain["images"]] == [(id_, id_[-1]) for id_ in ids]
        (image,) = images(sheet)
        assert max(image.size) == 516
        each = await client.call_tool("view_image", {"image_ids": [task_id], "layout": "each", "size": 320})
        plain = await check(client, each)
        assert [one["id"] for one in plain["images"]] == ids
        assert [max(image.size) for image in images(each)] == [320] * 4


async def test_an_error_beside_what_can_be_shown(tmp_path: Path) -> None:
    """The call is an error only if nothing can be shown."""
    async with connected(tmp_path) as client:
        (image_id,) = await made(client, model="z-image")
        unknown = f"tsk_{'x' * 22}.1"
        some = await client.call_tool("view_image", {"image_ids": [image_id, unknown]})
        assert not some.is_error
        plain = await check(client, some)
        assert len(images(some)) == 1
        assert [(error["id"], error["code"]) for error in plain["errors"]] == [(unknown, "unknown_image")]
        none = await client.call_tool("view_image", {"image_ids": [unknown]})
        assert none.is_error
        assert "images" not in await check(client, none)
        assert images(none) == []


WRONG_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({}, "image_ids is missing"),
    ({"image_ids": []}, "at least 1 item"),
    ({"image_ids": [f"a{n}" for n in range(21)]}, "at most 20 items"),
    ({"image_ids": ["a"], "size": "huge"}, "size='huge'"),
    ({"image_ids": ["a"], "layout": "grid"}, "'sheet' or 'each'"),
    ({"image_id": "tsk_1"}, "use image_ids=['tsk_1']"),
    ({"image_ids": ["a"], "resolution": "2K"}, "use size"),
]


async def test_wrong_arguments(tmp_path: Path) -> None:
    """In the shape of the tool."""
    async with connected(tmp_path) as client:
        for given, says in WRONG_ARGUMENTS:
            refused = await client.call_tool("view_image", given)
            assert refused.is_error, says
            (error,) = (await check(client, refused))["errors"]
            assert error["code"] == "invalid_arguments", says
            assert says in error["message"]
            assert images(refused) == []


async def test_a_result_stays_below_700_kb(tmp_path: Path) -> None:
    """Whatever the images are: noise is the worst."""
    noise = written(Image.merge("RGB", [Image.effect_noise((1100, 1100), 250) for _ in range(3)]), "jpeg", quality=95)
    async with connected(tmp_path, JOURNEY_MCP_KEEP_IMAGES="off") as client:
        ids = await made(client)
        folder = tmp_path / "pictures"
        folder.mkdir()
        for image_id in ids:
            (folder / f"{image_id}.jpg").write_bytes(noise)
        for layout, wanted in (("each", ids), ("sheet", ids), ("each", ids[:1])):
            result = await client.call_tool("view_image", {"image_ids": wanted, "layout": layout, "size": 1024})
            assert len(await check(client, result)) == 3
            assert 300_000 < len(result.model_dump_json(by_alias=True)) < 700_000
            assert len(images(result)) == (len(wanted) if layout == "each" else 1)


async def test_it_has_no_links_even_when_results_have_some(tmp_path: Path) -> None:
    """The images are there themselves."""
    async with connected(tmp_path, JOURNEY_MCP_RESOURCE_LINKS="on") as client:
        (image_id,) = await made(client, model="z-image")
        result = await client.call_tool("view_image", {"image_ids": [image_id]})
        assert [block.type for block in result.content] == ["text", "image"]


async def test_it_costs_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    """As its annotations say."""
    async with connected(tmp_path) as client:
        tool = next(tool for tool in (await client.list_tools()).tools if tool.name == "view_image")
        assert tool.annotations is not None
        assert (tool.annotations.read_only_hint, tool.annotations.idempotent_hint) == (True, True)
        (image_id,) = await made(client, model="z-image")
        first, second = [await client.call_tool("view_image", {"image_ids": [image_id]}) for _ in range(2)]
        assert first.content == second.content

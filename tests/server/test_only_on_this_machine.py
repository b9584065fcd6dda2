"""Over HTTP nothing reads or writes files for a caller: no argument is a path, no image is saved, nobody has roots."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from access import opened_files
from PIL import Image
from support import client_of, environment_of

from journey_mcp import sandbox
from journey_mcp.settings import read_settings

pytestmark = pytest.mark.on_disk
_IMAGE_ARGUMENTS = [
    ("imagine", "reference_images"),
    ("edit_image", "image"),
    ("edit_image", "mask"),
    ("edit_image", "reference_images"),
    ("refine_image", "image"),
    ("view_image", "image_ids"),
    ("keep_image", "data"),
    ("keep_image", "mask_of"),
    ("fetch_task", "task_ids"),
    ("fetch_task", "query"),
    ("cancel_task", "task_ids"),
]


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Collect what this process opens in a folder, until the end of the block."""
    seen: list[str] = []
    with opened_files() as opened:
        yield seen
    seen += [str(path) for path in opened if str(path).startswith(str(folder))]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with an image that a local client may read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (600, 400)).save(folder / "cat.png")
    return folder


async def test_no_argument_is_a_path(tmp_path: Path, photos: Path) -> None:
    """Of any tool, in any form, even in a folder that local clients may read. Nothing is opened or sent."""
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        environment = environment_of(upstream, tmp_path / "data", JOURNEY_MCP_IMAGE_DIRS=str(photos))
        async with client_of(read_settings(environment), is_local=False) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert {tool for tool, _ in _IMAGE_ARGUMENTS} == set(tools)
            with watched(photos) as opened:
                for tool, argument in _IMAGE_ARGUMENTS:
                    for text in (str(photos / "cat.png"), f"file://{photos}/cat.png", f"@{photos}/cat.png"):
                        is_list = tools[tool].input_schema["properties"][argument]["type"] == "array"
                        given = {**_given(tool, argument), argument: [text] if is_list else text}
                        result = await client.call_tool(tool, given)
                        assert result.is_error or argument == "query", (tool, argument, text)
            assert opened == []
            assert not upstream.sandbox.request_log.submissions
        async with client_of(read_settings(environment)) as client:
            with watched(photos) as opened:
                await client.call_tool("edit_image", {"prompt": "a kite", "image": str(photos / "cat.png")})
            assert opened  # or this test sees nothing


async def test_a_path_as_text_stays_text(tmp_path: Path, photos: Path) -> None:
    """In a prompt it is a word."""
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path / "data"))
        async with client_of(settings, is_local=False) as client:
            with watched(photos) as opened:
                result = await client.call_tool("imagine", {"prompt": f"{photos}/cat.png", "model": "z-image"})
                assert not result.is_error
            assert opened == []


async def test_no_image_is_saved(tmp_path: Path) -> None:
    """The folder of JOURNEY_MCP_SAVE_DIR belongs to a person at this machine."""
    saved = tmp_path / "saved"
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path / "data", JOURNEY_MCP_SAVE_DIR=str(saved)))
        for is_local in (False, True):
            async with client_of(settings, is_local=is_local) as client:
                arguments = {"prompt": "a kite", "model": "z-image", "wait_s": 60, "fresh": True}
                result = await client.call_tool("imagine", arguments)
                assert result.structured_content is not None
                (image,) = result.structured_content["images"]
                assert ("saved_to" in image, saved.exists()) == (is_local, is_local)


def _given(tool: str, argument: str) -> dict[str, Any]:
    """Return the other arguments that a call needs."""
    given: dict[str, dict[str, Any]] = {
        "imagine": {"prompt": "a kite"},
        "edit_image": {"prompt": "a kite", "image": "https://example.test/a.png"},
        "refine_image": {"action": "vary"},
        "keep_image": {"data": "data:image/png;base64,iVBORw0KGgo="},
    }
    return {name: value for name, value in given.get(tool, {}).items() if name != argument}

"""A session as an assistant has it, over stdio: look, refine, change a part, find again, and look after a restart."""

import base64
import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcp import Client
from mcp_types import ImageContent
from PIL import Image, ImageDraw
from processes import process
from support import coarse, environment_of

from journey_mcp import sandbox

DAY_S = 86_400


async def called(client: Client, tool: str, **arguments: Any) -> tuple[dict[str, Any], list[Image.Image]]:
    """Call a tool; return its structured content and its image blocks."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    blocks = [block for block in result.content if isinstance(block, ImageContent)]
    return dict(result.structured_content or {}), [Image.open(io.BytesIO(base64.b64decode(b.data))) for b in blocks]


def mask_of(width: int, height: int) -> str:
    """Return a mask as data: the left half is redrawn. It is smaller than the image."""
    mask = Image.new("L", (width // 2, height // 2), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, width // 4, height // 2), fill=255)
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def move_to_yesterday(data: Path) -> None:
    """Make everything a day older, as if the clock had moved."""
    with closing(sqlite3.connect(data / "tasks.db")) as database, database:
        database.execute(f"UPDATE tasks SET created_at = created_at - {DAY_S}, updated_at = updated_at - {DAY_S}")


async def test_an_image_is_made_seen_refined_edited_and_found_again(tmp_path: Path) -> None:
    """With its copies it can be looked at when the provider, its links and the first server are gone."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_of(upstream, tmp_path, "journeyapi", "bfl")
        async with process(environment) as client:
            made, _ = await called(client, "imagine", prompt="a lighthouse at dusk", model="midjourney", wait_s=60)
            seen, (sheet,) = await called(client, "view_image", image_ids=[made["task_id"]])
            assert [image["id"] for image in seen["images"]] == [image["id"] for image in made["images"]]
            assert max(sheet.size) > 512

            second = made["images"][1]["id"]
            varied, _ = await called(client, "refine_image", image=second, action="vary", wait_s=60)
            assert varied["parent"] == second
            assert len(varied["images"]) == 4

            chosen = varied["images"][2]["id"]
            about, _ = await called(client, "view_image", image_ids=[chosen], size=320)
            size = about["images"][0]["width"], about["images"][0]["height"]
            kept, _ = await called(client, "keep_image", data=mask_of(*size), mask_of=chosen)
            assert (kept["width"], kept["height"]) == size
            edited, _ = await called(
                client,
                "edit_image",
                image=chosen,
                mask=kept["image_id"],
                prompt="a red roof",
                model="flux-fill-pro",
                wait_s=60,
            )
        sent = upstream.sandbox.request_log.submissions[-1].request
        mask = Image.open(io.BytesIO(base64.b64decode(sent["mask"])))
        assert mask.size == size
        assert [mask.convert("L").getpixel((x, 9)) for x in (9, size[0] - 9)] == [255, 0]

        move_to_yesterday(tmp_path)
        yesterday = datetime.fromtimestamp(datetime.now(UTC).timestamp() - DAY_S, UTC).date().isoformat()
        async with process(environment) as client:
            listed, _ = await called(client, "fetch_task", query=f"red {yesterday}")
            assert [task["task_id"] for task in listed["tasks"]] == [edited["task_id"]]
            assert listed["tasks"][0]["created_at"].startswith(yesterday)
            everything, _ = await called(client, "fetch_task")
            assert [task["task_id"] for task in everything["tasks"]] == [
                task["task_id"] for task in (edited, varied, made)
            ]

    async with process(environment) as client:
        again, (image,) = await called(client, "view_image", image_ids=[edited["images"][0]["id"]])
        assert again["images"][0]["id"] == edited["images"][0]["id"]
        assert max(image.size) == 512

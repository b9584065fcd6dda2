"""Images with a dead link are marked in every result, and their copies are named for local callers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from mcp import Client
from recording import recorder
from support import client_of, coarse, environment_of, free_port

from journey_mcp import sandbox
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.server.tool_results import task_result
from journey_mcp.settings import read_settings
from journey_mcp.tools.availability import check_availability
from journey_mcp.tools.defaults import Defaults
from journey_mcp.tools.results import as_text, task_object

ELEVEN_MINUTES_S = 660.0
"""By then a link of Black Forest Labs is dead."""


@asynccontextmanager
async def client_at(folder: Path, *, is_local: bool = True, **more: str) -> AsyncIterator[Client]:
    """Connect a client to a server with Black Forest Labs."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, folder, "bfl", **more))
        async with client_of(settings, is_local=is_local) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    """Call a tool; return the first task of its result, and the text."""
    result = await client.call_tool(tool, arguments)
    (text,) = result.content
    assert text.type == "text"
    assert result.structured_content is not None
    return result.structured_content.get("tasks", [result.structured_content])[0], text.text


@pytest.mark.parametrize("ids", [True, False], ids=["by id", "listed"])
async def test_an_expired_link_is_not_shown(tmp_path: Path, *, ids: bool) -> None:
    """Without a copy the image is lost; the next step says that a new call is charged."""
    async with client_at(tmp_path, JOURNEY_MCP_COPY_MAX_MB="0") as client:
        made, _ = await call(client, "imagine", prompt="a kite", wait_s=60)
        url = made["images"][0]["url"]
        ManualClock().advance(ELEVEN_MINUTES_S)
        task, text = await call(client, "fetch_task", **({"task_ids": [made["task_id"]]} if ids else {}))
        (image,) = task["images"]
        assert image["link"] == "link expired, no copy"
        assert "url" not in image
        assert url not in text
        assert f"Image {image['id']}: link expired, no copy" in text
        assert task["next_step"].startswith("The links are dead and there is no copy")


@pytest.mark.parametrize("ids", [True, False], ids=["by id", "listed"])
async def test_the_copy_of_an_expired_link_is_named(tmp_path: Path, *, ids: bool) -> None:
    """By its path for callers on this machine, while it exists; the image can still be edited."""
    async with client_at(tmp_path) as client:
        made, _ = await call(client, "imagine", prompt="a kite", wait_s=60)
        given = {"task_ids": [made["task_id"]]} if ids else {}
        path = made["images"][0]["path"]
        assert "link" not in made["images"][0]
        ManualClock().advance(ELEVEN_MINUTES_S)
        task, text = await call(client, "fetch_task", **given)
        (image,) = task["images"]
        assert (image["link"], image["path"], "url" in image) == ("link expired, copy kept", path, False)
        assert f"Image {image['id']}: link expired, copy kept" in text
        assert f"(copy: {path})" in text
        assert task["next_step"].startswith("Show the copies at path; the links are dead. To edit an image")
        Path(path).unlink()
        task, _ = await call(client, "fetch_task", **given)
        assert (task["images"][0]["link"], "path" in task["images"][0]) == ("link expired, no copy", False)


async def test_a_remote_caller_learns_that_there_is_a_copy(tmp_path: Path) -> None:
    """Without its path: the id is enough to edit the image."""
    async with client_at(tmp_path, is_local=False) as client:
        made, _ = await call(client, "imagine", prompt="a kite", wait_s=60)
        ManualClock().advance(ELEVEN_MINUTES_S)
        task, text = await call(client, "fetch_task")
        assert (task["images"][0]["link"], "path" in task["images"][0]) == ("link expired, copy kept", False)
        assert str(tmp_path) not in text
        assert task["next_step"].startswith("The links are dead; copies are kept here. To edit an image")
        edited, _ = await call(
            client, "edit_image", prompt="blue", image=made["images"][0]["id"], model="flux-kontext-pro", wait_s=60
        )
        assert edited["status"] == "succeeded"


async def test_the_result_of_a_call_marks_dead_links() -> None:
    """The result of a joined task, or of a task of the extension, may be as old as the task."""
    image = OutputImage(url="https://example.test/a.png", expires_at=1.0)
    task = replace(made_at("https://example.test", provider="x"), images=(image,))
    defaults = Defaults(imagine="m", edit_image="m", wait_s=25, keep_days=30, has_links=True)
    result = await task_result(task, now=10.0, defaults=defaults)
    assert result.structured_content is not None
    assert result.structured_content["images"][0]["link"] == "link expired, no copy"
    assert [block.type for block in result.content] == ["text"]


async def test_the_images_of_a_sandbox_end_with_it(tmp_path: Path) -> None:
    """The next server finds no sandbox at the address."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path), "JOURNEY_MCP_KEEP_IMAGES": "off"})
    async with client_of(settings) as client:
        made, text = await call(client, "imagine", prompt="a kite", wait_s=60)
        assert made["images"][0]["url"] in text
        assert "grid_url" in made
        listed, _ = await call(client, "fetch_task")
        assert listed["images"] == made["images"]
        edit = {"prompt": "blue", "image": made["images"][0]["id"], "model": "flux-kontext-pro"}
        edited, _ = await call(client, "edit_image", **edit, wait_s=60)
        assert edited["images"][0]["expires_at"]
    async with client_of(settings) as client:
        old, text = await call(client, "fetch_task", task_ids=[edited["task_id"]])
        assert "expires_at" not in old["images"][0]
        assert "expired" not in text
        assert old["next_step"].endswith("Only a new call, which is charged, makes the image again.")
        for given in ({"query": "kite"}, {"task_ids": [made["task_id"]]}):
            task, text = await call(client, "fetch_task", **given)
            assert {image["link"] for image in task["images"]} == {"sandbox ended, no copy"}
            assert "http" not in text
            assert "grid_url" not in task


def made_at(origin: str, provider: str = SANDBOX, **more: Any) -> Task:
    """Return a task with four images."""
    return Task(
        id="tsk_1",
        principal=LOCAL,
        request=ImageRequest(tool="imagine", prompt="a kite", model="midjourney"),
        provider=provider,
        base_url=origin,
        created_at=0.0,
        updated_at=0.0,
        status=Status.SUCCEEDED,
        images=tuple(OutputImage(url=f"{origin}/{number}.png") for number in range(4)),
        **more,
    )


async def test_each_sandbox_is_checked_once() -> None:
    """However many images it made; other providers are not checked."""
    async with recorder() as one, recorder() as other:
        gone = f"http://127.0.0.1:{free_port()}"
        tasks = [made_at(origin) for origin in (one.origin, gone, one.origin, gone)]
        tasks.append(made_at(other.origin, provider="journeyapi"))
        available = await check_availability(tasks)
        assert available.dead_origins == {gone.removeprefix("http://")}
        assert (one.connections, other.connections) == (1, 0)


async def test_the_next_step_names_the_images_that_are_left() -> None:
    """One image with a link, one with a copy, and two that are lost."""
    one, two, three, four = made_at("https://example.test", provider="x").images
    images = (
        replace(one, expires_at=1.0),
        replace(two, expires_at=99.0),
        replace(three, expires_at=1.0, path=__file__),
        replace(four, expires_at=1.0, path=f"{__file__}.gone"),
    )
    task = replace(made_at("https://example.test", provider="x"), images=images)
    plain = task_object(task, now=10.0, available=await check_availability([task]))
    assert [image.get("link") for image in plain["images"]] == [
        "link expired, no copy",
        None,
        "link expired, copy kept",
        "link expired, no copy",
    ]
    assert 'image "tsk_1.3" (or another id)' in plain["next_step"]
    assert "(expired 1970-01-01T00:00:01Z)" in as_text(plain)
    assert "(link expires 1970-01-01T00:01:39Z)" in as_text(plain)

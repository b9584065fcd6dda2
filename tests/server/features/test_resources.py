"""Resources through a real client, in both eras."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from manual_clock import ManualClock
from mcp import Client, MCPError
from PIL import Image
from support import client_of, coarse, settings_for

from journey_mcp import sandbox
from journey_mcp.core.images import OutputImage
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import new_task_id
from journey_mcp.core.text import timestamp
from server.test_listing import client_with, make_task

ERAS = ["auto", "legacy"]


async def read(client: Client, uri: str) -> Any:
    """Return a resource that is JSON."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    assert (content.uri, content.mime_type) == (uri, "application/json")
    return json.loads(content.text)


@pytest.mark.parametrize("mode", ERAS)
async def test_the_newest_50_images_are_listed(mode: str, tmp_path: Path) -> None:
    """One by one, with the prompt as title, after the resources that are always there."""
    four = tuple(OutputImage(url=f"https://example.test/{number}.png") for number in range(4))
    grids = [make_task(f"a red kite {number}", age_s=number, images=four) for number in range(10)]
    single, empty = make_task("a boat", age_s=-1.0), make_task("nothing", age_s=-2.0, images=())
    many = [make_task("old", age_s=100 + number) for number in range(30)]
    async with client_with(tmp_path, *grids, single, empty, *many, mode=mode) as client:
        listed = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    assert [one.uri for one in listed[:3]] == ["journey://models", "journey://spend", f"journey://images/{single.id}.1"]
    assert [one.uri for one in listed[3:8]] == [
        *(f"journey://images/{grids[0].id}.{number}" for number in (1, 2, 3, 4)),
        f"journey://images/{grids[1].id}.1",
    ]
    assert len(listed) == 52
    assert [one.title for one in listed[2:5]] == ["a boat", "a red kite 0 1", "a red kite 0 2"]
    assert listed[2].description == f"z-image, {timestamp(single.created_at)}"
    assert all(one.title and one.name and one.description for one in listed)
    assert all(one.title and one.name and one.description for one in templates)
    assert [one.uri_template for one in templates] == [
        "journey://images/{id}",
        "journey://tasks/{id}",
        "journey://models/{id}",
    ]


async def test_images_are_listed_after_many_tasks_without_any(tmp_path: Path) -> None:
    """Tasks that failed take no places."""
    failed = [make_task("nothing", age_s=number, images=()) for number in range(120)]
    made = make_task("a kite", age_s=500)
    async with client_with(tmp_path, *failed, made) as client:
        assert [one.uri for one in (await client.list_resources()).resources][2:] == [f"journey://images/{made.id}.1"]


async def test_an_image_that_is_gone_is_not_listed(tmp_path: Path) -> None:
    """Its link has expired and there is no copy; one with a copy is."""
    (tmp_path / "copy.png").write_bytes(b"x")
    expired = OutputImage(url="https://example.test/1.png", expires_at=ManualClock().now() - 1)
    kept = OutputImage(url="https://example.test/2.png", expires_at=expired.expires_at, path=str(tmp_path / "copy.png"))
    task = make_task("a kite", images=(expired, kept))
    foreign = make_task("a kite", principal=Principal("another"))
    async with client_with(tmp_path, task, foreign) as client:
        assert [one.uri for one in (await client.list_resources()).resources][2:] == [f"journey://images/{task.id}.2"]


@pytest.mark.parametrize("mode", ERAS)
async def test_models_tasks_and_spending_are_read_as_json(mode: str, tmp_path: Path) -> None:
    """With the facts of the tools."""
    task = make_task("a red kite")
    async with client_with(tmp_path, task, mode=mode) as client:
        models = await read(client, "journey://models")
        assert len(models["models"]) > 20
        assert (await read(client, "journey://models/midjourney"))["prices"] == {"journeyapi": "4 credits"}
        total = {"provider": "journeyapi", "unit": "credits", "amount": "1", "tasks": 1}
        assert await read(client, "journey://spend") == {"today": [total], "last_30_days": [total]}
        plain = await read(client, f"journey://tasks/{task.id}")
        fetched = await client.call_tool("fetch_task", {"task_ids": [task.id]})
        assert fetched.structured_content == {"tasks": [plain]}


async def test_credits_with_a_price_are_stated_in_dollars_too(tmp_path: Path) -> None:
    """By a task and by what was spent."""
    task = make_task("a red kite")
    async with client_with(tmp_path, task, JOURNEY_MCP_CREDIT_PRICE="0.02usd@journeyapi") as client:
        assert (await read(client, "journey://spend"))["today"][0]["usd"] == "0.02"
        assert (await read(client, f"journey://tasks/{task.id}"))["cost"]["usd"] == "0.02"


async def test_nothing_spent_is_stated(tmp_path: Path) -> None:
    """As empty lists."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        assert await read(client, "journey://spend") == {"today": [], "last_30_days": []}


UNKNOWN = [
    "journey://nothing",
    "journey://images",
    "journey://images/",
    "journey://tasks",
    "journey://spend/today",
    "journey://models/dall-e",
    "journey://models/midjourney?x=1",
    "journey://tasks/tsk_x",
    "https://example.test/1.png",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("mode", ERAS)
async def test_an_unknown_resource_is_an_error_with_its_uri(mode: str, tmp_path: Path) -> None:
    """The same for the task of another principal."""
    foreign = make_task("a red kite", principal=Principal("another"))
    async with client_with(tmp_path, foreign, mode=mode) as client:
        for uri in (*UNKNOWN, f"journey://tasks/{foreign.id}"):
            with pytest.raises(MCPError) as raised:
                await client.read_resource(uri)
            assert (raised.value.error.code, raised.value.error.data) == (-32602, {"uri": uri})
            assert raised.value.error.message == f"Resource not found: {uri}"


async def read_image(client: Client, image_id: str) -> tuple[str | None, bytes]:
    """Return the media type and the bytes of an image resource."""
    result = await client.read_resource(f"journey://images/{image_id}")
    (content,) = result.contents
    assert isinstance(content, types.BlobResourceContents)
    assert content.uri == f"journey://images/{image_id}"
    return content.mime_type, base64.b64decode(content.blob)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_small_image_is_the_original(mode: str, tmp_path: Path) -> None:
    """Byte for byte, in its own format."""
    async with (
        sandbox.running(coarse(speed=0, seed=7)) as upstream,
        client_of(settings_for(upstream.base_url, tmp_path), mode) as client,
    ):
        made = await client.call_tool("imagine", {"prompt": "a red kite", "wait_s": 300})
        assert made.structured_content is not None
        image = made.structured_content["images"][1]
        listed = [one.uri for one in (await client.list_resources()).resources]
        assert f"journey://images/{image['id']}" in listed
        mime_type, content = await read_image(client, image["id"])
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.get(image["url"])).content == content
        assert mime_type == image["mime_type"]


@pytest.mark.parametrize("format_", ["png", "tiff"])
async def test_another_image_is_a_jpeg_of_1024_pixels(format_: str, tmp_path: Path) -> None:
    """A large one, or one in a format that clients do not show; the bytes are those of the copy."""
    size = (1400, 700) if format_ == "png" else (1100, 550)
    drawn = Image.merge("RGB", [Image.effect_noise(size, 250) for _ in range(3)]) if format_ == "png" else None
    task = make_task("a kite")
    path = tmp_path / "pictures" / f"{task.id}.1.png"
    path.parent.mkdir()
    (drawn or Image.new("RGB", size, "teal")).save(path, format_)
    async with client_with(tmp_path, task) as client:
        for _ in range(2):
            mime_type, content = await read_image(client, f"{task.id}.1")
            assert mime_type == "image/jpeg"
            assert len(content) < 700_000
            with Image.open(io.BytesIO(content)) as read:
                assert (read.format, read.size) == ("JPEG", (1024, 512))


@pytest.mark.parametrize("mode", ERAS)
async def test_an_image_that_cannot_be_shown_is_an_error(mode: str, tmp_path: Path) -> None:
    """Unknown, of another principal, of a running task, several at once, or gone: with the URI and the reason."""
    four = tuple(OutputImage(url=f"https://example.test/{number}.png") for number in range(4))
    gone = (OutputImage(url="https://example.test/1.png", expires_at=ManualClock().now() - 1),)
    grid, lost = make_task("a grid", images=four), make_task("lost", images=gone)
    foreign = make_task("a kite", principal=Principal("another"))
    unknown = new_task_id()
    said = {}
    async with client_with(tmp_path, grid, lost, foreign, mode=mode) as client:
        for id_ in (f"{unknown}.1", f"{foreign.id}.1", grid.id, f"{grid.id}.5", f"{lost.id}.1", "x"):
            uri = f"journey://images/{id_}"
            with pytest.raises(MCPError, match="Resource not found: journey://images/") as raised:
                await client.read_resource(uri)
            assert (raised.value.error.code, raised.value.error.data) == (-32602, {"uri": uri})
            said[id_] = raised.value.error.message
    assert said[f"{unknown}.1"].replace(unknown, foreign.id) == said[f"{foreign.id}.1"]
    assert "is a task with several images" in said[grid.id]


async def test_an_image_that_cannot_be_downloaded_now_is_another_error(tmp_path: Path) -> None:
    """It may be there later, and its file may be unreadable or no image."""
    task, damaged = make_task("a kite"), make_task("damaged")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / f"{damaged.id}.1.png").write_bytes(b"a shopping list")
    async with client_with(tmp_path, task, damaged) as client:
        for one, says in ((task, "cannot be downloaded"), (damaged, "cannot be shown")):
            with pytest.raises(MCPError, match=says) as raised:
                await client.read_resource(f"journey://images/{one.id}.1")
            assert raised.value.error.code == -32603


async def test_without_the_database_the_models_are_listed(tmp_path: Path) -> None:
    """Reading says what is wrong with the setup."""
    (tmp_path / "tasks.db").write_text("a shopping list, and no database at all", encoding="utf-8")
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        assert [one.uri for one in (await client.list_resources()).resources] == ["journey://models", "journey://spend"]
        with pytest.raises(MCPError, match="cannot be opened") as raised:
            await client.read_resource("journey://spend")
        assert (raised.value.error.code, raised.value.error.data) == (-32603, {"uri": "journey://spend"})
        ref = types.ResourceTemplateReference(type="ref/resource", uri="journey://images/{id}")
        with pytest.raises(MCPError, match="cannot be opened"):
            await client.complete(ref, {"name": "id", "value": ""})


async def test_secrets_are_redacted(tmp_path: Path) -> None:
    """As in the results of tools."""
    async with client_with(tmp_path, make_task("my key is japi_live_test")) as client:
        listed = (await client.list_resources()).resources
        assert "japi_live_test" not in str(listed)
        assert listed[2].title


@pytest.mark.parametrize("uri", ["journey://models/", "JOURNEY://models", "journey://models/flux%2D2%2Ddev"])
async def test_other_spellings_of_a_uri_name_the_same(uri: str, tmp_path: Path) -> None:
    """A slash at the end, capitals in scheme and host, percent-encoding."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        assert await read(client, uri)

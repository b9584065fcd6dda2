"""Resources through a real client, in both eras."""

import json
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from manual_clock import ManualClock
from mcp import Client, MCPError
from support import client_of, settings_for

from journey_mcp.core.images import OutputImage
from journey_mcp.core.principals import Principal
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


async def test_nothing_spent_is_stated(tmp_path: Path) -> None:
    """As empty lists."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        assert await read(client, "journey://spend") == {"today": [], "last_30_days": []}


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    "uri",
    [
        "journey://nothing",
        "journey://images",
        "journey://images/",
        "journey://tasks",
        "journey://spend/today",
        "journey://models/dall-e",
        "journey://models/midjourney?x=1",
        "journey://tasks/tsk_x",
        "journey://tasks/FOREIGN",
        "https://example.test/1.png",
        "file:///etc/passwd",
        "",
    ],
)
async def test_an_unknown_resource_is_an_error_with_its_uri(uri: str, mode: str, tmp_path: Path) -> None:
    """The same for the task of another principal."""
    foreign = make_task("a red kite", principal=Principal("another"))
    uri = uri.replace("FOREIGN", foreign.id)
    async with client_with(tmp_path, foreign, mode=mode) as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource(uri)
    assert (raised.value.error.code, raised.value.error.data) == (-32602, {"uri": uri})
    assert raised.value.error.message == f"Resource not found: {uri}"


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

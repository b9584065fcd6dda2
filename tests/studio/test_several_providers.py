"""All providers, each at its fake, through a real MCP session: one model, and which providers can run it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from support import SERVICES, Authority, client_of, coarse, environment_of, serving

from journey_mcp import sandbox
from journey_mcp.registry import load
from journey_mcp.sandbox import VtrixSettings
from journey_mcp.settings import read_settings

PROMPT = "make the kite green, keep the rest"
EDITING = {offer.provider: offer for offer in load().catalog(list(SERVICES)).offers["flux-kontext-pro"]}
"""The offers of the default model for edits, by provider."""
TAKING_FILES = [provider for provider, offer in EDITING.items() if offer.images.takes_data]


@asynccontextmanager
async def session(folder: Path, **more: Any) -> AsyncIterator[tuple[Client, sandbox.Running]]:
    """Open a client of a server with all keys, and the sandbox behind it."""
    environment = {name: value for name, value in more.items() if name.isupper()}
    variables = {"speed": 0, **{name: value for name, value in more.items() if not name.isupper()}}
    async with sandbox.running(coarse(**variables)) as upstream:
        settings = read_settings(
            environment_of(upstream, folder / "data", JOURNEY_MCP_IMAGE_DIRS=str(folder), **environment)
        )
        async with client_of(settings) as client:
            yield client, upstream


async def call(client: Client, tool: str, **given: Any) -> dict[str, Any]:
    """Return the structured result of a call."""
    result = await client.call_tool(tool, given)
    plain: dict[str, Any] = result.structured_content or {}
    assert json.dumps(plain["status"]).strip('"') in str(result.content[0])
    return plain


async def finished(client: Client, tool: str, **given: Any) -> dict[str, Any]:
    """Return the structured result of a call that waits."""
    plain = await call(client, tool, **given)
    while plain["status"] in {"queued", "running"}:
        plain = (await call_fetch(client, plain["task_id"]))["tasks"][0]
    return plain


async def call_fetch(client: Client, task_id: str) -> dict[str, Any]:
    """Return the result of fetch_task."""
    result = await client.call_tool("fetch_task", {"task_ids": [task_id]})
    plain: dict[str, Any] = result.structured_content or {}
    return plain


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return a JPEG with a location in its EXIF data, rotated by it."""
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[274] = 6
    exif[271] = "Camera of somebody"
    Image.effect_noise((640, 480), 60).convert("RGB").save(path, exif=exif, quality=92)
    return path


async def test_an_https_image_is_edited_through_each_offer(tmp_path: Path, photo: Path, authority: Authority) -> None:
    """Each provider fetches the image by itself."""

    async def show(_request: Request) -> FileResponse:
        return FileResponse(photo)

    site = Starlette(routes=[Route("/photo.jpg", show)])
    async with (
        session(tmp_path, JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1") as (client, upstream),
        serving(site, authority.server("127.0.0.1")) as address,
    ):
        assert address.startswith("https://")
        for service in EDITING:
            result = await finished(client, "edit_image", prompt=PROMPT, image=f"{address}/photo.jpg", provider=service)
            assert (result["status"], result["provider"], result["model"]) == ("succeeded", service, "flux-kontext-pro")
        created = [e.service for e in upstream.sandbox.request_log.submissions if e.outcome == "created"]
        assert created == list(EDITING)
        assert f"{address}/photo.jpg" in json.dumps(upstream.sandbox.request_log.submissions[-1].request)


async def test_an_earlier_image_is_edited_through_each_offer(tmp_path: Path) -> None:
    """The id is sent as the URL."""
    async with session(tmp_path) as (client, upstream):
        first = await finished(client, "imagine", prompt="a red kite", model="z-image")
        for service in EDITING:
            result = await finished(
                client, "edit_image", prompt=PROMPT, image=f"{first['task_id']}.1", provider=service
            )
            assert (result["status"], result["provider"], result["model"]) == ("succeeded", service, "flux-kontext-pro")
            assert result["images"][0]["url"].startswith(upstream.origin)
        created = [e.service for e in upstream.sandbox.request_log.submissions if e.outcome == "created"]
        assert created == ["journeyapi", *EDITING]
        assert not upstream.sandbox.request_log.misplaced_keys


async def test_one_local_file_is_edited_through_each_offer_that_takes_data(tmp_path: Path, photo: Path) -> None:
    """JourneyAPI takes URLs only, and the error names the providers that take the file."""
    async with session(tmp_path) as (client, upstream):
        for service in TAKING_FILES:
            result = await finished(client, "edit_image", prompt=PROMPT, image=str(photo), provider=service)
            assert (result["status"], result["provider"]) == ("succeeded", service), result
        sent = json.dumps([entry.request for entry in upstream.sandbox.request_log.submissions])
        assert "Camera of somebody" not in sent
        result = await call(client, "edit_image", prompt=PROMPT, image=str(photo), provider="journeyapi")
        assert result["error"]["code"] == "data_not_taken"
        assert ", ".join(TAKING_FILES) in result["next_step"]
        result = await finished(client, "edit_image", prompt=PROMPT, image=str(photo))
        assert result["provider"] == TAKING_FILES[0] == "vtrix"
        assert "journeyapi was skipped" in result["notices"][0]


async def test_an_empty_balance_moves_the_call_to_the_second_provider_with_a_notice(tmp_path: Path) -> None:
    """Although the first one was preferred."""
    async with session(tmp_path, JOURNEY_MCP_PROVIDERS="vtrix,bfl", vtrix=VtrixSettings(balance_usd=0)) as (client, _):
        result = await finished(client, "edit_image", prompt=PROMPT, image="https://example.test/a.png")
        assert result["provider"] == "bfl"
        assert any("vtrix has too little money" in notice for notice in result["notices"])


async def test_if_no_provider_can_run_it_the_error_states_what_to_change(tmp_path: Path) -> None:
    """The error names, for each candidate, the argument that it rejects."""
    async with session(tmp_path) as (client, upstream):
        result = await call(
            client,
            "edit_image",
            prompt=PROMPT,
            image="https://example.test/a.png",
            safety_tolerance=6,
            aspect_ratio="match_input_image",
        )
        message = result["error"]["message"]
        for service in EDITING:
            assert f"{service}: flux-kontext-pro at {service}" in message
        assert "aspect_ratio=match_input_image" in message
        assert "numbers from 0 to 2" in message
        assert result["next_step"]
        assert not upstream.sandbox.request_log.submissions


async def test_over_http_paths_are_not_accepted(tmp_path: Path, photo: Path) -> None:
    """They are neither accepted nor returned, and the schema does not mention them."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path / "data", "bfl"))
        async with client_of(settings, is_local=False) as client:
            edit = (await client.list_tools()).tools[1]
            assert "path" not in edit.input_schema["properties"]["image"]["description"]
            result = await call(client, "edit_image", prompt=PROMPT, image=str(photo))
            assert result["error"]["code"] == "file_not_allowed"
            result = await finished(client, "imagine", prompt="a red kite", model="flux-2-pro")
            assert "path" not in result["images"][0]
            assert list((tmp_path / "data" / "pictures").iterdir())


async def test_a_contradicted_parameter_is_sent_with_a_notice(tmp_path: Path) -> None:
    """KKIAI's page has no seed, Replicate's schema has one."""
    async with session(tmp_path) as (client, upstream):
        result = await finished(
            client, "edit_image", prompt=PROMPT, image="https://example.test/a.png", provider="kkiai", seed=7
        )
        assert upstream.sandbox.request_log.submissions[0].request["input"]["seed"] == 7
        assert any("seed" in notice for notice in result["notices"])


async def test_images_whose_links_expire_are_copied_and_edited_from_the_copy(tmp_path: Path) -> None:
    """Links of BFL expire after ten minutes."""
    async with session(tmp_path) as (client, _):
        first = await finished(client, "imagine", prompt="a red kite", model="flux-2-pro", provider="bfl")
        (image,) = first["images"]
        copy = Path(image["path"])
        assert copy.parent == tmp_path / "data" / "pictures"
        with Image.open(copy) as opened:
            assert opened.size == (image["width"], image["height"])
        await anyio.sleep(600)
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            assert (await http.get(image["url"])).status_code == 403
        result = await finished(
            client, "edit_image", prompt=PROMPT, image=image["id"], model="flux-fill-pro", provider="bfl"
        )
        assert result["status"] == "succeeded", result


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"seed": True}, "seed: true is not a number"),
    ({"guidance": True}, "guidance: true is not a number"),
    ({"wait_s": True}, "wait_s: true is not a number"),
    ({"width": -1024, "height": 1024}, "width='-1024'"),
    ({"width": 10**400, "height": 1024}, "width="),
    ({"width": -1, "height": -1}, "width='-1'"),
    ({"steps": 10**9}, "steps="),
    ({"width": 1024, "model": "flux-2-pro"}, "takes width and height together; one was given"),
    ({"aspect_ratio": "16:9:4", "model": "recraft"}, "W:H"),
    ({"aspect_ratio": "0000:0009", "model": "flux-2-pro"}, "W:H"),
    ({"provider": "nobody"}, "not configured"),
]


async def test_nonsense_is_rejected_before_anything_is_paid(tmp_path: Path) -> None:
    """The error states what is allowed, and is never an internal one."""
    async with session(tmp_path) as (client, upstream):
        for given, says in NONSENSE:
            result = await call(client, "imagine", prompt="a kite", **given)
            assert result["error"]["code"] != "internal", says
            assert says in result["error"]["message"]
            assert result["next_step"], says
            assert not upstream.sandbox.request_log.submissions, says


async def test_a_provider_without_the_default_model_uses_its_own(tmp_path: Path) -> None:
    """Only JourneyAPI has Midjourney."""
    async with session(tmp_path) as (client, _):
        result = await finished(client, "imagine", prompt="a kite", provider="bfl")
        assert (result["status"], result["provider"]) == ("succeeded", "bfl")
        result = await call(client, "imagine", prompt="a kite", provider="bfl", model="midjourney")
        assert "flux-2-pro" in result["next_step"]


async def test_a_base_address_with_a_password_is_never_shown(tmp_path: Path) -> None:
    """A gateway may need one; our downloads do not use it."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_of(upstream, tmp_path, "bfl")
        environment["BFL_BASE_URL"] = environment["BFL_BASE_URL"].replace("://", "://gate:hunter2secret@")
        async with client_of(read_settings(environment)) as client:
            result = await finished(client, "imagine", prompt="a kite")
            assert result["status"] == "succeeded", result
            assert Path(result["images"][0]["path"]).is_file()
            assert "hunter2secret" not in json.dumps(result)

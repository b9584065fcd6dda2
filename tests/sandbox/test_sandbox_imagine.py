"""POST /imagine: accepted requests, and errors."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import re
import uuid
from typing import Any

import pytest
from httpx2 import AsyncClient
from manual_clock import ManualClock, until

from journey_mcp.sandbox import JourneyApiSettings, Settings
from journey_mcp.sandbox.journeyapi.models import MODELS

from .upstream import PLAIN, upstream

INSTANT = Settings(speed=0, seed=1)
RATIO = "aspect_ratio must be a valid ratio (e.g., 16:9)"


def errors(*messages: str) -> dict[str, Any]:
    return {"errors": [{"msg": message} for message in messages]}


def instant(**journeyapi: Any) -> Settings:
    return Settings(speed=0, seed=1, journeyapi=JourneyApiSettings(**journeyapi))


@pytest.mark.parametrize("model", [None, "midjourney", "flux-pro", "flux-dev", "flux-schnell"])
async def test_an_asynchronous_model_returns_only_the_task_id(model: str | None) -> None:
    async with upstream(INSTANT) as up:
        response = await up.imagine(**({"model": model} if model else {}))
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json().keys() == {"task_id"}
        assert (await up.fetch(response.json()["task_id"]))["model"] == (model or "midjourney")


@pytest.mark.parametrize("model", [model for model in MODELS.values() if model.is_synchronous])
async def test_a_synchronous_model_returns_the_finished_task(model: Any) -> None:
    async with upstream(instant(edit_without_image="lenient")) as up:
        response = (await up.imagine(model=model.model_id)).json()
        assert response.keys() == {"task_id", "status", "image_url"}
        assert response["status"] == "finished"


async def test_a_synchronous_model_may_return_only_the_task_id() -> None:
    async with upstream(instant(sync_answer="task_id")) as up:
        response = (await up.imagine(model="recraft")).json()
        assert response.keys() == {"task_id"}
        assert (await up.fetch(response["task_id"]))["status"] == "finished"


@pytest.mark.parametrize("reading", ["finished", "task_id"])
async def test_a_synchronous_request_is_held_until_the_task_has_ended(reading: Any) -> None:
    clock = ManualClock()
    settings = Settings(speed=1, journeyapi=JourneyApiSettings(sync_answer=reading))
    async with upstream(settings) as up, asyncio.TaskGroup() as group:
        request = group.create_task(up.imagine(model="z-image"))
        request_log = up.running.sandbox.request_log
        await until(lambda: bool(request_log.submissions) and request_log.submissions[0].outcome == "created")
        task_id = str(request_log.submissions[0].task_id)
        assert (await up.fetch(task_id))["status"] == "staged"
        assert not request.done()
        clock.advance(20)
        assert (await request).json()["task_id"] == task_id
        assert (await up.fetch(task_id))["status"] == "finished"


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"prompt": None}, ["prompt is required"]),
        ({"prompt": " "}, ["prompt is required"]),
        ({"prompt": 7}, ["prompt is required"]),
        ({"aspect_ratio": "wide"}, [RATIO]),
        ({"aspect_ratio": "5:4"}, [RATIO]),
        ({"aspect_ratio": "1:4"}, [RATIO]),
        ({"aspect_ratio": 1.5}, [RATIO]),
        ({"prompt": "", "aspect_ratio": "0:1"}, ["prompt is required", RATIO]),
        ({"model": "flux-9"}, ["model is not supported"]),
        ({"model": 9, "prompt": ""}, ["prompt is required", "model is not supported"]),
        ({"model": "flux-pro", "output_format": "webp"}, ["output_format must be png or jpg"]),
        ({"model": "flux-dev", "resolution": "8K"}, ["resolution must be 1K, 2K or 4K"]),
        ({"model": "nano-banana-2", "resolution": 2}, ["resolution must be 1K, 2K or 4K"]),
        ({"model": "flux-pro", "negative_prompt": "x" * 4001}, ["negative_prompt must be at most 4000 characters"]),
        ({"model": "flux-pro", "negative_prompt": 1}, ["negative_prompt must be at most 4000 characters"]),
        ({"model": "flux-kontext-pro"}, ["image_url is required for flux-kontext-pro"]),
        ({"model": "flux-kontext-pro", "image_url": "data:image/png;base64,AA"}, ["image_url must be a public URL"]),
        ({"model": "gpt-image-1", "image_url": ["http://a/b.png"]}, ["image_url must be a public URL"]),
        ({"model": "gpt-image-1", "image_url": "http://[b.png"}, ["image_url must be a public URL"]),
        ({"webhook_url": "http://example.test/hook"}, ["webhook_url must be an HTTPS URL"]),
        ({"webhook_url": "http://192.168.0.1/hook"}, ["webhook_url must be an HTTPS URL"]),
        ({"webhook_url": "https://127.0.0.1:99999/"}, ["webhook_url must be an HTTPS URL"]),
        ({"webhook_url": 5}, ["webhook_url must be an HTTPS URL"]),
        ({"webhook_secret": 5}, ["webhook_secret must be a string"]),
    ],
)
async def test_an_invalid_request_is_rejected_with_all_its_errors(body: dict[str, Any], messages: list[str]) -> None:
    async with upstream(INSTANT) as up:
        response = await up.imagine(**body)
        assert (response.status_code, response.json()) == (400, errors(*messages))
        assert (await up.account())["credits"] == 500


@pytest.mark.parametrize(
    "body",
    [
        {"aspect_ratio": "3:2", "surprise": [1]},
        {"output_format": "webp", "negative_prompt": "x" * 5000, "resolution": "9K", "image_url": "nonsense"},
        {"model": "recraft", "output_format": "webp", "negative_prompt": "x" * 5000, "resolution": "9K"},
        {"model": "flux-pro", "output_format": "jpg", "negative_prompt": "x" * 4000, "resolution": "2K"},
        {"model": "nano-banana-2", "aspect_ratio": "4:1", "resolution": "1K"},
        {"prompt": "a boat --ar 7:3", "aspect_ratio": "nonsense"},
        {"webhook_url": "http://localhost:1/hook", "webhook_secret": "s"},
        {"webhook_url": "https://127.0.0.1:1/hook"},
    ],
)
async def test_fields_that_a_model_does_not_use_are_ignored(body: dict[str, Any]) -> None:
    async with upstream(INSTANT) as up:
        assert (await up.imagine(**body)).status_code == 200


async def test_an_edit_model_without_an_image_may_generate_one() -> None:
    async with upstream(instant(edit_without_image="lenient")) as up:
        response = (await up.imagine(model="flux-kontext-max")).json()
        assert (await up.image(response["image_url"])).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("ratio", ["5:4", "21:9", "1:4"])
async def test_any_ratio_is_accepted_if_only_the_pattern_is_checked(ratio: str) -> None:
    async with upstream(instant(ratio_check="pattern")) as up:
        assert (await up.imagine(aspect_ratio=ratio)).status_code == 200
        assert (await up.imagine(aspect_ratio="5/4")).json() == errors(RATIO)


async def test_plain_http_webhooks_can_be_rejected() -> None:
    async with upstream(instant(allows_plain_webhooks=False)) as up:
        response = await up.imagine(webhook_url="http://127.0.0.1:1/hook")
        assert response.json() == errors("webhook_url must be an HTTPS URL")


async def test_an_extra_model_is_synchronous_and_costs_one_credit() -> None:
    async with upstream(instant(extra_models=("dream-9",))) as up:
        assert (await up.imagine(model="dream-9")).json()["status"] == "finished"
        assert (await up.account())["credits"] == 499


@pytest.mark.parametrize("key", [None, "", "Bearer japi_live_1"])
async def test_an_invalid_key_gets_401_and_an_empty_object(key: str | None) -> None:
    async with upstream(INSTANT) as up, AsyncClient(base_url=up.running.base_url, **PLAIN) as client:
        headers = {} if key is None else {"Authorization": key}
        responses = [
            await client.post("/imagine", json={"prompt": "a boat"}, headers=headers),
            await client.post("/fetch", json={"task_id": "1"}, headers=headers),
            await client.post("/fetch-many", json={"task_ids": ["1", "2"]}, headers=headers),
            await client.get("/account", headers=headers),
        ]
        assert [(response.status_code, response.json()) for response in responses] == [(401, {})] * 4


async def test_only_the_configured_keys_are_accepted() -> None:
    async with upstream(instant(keys=("Bearer odd",))) as up:
        assert (await up.imagine()).status_code == 401
        response = await up.client.get("/account", headers={"Authorization": "Bearer odd"})
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("content", "media_type", "message"),
    [
        (b"{broken", "application/json", "request body must be a JSON object"),
        (b"[1]", "application/json", "request body must be a JSON object"),
        (b"[" * 100_000, "application/json", "request body must be a JSON object"),
        (b'{"prompt": "\\udcff"}', "application/json", "request body must be a JSON object"),
        (b'{"prompt": "a"}', "text/plain", "Content-Type must be application/json"),
        (b'{"prompt": "a"}', None, "Content-Type must be application/json"),
        (b'{"prompt": "' + b"x" * 1_000_001 + b'"}', "application/json", "request body is too large"),
    ],
)
@pytest.mark.parametrize("path", ["/imagine", "/fetch", "/fetch-many"])
async def test_an_unreadable_body_is_rejected(path: str, content: bytes, media_type: str | None, message: str) -> None:
    async with upstream(INSTANT) as up:
        headers = {"Content-Type": media_type} if media_type else {}
        response = await up.client.post(path, content=content, headers=headers)
        assert (response.status_code, response.json()) == (400, errors(message))
        assert (await up.client.get(f"{up.running.origin}/sandbox/requests")).status_code == 200


async def test_a_charset_in_the_content_type_is_accepted() -> None:
    async with upstream(INSTANT) as up:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        assert (await up.client.post("/imagine", content=b'{"prompt":"a"}', headers=headers)).status_code == 200


async def test_unknown_routes_and_methods_get_404_and_405() -> None:
    async with upstream(INSTANT) as up:
        unknown = await up.client.post("/inpaint", json={"parent_task_id": "1"})
        wrong = await up.client.get("/imagine")
        assert (unknown.status_code, unknown.json()) == (404, errors("Not Found"))
        assert (wrong.status_code, wrong.json()) == (405, errors("Method Not Allowed"))
        assert wrong.headers["allow"] == "POST"
        assert (await up.client.post("/imagine/", json={})).status_code == 404


async def test_task_ids_are_uuids_or_look_like_uuids() -> None:
    async with upstream(INSTANT) as up:
        assert uuid.UUID(await up.made()).version == 4
    async with upstream(instant(task_ids="letters")) as up:
        ids = [await up.made() for _ in range(5)]
        assert all(re.fullmatch(r"[0-9gkpswz]{8}(-[0-9gkpswz]{4}){3}-[0-9gkpswz]{12}", task_id) for task_id in ids)


async def test_a_seeded_sandbox_is_reproducible() -> None:
    payloads = []
    for _ in range(2):
        async with upstream(INSTANT) as up:
            payload = await up.fetch(await up.made())
            payloads.append((payload["task_id"], payload["seed"]))
    assert payloads[0] == payloads[1]


async def test_sandboxes_without_a_seed_differ() -> None:
    async with upstream(Settings(speed=0)) as one, upstream(Settings(speed=0)) as other:
        assert await one.made() != await other.made()


def test_fineness_must_be_positive() -> None:
    with pytest.raises(ValueError, match="fineness is more than 0; not 0"):
        Settings(fineness=0)


def test_speed_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="speed is 0 or more; not -1"):
        Settings(speed=-1)


def test_the_models_that_need_an_image_are_the_documented_ones() -> None:
    assert {model_id for model_id, model in MODELS.items() if model.image == "required"} == {
        "seededit",
        "qwen-image-edit",
        "ideogram-v3-edit",
        "ideogram-v3-remix",
        "ideogram-v3-reframe",
        "flux-kontext-pro",
        "flux-kontext-max",
    }

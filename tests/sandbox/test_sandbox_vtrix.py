"""Vtrix: its task object, its errors, its models and their parameters."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import re
from typing import Any

import pytest
from httpx2 import AsyncClient
from manual_clock import ManualClock
from support import coarse

from journey_mcp.sandbox import Fault, Settings, VtrixSettings
from journey_mcp.sandbox.vtrix.models import MODELS

from .upstream import PLAIN, base64_of, difference, http, listening, opened, photo, public, vtrix

BLOCKED = "a boat, forbidden-in-sandbox"
IMAGE = base64_of(photo())
DATA_URI = f"data:image/png;base64,{IMAGE}"


def instant(*faults: str, **choices: Any) -> Settings:
    return coarse(speed=0, seed=1, faults=tuple(map(Fault.parse, faults)), vtrix=VtrixSettings(**choices))


def at_real_speed(*faults: str, **choices: Any) -> Settings:
    return Settings(speed=1, seed=1, faults=tuple(map(Fault.parse, faults)), vtrix=VtrixSettings(**choices))


async def test_a_task_passes_the_documented_states() -> None:
    clock = ManualClock()
    async with vtrix(at_real_speed()) as up:
        response = (await up.generate()).json()
        task_id, created_at = response["id"], response["created_at"]
        head = {"id": task_id, "model": "flux_kontext_pro", "created_at": created_at}
        assert isinstance(created_at, int)
        assert response == head | {"status": "in_progress"}
        assert await up.task(task_id) == head | {"status": "in_progress", "progress": 0.0}
        clock.advance(3)
        half_way = await up.task(task_id)
        assert 0.2 < half_way.pop("progress") < 0.6
        assert half_way == head | {"status": "in_progress"}
        clock.advance(10)
        assert await up.task(task_id) == head | {
            "status": "completed",
            "output": [{"content": [{"type": "image", "url": f"{up.running.origin}/pictures/{task_id}/0.jpeg"}]}],
            "usage": {"cost": "0.0400", "discount": 0},
            "metadata": {},
        }


async def test_the_response_to_a_creation_has_no_results() -> None:
    async with vtrix(instant()) as up:
        response = (await up.generate()).json()
        assert response.keys() == {"id", "model", "status", "created_at"}
        assert response["status"] == "in_progress"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("object", {"code": "000000000", "message": "Out of paint"}),
        ("number", {"code": 123, "error_message": "Out of paint"}),
        ("text", "Out of paint"),
    ],
)
async def test_a_failed_task_has_its_error_in_one_of_three_formats(form: Any, error: Any) -> None:
    async with vtrix(instant("submit:fail_task=Out of paint", error_form=form)) as up:
        payload = await up.task(await up.made())
        assert (payload["status"], payload["error"]) == ("failed", error)
        assert payload.keys() == {"id", "model", "status", "created_at", "error"}


async def test_a_blocked_prompt_fails_the_task() -> None:
    async with vtrix(instant()) as up:
        payload = await up.task(await up.made(prompt=BLOCKED))
        assert payload["error"] == {"code": "000000000", "message": "The content was blocked by our policy"}
        assert (await public(f"{up.running.origin}/pictures/{payload['id']}/0.jpeg")).status_code == 404


async def test_the_contradictory_forms_of_a_task_are_settings() -> None:
    clock = ManualClock()
    settings = at_real_speed(task_id_field="task_id", created_at="iso", waiting_words=("pending", "processing"))
    async with vtrix(settings) as up:
        created = (await up.generate()).json()
        assert created.keys() == {"task_id", "model", "status", "created_at"}
        assert created["status"] == "pending"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created["created_at"])
        words = []
        for _ in range(26):
            payload = await up.task(created["task_id"])
            words.append(payload["status"])
            clock.advance(0.5)
        assert list(dict.fromkeys(words)) == ["pending", "processing", "completed"]
        assert payload["completed_at"] > payload["created_at"]


def test_a_running_task_needs_a_status_word() -> None:
    with pytest.raises(ValueError, match="waiting_words needs at least one word"):
        VtrixSettings(waiting_words=())


async def test_an_unknown_task_is_not_found() -> None:
    async with vtrix(instant()) as up:
        response = await up.ask("unknown")
        assert (response.status_code, response.json()) == (404, {"message": "task not found"})


@pytest.mark.parametrize("value", [None, "", "vt_1", "Bearer", "Bearer vt_2", "bearer vt_1"])
async def test_a_missing_or_wrong_key_is_rejected_with_401(value: str | None) -> None:
    async with vtrix(instant(keys=("vt_1",))) as up:
        headers = {"Authorization": value} if value is not None else {}
        async with AsyncClient(base_url=up.running.base_urls["vtrix"], headers=headers, **PLAIN) as client:
            responses = [
                await client.post("/model/v1/generation", json={}),
                await client.get("/model/v1/generation/task/x"),
            ]
        assert [(response.status_code, response.json()) for response in responses] == [
            (401, {"message": "invalid API key"})
        ] * 2
        assert (await up.generate()).status_code == 200


async def test_an_empty_balance_is_rejected_with_403() -> None:
    async with vtrix(instant(balance_usd=0.1)) as up:
        await up.made()
        await up.made()
        response = await up.generate()
        assert (response.status_code, response.json()) == (403, {"message": "insufficient balance"})
        assert up.balance == pytest.approx(0.02)
        up.running.services["vtrix"].balance = 1
        await up.made()
        request_log = up.running.sandbox.request_log
        assert [entry.outcome for entry in request_log.submissions] == ["created"] * 2 + ["refused 403", "created"]
        assert [entry.charged for entry in request_log.submissions] == [0.04, 0.04, 0, 0.04]
        assert {(entry.service, entry.endpoint, entry.model) for entry in request_log.submissions} >= {
            ("vtrix", "generation", "flux_kontext_pro")
        }
        assert request_log.requests["vtrix/generation"] == 4


@pytest.mark.parametrize(("refunds", "left"), [(True, 50), (False, 49.96)])
async def test_the_price_of_a_failed_task_is_refunded_if_the_settings_say_so(refunds: bool, left: float) -> None:
    async with vtrix(instant(refunds_failed_tasks=refunds)) as up:
        await up.task(await up.made(prompt=BLOCKED))
        assert up.balance == pytest.approx(left)


async def test_too_many_tasks_are_rejected_with_429() -> None:
    clock = ManualClock()
    async with vtrix(at_real_speed(tasks_at_once=1)) as up:
        await up.made()
        response = await up.generate()
        assert (response.status_code, response.json()) == (429, {"message": "rate limit exceeded"})
        clock.advance(12)
        await up.made()


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "invalid API key"), (403, "insufficient balance"), (429, "rate limit exceeded"), (500, "internal error")],
)
async def test_a_status_fault_sends_the_documented_body(status: int, message: str) -> None:
    async with vtrix(instant(f"vtrix/submit:status={status}")) as up:
        response = await up.generate()
        assert (response.status_code, response.json()) == (status, {"message": message})


async def test_faults_change_the_task_object() -> None:
    clock = ManualClock()
    faults = (
        "vtrix/submit:drop_fields=id",
        "vtrix/fetch:status_word=dreaming",
        "vtrix/fetch:percentage=40,after=1",
        "vtrix/fetch:backwards,after=2",
        "vtrix/submit:hang,after=1",
    )
    async with vtrix(at_real_speed(*faults)) as up:
        assert "id" not in (await up.generate()).json()
        task_id = await up.made()
        assert (await up.task(task_id))["status"] == "dreaming"
        assert (await up.task(task_id))["progress"] == 40
        clock.advance(1e6)
        assert (await up.task(task_id))["progress"] == 0.04
        assert (await up.task(task_id))["progress"] == 0.99


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "a JSON object is required"),
        ({}, "model: Field required"),
        ({"model": "flux"}, "model: flux is not supported"),
        ({"model": "flux_kontext_pro", "prompt": "a"}, "prompt: parameters belong in input[0].params"),
        ({"model": "flux_kontext_pro"}, "input: a list with one object is required"),
        ({"model": "flux_kontext_pro", "input": {}}, "input: a list with one object is required"),
        ({"model": "flux_kontext_pro", "input": [{}, {}]}, "input: a list with one object is required"),
        ({"model": "flux_kontext_pro", "input": [{}]}, "input[0]: an object with params alone is required"),
        (
            {"model": "flux_kontext_pro", "input": [{"params": {}, "prompt": "a"}]},
            "input[0]: an object with params alone is required",
        ),
        (
            {"model": "flux_kontext_pro", "input": [{"params": {"prompt": "a"}}], "metadata": {}},
            "metadata: parameters belong in input[0].params",
        ),
    ],
)
async def test_a_body_without_the_wrapper_is_rejected(body: Any, message: str) -> None:
    async with vtrix(instant()) as up:
        response = await up.post(body)
        assert (response.status_code, response.json()) == (400, {"message": message})


async def test_a_flat_body_is_accepted_if_the_settings_allow_it() -> None:
    async with vtrix(instant(body="both")) as up:
        assert (await up.post({"model": "flux_kontext_pro", "prompt": "a"})).status_code == 200
        assert (await up.generate()).status_code == 200
        assert (await up.post({"model": "flux_kontext_pro"})).json() == {"message": "prompt: Field required"}


async def test_only_json_is_accepted() -> None:
    async with vtrix(instant()) as up:
        headers = {"Content-Type": "text/plain"}
        for content, kind in ((b"{}", headers), (b"{", {"Content-Type": "application/json"})):
            response = await up.client.post("/model/v1/generation", content=content, headers=kind)
            assert response.json() == {"message": "a JSON object is required"}


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("flux_kontext_pro", {"prompt": None}, "prompt: Field required"),
        ("flux_kontext_pro", {"steps": 20}, "steps: Extra inputs are not permitted"),
        ("flux_kontext_pro", {"width": 512}, "width: Extra inputs are not permitted"),
        ("flux_kontext_pro", {"output_format": "jpg"}, "output_format: Input should be 'jpeg' or 'png'"),
        (
            "flux_kontext_pro",
            {"safety_tolerance": -1},
            "safety_tolerance: Input should be greater than or equal to 0",
        ),
        ("flux_kontext_max", {"guidance_scale": 11}, "guidance_scale: Input should be less than or equal to 10"),
        ("flux_2_pro", {"aspect_ratio": "1:1"}, "aspect_ratio: Extra inputs are not permitted"),
        ("flux_2_pro", {"width": 100}, "width: Input should be a multiple of 32"),
        ("flux_2_pro", {"safety_tolerance": "7"}, "safety_tolerance: Input should be less than or equal to 6"),
        ("flux_pro_11", {"image_prompt": "https://a.test/"}, "image_prompt: Value error, an image comes as base64"),
        ("kirin_v2_image", {"image": DATA_URI}, "image: Value error, an image comes as url or base64"),
        ("kirin_v2_image", {"image": IMAGE}, "image: an image of 300 x 200 pixels is not accepted"),
        ("kirin_v2_image", {"n": 10}, "n: Input should be less than or equal to 9"),
        ("viduq2_reference2image", {"images": [IMAGE]}, "images: Value error, an image comes as url or data_uri"),
        ("vtrix_image_4_5_blend", {"image": [IMAGE]}, "image: List should have at least 2 items, not 1"),
        ("vtrix_edit_transform", {}, "image_urls: Field required"),
        ("spark_multi_dreamo", {}, "image_urls or binary_data_base64: Field required"),
        ("spark_dream_4_0", {"size": "3K"}, "size: String should match pattern"),
        ("spark_dream_4_0", {"size": "640x480"}, "size: an image has 921600 to 16777216 pixels"),
        ("flux_kontext_pro", {"input_image": "not base64"}, "input_image: this is not base64"),
        ("flux_kontext_pro", {"input_image": base64_of(b"hello")}, "input_image: this is not an image"),
        (
            "spark_multi_dreamo",
            {"binary_data_base64": [base64_of(b"x" * 4_700_001)]},
            "binary_data_base64: more than 4700000 bytes",
        ),
    ],
)
async def test_parameters_that_a_model_does_not_accept_are_rejected(
    model: str, params: dict[str, Any], message: str
) -> None:
    async with vtrix(instant()) as up:
        response = await up.generate(model, **params)
        assert response.status_code == 400
        assert response.json()["message"].startswith(message)
        assert up.balance == 50


async def test_the_lowest_safety_tolerance_is_a_setting() -> None:
    async with vtrix(instant(safety_minimum=1)) as up:
        assert (await up.generate("flux_kontext_pro", safety_tolerance=0)).status_code == 400
        await up.made(safety_tolerance=1)


async def test_an_extra_model_accepts_any_parameter() -> None:
    async with vtrix(instant(extra_models=("flux_9",))) as up:
        (image,) = await up.finished("flux_9", mood="blue", aspect_ratio="16:9")
        assert opened(image.content).size == (1024, 576)


@pytest.mark.parametrize(
    ("model", "params", "size", "image_format"),
    [
        ("flux_kontext_pro", {}, (1024, 1024), "JPEG"),
        ("flux_kontext_max", {"aspect_ratio": "21:9", "output_format": "png"}, (1024, 438), "PNG"),
        ("flux_2_pro", {"width": 640, "height": 96, "safety_tolerance": "2"}, (640, 96), "JPEG"),
        ("flux_2_pro", {"width": 640, "safety_tolerance": 2}, (640, 1024), "JPEG"),
        ("flux_pro_11", {"width": 256, "height": 512}, (256, 512), "JPEG"),
        ("vtrix_image_4_0", {"size": "2K"}, (1536, 1536), "JPEG"),
        ("spark_dream_4_0", {"size": "1280x960"}, (1280, 960), "JPEG"),
        ("kirin_image_omni", {"resolution": "2k", "aspect_ratio": "3:4"}, (1152, 1536), "JPEG"),
        ("viduq2_reference2image", {"aspect_ratio": "auto"}, (1024, 1024), "JPEG"),
        ("vtrix_nano_banana", {"resolution": "2k", "aspect_ratio": "16:9", "mood": "blue"}, (1536, 864), "JPEG"),
        ("midjourney_diffusion", {"prompt": None, "text": "a boat --ar 2:1"}, (1024, 512), "JPEG"),
    ],
)
async def test_an_image_has_the_requested_size_and_format(
    model: str, params: dict[str, Any], size: tuple[int, int], image_format: str
) -> None:
    async with vtrix(instant()) as up:
        (image,) = await up.finished(model, **params)
        opened_image = opened(image.content)
        assert (opened_image.size, opened_image.format) == (size, image_format)
        assert image.headers["content-type"] == f"image/{image_format.lower()}"


@pytest.mark.parametrize(
    ("model", "params", "count"),
    [
        ("kirin_v2_image", {"n": 3}, 3),
        ("kirin_v3_omni_image", {"result_type": "series"}, 4),
        ("kirin_v3_omni_image", {"result_type": "series", "series_amount": 2, "n": 9}, 2),
        ("gpt_image_1", {"n": 99}, 1),
    ],
)
async def test_the_price_grows_with_the_number_of_images(model: str, params: dict[str, Any], count: int) -> None:
    async with vtrix(instant()) as up:
        images = await up.finished(model, **params)
        assert len({image.content for image in images}) == count
        assert up.balance == pytest.approx(50 - count * float(MODELS[model].price_usd))


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("flux_kontext_pro", {"input_image": IMAGE}),
        ("flux_kontext_pro", {"input_image": DATA_URI}),
        ("flux_2_pro", {"input_image_8": IMAGE}),
        ("kirin_v3_image", {"image": IMAGE}),
        ("vtrix_nano_banana", {"image_urls": [IMAGE]}),
        ("gpt_image_1_edit", {"image": IMAGE, "mask": "anything"}),
        (
            "qwen_image_edit_plus",
            {"prompt": None, "input": {"messages": [{"role": "user", "content": [{"image": IMAGE}, {"text": "a"}]}]}},
        ),
    ],
)
async def test_an_edit_changes_the_image_and_keeps_it_recognisable(model: str, params: dict[str, Any]) -> None:
    async with vtrix(instant()) as up:
        (image,) = await up.finished(model, **params)
        before, after = opened(photo()), opened(image.content)
        assert after.size == before.size
        assert 10 < difference(before, after) < 60


@pytest.mark.parametrize(
    "payload", [{}, {"messages": "none"}, {"messages": ["none"]}, {"messages": [{"content": "a"}]}]
)
async def test_messages_without_images_generate_an_image(payload: Any) -> None:
    async with vtrix(instant()) as up:
        (image,) = await up.finished("wan27_image", prompt=None, input=payload)
        assert opened(image.content).size == (1024, 1024)


async def test_the_first_image_is_the_canvas_and_the_others_appear_on_it() -> None:
    async with vtrix(instant()) as up:
        one, other = base64_of(photo((320, 240))), base64_of(photo((600, 600)))
        (alone,) = await up.finished(input_image=one, seed=1, output_format="png")
        (both,) = await up.finished(input_image=one, input_image_2=other, seed=1, output_format="png")
        assert opened(both.content).size == (320, 240)
        assert difference(opened(alone.content), opened(both.content)) > 0.1


@pytest.mark.parametrize(
    ("model", "params", "size"),
    [
        ("flux_kontext_pro", {"aspect_ratio": "1:1"}, (200, 200)),
        ("flux_2_pro", {"width": 512, "height": 512}, (512, 512)),
    ],
)
async def test_an_edit_has_the_requested_shape(model: str, params: dict[str, Any], size: tuple[int, int]) -> None:
    async with vtrix(instant()) as up:
        (image,) = await up.finished(model, input_image=IMAGE, **params)
        assert opened(image.content).size == size


async def test_an_edit_loads_urls_elsewhere_and_in_the_sandbox() -> None:
    async with listening(http(200, photo((400, 320)))) as source, vtrix(instant()) as up:
        (edit,) = await up.finished("kirin_image_omni", image_list=[{"image": source.url}])
        assert opened(edit.content).size == (400, 320)
        assert "authorization" not in source.received[0].headers
        (again,) = await up.finished("spark_dream_4_0", image=str(edit.url))
        assert opened(again.content).size == (400, 320)


async def test_a_url_without_an_image_fails_the_task() -> None:
    async with listening(http(404)) as source, vtrix(instant()) as up:
        payload = await up.task(await up.made(input_image=source.url))
        assert payload["error"]["message"] == "Could not fetch input_image: HTTP 404"
        assert up.balance == 50


async def test_a_seed_reproduces_an_image() -> None:
    async with vtrix(instant()) as up:
        one, same = [(await up.finished(seed=7))[0].content for _ in range(2)]
        (other,) = await up.finished(seed=8)
        any_one, another = [(await up.finished("spark_dream_3_0", seed=-1, width=256))[0].content for _ in range(2)]
        assert one == same != other.content
        assert any_one != another

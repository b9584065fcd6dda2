"""Black Forest Labs: tasks, links that expire, errors, limits, credits."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from typing import Any

import pytest
from httpx2 import AsyncClient
from manual_clock import ManualClock

from journey_mcp.sandbox import BflSettings, Fault, Settings

from .upstream import PLAIN, base64_of, bfl, http, listening, photo, public

BLOCKED = "a boat, forbidden-in-sandbox"
IMAGE = base64_of(photo())


def instant(*faults: str, **choices: Any) -> Settings:
    return Settings(speed=0, seed=1, faults=tuple(map(Fault.parse, faults)), bfl=BflSettings(**choices))


def at_real_speed(*faults: str, **choices: Any) -> Settings:
    return Settings(speed=1, seed=1, faults=tuple(map(Fault.parse, faults)), bfl=BflSettings(**choices))


def task_object(task_id: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": task_id,
        "status": status,
        "result": None,
        "progress": None,
        "details": None,
        "preview": None,
        **more,
    }


async def test_a_task_passes_the_documented_states() -> None:
    clock = ManualClock()
    async with bfl(at_real_speed()) as up:
        response = await up.made(seed=11)
        task_id = response["id"]
        polling_url = f"{up.running.origin}/bfl/v1/get_result?id={task_id}"
        assert response == {
            "id": task_id,
            "polling_url": polling_url,
            "cost": 4,
            "input_mp": None,
            "output_mp": 1.05,
        }
        assert (await up.client.get(polling_url)).json() == task_object(task_id, "Pending")
        clock.advance(10)
        payload = (await up.client.get(polling_url)).json()
        sample = payload["result"].pop("sample")
        assert payload == task_object(task_id, "Ready", result={"prompt": "a paper boat", "seed": 11})
        assert sample.startswith(f"{up.running.origin}/pictures/{task_id}/sample.png?sig=")
        assert (await public(sample)).status_code == 200


@pytest.mark.parametrize(
    ("speed", "shortens", "lifetime_s"), [(1, False, 600), (10, False, 600), (10, True, 60), (0, True, 0)]
)
async def test_a_link_expires_ten_minutes_after_the_end_of_its_task(
    speed: float, shortens: bool, lifetime_s: float
) -> None:
    clock = ManualClock()
    settings = Settings(speed=speed, seed=1, bfl=BflSettings(shortens_links=shortens))
    async with bfl(settings) as up:
        created = await up.made()
        task = up.running.sandbox.tasks.find(created["id"])
        assert task is not None
        clock.advance(task.ends_at - clock())
        url = (await up.task(created))["result"]["sample"]
        if lifetime_s:
            clock.advance(lifetime_s - 1)
            assert (await public(url)).status_code == 200
            clock.advance(1)
        assert (await public(url)).status_code == 403
        assert (await up.task(created))["status"] == "Ready"


async def test_status_and_lifetime_of_expired_links_are_settings() -> None:
    clock = ManualClock()
    async with bfl(at_real_speed(expired_status=404, link_lifetime_s=30)) as up:
        created = await up.made()
        clock.advance(10)
        url = (await up.task(created))["result"]["sample"]
        clock.advance(30)
        assert (await public(url)).status_code == 404


async def test_a_link_without_its_signature_is_refused() -> None:
    async with bfl(instant()) as up:
        url = (await up.task(await up.made()))["result"]["sample"]
        bare = url.partition("?")[0]
        assert [(await public(wrong)).status_code for wrong in (bare, f"{bare}?sig=x")] == [403, 403]


@pytest.mark.parametrize(("choice", "status"), [("200", 200), ("404", 404)])
async def test_the_status_of_an_unknown_task_is_a_setting(choice: Any, status: int) -> None:
    async with bfl(instant(unknown_task=choice)) as up:
        response = await up.ask("unknown")
        assert (response.status_code, response.json()) == (status, task_object("unknown", "Task not found"))


async def test_polling_requires_an_id() -> None:
    async with bfl(instant()) as up:
        response = await up.client.get("/get_result")
        assert (response.status_code, response.json()) == (
            422,
            {"detail": [{"loc": ["query", "id"], "msg": "Field required", "type": "missing"}]},
        )


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        ("Out of paint", "Error", {"error": "internal_error", "message": "Out of paint"}),
        ("Request Moderated", "Request Moderated", {}),
        ("Content Moderated", "Content Moderated", {}),
    ],
)
async def test_a_task_can_fail_in_every_documented_way(error: str, status: str, more: dict[str, str]) -> None:
    async with bfl(instant(f"submit:fail_task={error}")) as up:
        created = await up.made()
        assert await up.task(created) == task_object(created["id"], status, **more)


async def test_a_blocked_prompt_is_a_moderated_request() -> None:
    async with bfl(instant()) as up:
        created = await up.made(prompt=BLOCKED)
        assert await up.task(created) == task_object(created["id"], "Request Moderated")


async def test_a_failed_task_may_have_no_explanation() -> None:
    async with bfl(instant("submit:fail_task=No", explains_errors=False)) as up:
        created = await up.made()
        assert await up.task(created) == task_object(created["id"], "Error")


@pytest.mark.parametrize("word", ["Content Moderated", "Request Moderated", "Task not found", "dreaming"])
async def test_another_status_word_has_no_result(word: str) -> None:
    async with bfl(instant(f"bfl/fetch:status_word={word}")) as up:
        created = await up.made()
        assert await up.task(created) == task_object(created["id"], word)
        assert (await up.task(created))["status"] == "Ready"


async def test_faults_change_the_task_object() -> None:
    clock = ManualClock()
    faults = ("fetch:percentage=0.4", "fetch:drop_fields=status+result,after=1", "submit:hang", "account:bad_json")
    async with bfl(at_real_speed(*faults)) as up:
        created = await up.made()
        clock.advance(1e6)
        assert (await up.task(created))["progress"] == 0.4
        assert (await up.task(created)).keys() == {"id", "progress", "details", "preview"}
        assert (await up.task(created))["status"] == "Pending"
        assert (await up.client.get("/credits")).text.startswith("no json")


async def test_the_polling_url_can_have_a_foreign_host() -> None:
    async with bfl(instant("bfl/submit:foreign_url=http://localhost:9")) as up:
        created = await up.made()
        assert created["polling_url"] == f"http://localhost:9/bfl/v1/get_result?id={created['id']}"


@pytest.mark.parametrize(
    ("choice", "status", "body"),
    [
        ("403", 403, {"detail": "Not authenticated"}),
        ("401", 401, {"error": "invalid_api_key", "message": "The API key is missing or invalid"}),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"x-key": "bfl_2"}, {"Authorization": "Bearer bfl_1"}])
async def test_a_missing_or_wrong_key_is_rejected(
    headers: dict[str, str], choice: Any, status: int, body: dict[str, str]
) -> None:
    async with bfl(instant(keys=("bfl_1",), unauthorized=choice)) as up:
        async with AsyncClient(base_url=up.running.base_urls["bfl"], headers=headers, **PLAIN) as client:
            responses = [
                await client.post("/flux-kontext-pro", json={"prompt": "a"}),
                await client.get("/get_result?id=x"),
                await client.get("/credits"),
            ]
        assert [(response.status_code, response.json()) for response in responses] == [(status, body)] * 3
        assert (await up.submit()).status_code == 200


async def test_polling_without_a_key_is_allowed_if_the_settings_say_so() -> None:
    async with bfl(instant(keys=("bfl_1",), poll_needs_key=False)) as up:
        created = await up.made()
        assert (await public(created["polling_url"])).json()["status"] == "Ready"


async def test_an_empty_balance_is_rejected_with_402() -> None:
    async with bfl(instant(credits=7)) as up:
        await up.made()
        response = await up.submit()
        body = {"error": "insufficient_credits", "message": "Not enough credits"}
        assert (response.status_code, response.json()) == (402, body)
        assert await up.credits() == 3
        up.running.services["bfl"].balance = 4
        await up.made()
        request_log = up.running.sandbox.request_log
        assert [(entry.service, entry.endpoint, entry.charged) for entry in request_log.submissions] == [
            ("bfl", "submit", 4),
            ("bfl", "submit", 0),
            ("bfl", "submit", 4),
        ]
        assert request_log.submissions[0].model == "flux-kontext-pro"
        assert (request_log.requests["bfl/submit"], request_log.requests["bfl/credits"]) == (3, 1)


@pytest.mark.parametrize(("refunds", "left"), [(True, 1000), (False, 996)])
async def test_a_failed_task_is_refunded_if_the_settings_say_so(refunds: bool, left: float) -> None:
    async with bfl(instant(refunds_failed_tasks=refunds)) as up:
        await up.task(await up.made(prompt=BLOCKED))
        assert await up.credits() == left


@pytest.mark.parametrize(("model", "limit"), [("flux-kontext-pro", 24), ("flux-kontext-max", 6)])
async def test_too_many_tasks_are_rejected_with_429(model: str, limit: int) -> None:
    clock = ManualClock()
    async with bfl(at_real_speed()) as up:
        for left in reversed(range(limit)):
            accepted = await up.submit(model)
            assert accepted.headers["x-ratelimit-remaining"] == str(left + 24 - limit)
        response = await up.submit(model)
        assert response.status_code == 429
        assert response.json() == {
            "error": "rate_limit_exceeded",
            "message": "Too many active tasks",
            "retry_after": 5,
        }
        assert (response.headers["retry-after"], response.headers["x-ratelimit-limit"]) == ("5", "24")
        assert response.headers["x-ratelimit-reset"].isdigit()
        clock.advance(10)
        await up.made(model)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": "invalid_api_key", "message": "The API key is missing or invalid"}),
        (402, {"error": "insufficient_credits", "message": "Not enough credits"}),
        (403, {"detail": "Not authenticated"}),
        (422, {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]}),
        (429, {"error": "rate_limit_exceeded", "message": "Too many active tasks", "retry_after": 5}),
        (500, {}),
    ],
)
async def test_a_status_fault_sends_the_documented_body(status: int, body: Any) -> None:
    async with bfl(instant(f"bfl/submit:status={status}")) as up:
        response = await up.submit()
        assert (response.status_code, response.json()) == (status, body)


@pytest.mark.parametrize("body", ["[]", "{", '"\\ud800"'])
async def test_a_body_that_is_not_an_object_is_rejected(body: str) -> None:
    async with bfl(instant()) as up:
        for kind in ("application/json", "text/plain"):
            headers = {"Content-Type": kind}
            response = await up.client.post("/flux-kontext-pro", content=body, headers=headers)
            problem = {"loc": ["body"], "msg": "Input should be a valid JSON object", "type": "json_invalid"}
            assert (response.status_code, response.json()) == (422, {"detail": [problem]})


async def test_an_unknown_model_is_an_unknown_path() -> None:
    async with bfl(instant(extra_models=("flux-9",))) as up:
        response = await up.submit("flux-kontext")
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
        assert (await up.submit("flux-9", mood="blue")).status_code == 200


@pytest.mark.parametrize(
    ("model", "body", "name", "kind"),
    [
        ("flux-kontext-pro", {"prompt": None}, "prompt", "missing"),
        ("flux-kontext-pro", {"width": 512}, "width", "extra_forbidden"),
        ("flux-kontext-pro", {"negative_prompt": "a"}, "negative_prompt", "extra_forbidden"),
        ("flux-kontext-pro", {"aspect_ratio": "5:2"}, "aspect_ratio", "value_error"),
        ("flux-kontext-pro", {"safety_tolerance": 7}, "safety_tolerance", "less_than_equal"),
        ("flux-kontext-pro", {"output_format": "jpg"}, "output_format", "literal_error"),
        ("flux-kontext-pro", {"webhook_url": "ftp://a.test"}, "webhook_url", "string_pattern_mismatch"),
        ("flux-kontext-pro", {"webhook_url": "https://" + "a" * 2080}, "webhook_url", "string_too_long"),
        ("flux-kontext-pro", {"input_image": "not base64"}, "input_image", "value_error"),
        ("flux-kontext-pro", {"input_image": base64_of(b"hello")}, "input_image", "value_error"),
        ("flux-pro-1.1", {"height": 1472}, "height", "less_than_equal"),
        ("flux-pro-1.1", {"aspect_ratio": "1:1"}, "aspect_ratio", "extra_forbidden"),
        ("flux-pro-1.1", {"image_prompt": "https://a.test/b.png"}, "image_prompt", "value_error"),
        ("flux-2-pro", {"safety_tolerance": 6}, "safety_tolerance", "less_than_equal"),
        ("flux-2-pro", {"width": 65}, "width", "multiple_of"),
        ("flux-2-pro", {"width": 4096, "height": 2048}, "width", "value_error"),
        ("flux-2-pro", {"steps": 20}, "steps", "extra_forbidden"),
        ("flux-2-klein-4b", {"input_image_5": IMAGE}, "input_image_5", "extra_forbidden"),
        ("flux-pro-1.0-fill", {}, "image", "missing"),
    ],
)
async def test_parameters_that_a_model_does_not_accept_are_rejected(
    model: str, body: dict[str, Any], name: str, kind: str
) -> None:
    async with bfl(instant(aspect_ratio_limit="7:3")) as up:
        response = await up.submit(model, **body)
        assert response.status_code == 422
        (problem,) = response.json()["detail"]
        assert (problem["loc"], problem["type"]) == (["body", name], kind)
        assert await up.credits() == 1000


async def test_an_input_image_must_not_be_too_large() -> None:
    async with bfl(instant(image_limit_bytes=100)) as up:
        (problem,) = (await up.submit(input_image=IMAGE)).json()["detail"]
        assert problem["msg"] == "Value error, more than 100 bytes"
    async with bfl(instant(image_limit_px=50_000)) as up:
        (problem,) = (await up.submit(input_image_2=IMAGE)).json()["detail"]
        assert (problem["loc"], problem["msg"]) == (
            ["body", "input_image_2"],
            "Value error, an image has at most 0.05 megapixels",
        )


@pytest.mark.parametrize(("limit", "status"), [("21:9", 422), ("7:3", 422), ("4:1", 200)])
async def test_the_widest_shape_of_kontext_is_a_setting(limit: Any, status: int) -> None:
    async with bfl(instant(aspect_ratio_limit=limit)) as up:
        assert (await up.submit(aspect_ratio="4:1")).status_code == status
        assert (await up.submit(aspect_ratio="9:21")).status_code == 200


async def test_a_url_without_an_image_fails_the_task() -> None:
    async with listening(http(404)) as source, bfl(instant()) as up:
        created = await up.made(input_image=source.url)
        assert created["input_mp"] is None
        assert await up.task(created) == task_object(
            created["id"], "Error", error="invalid_image", message="Could not fetch input_image: HTTP 404"
        )

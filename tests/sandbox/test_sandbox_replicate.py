"""Creating predictions at Replicate and at KKIAI: accepted requests, responses, and errors."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import io
import json
import re
from typing import Any

import pytest
from manual_clock import ManualClock
from PIL import Image
from support import coarse

from journey_mcp.sandbox import Fault, KkiaiSettings, ReplicateSettings, Settings

from .replicate_upstream import DEV, DIFFUSION, PRO, SCHNELL, upstream

BOTH = pytest.mark.parametrize("service", ["kkiai", "replicate"])
PROBLEM = "application/problem+json"


async def test_a_new_prediction_at_replicate_has_the_documented_form() -> None:
    async with upstream("replicate", Settings(speed=1)) as up:
        response = await up.predict(aspect_ratio="16:9")
        payload = response.json()
        home = f"{up.running.origin}/replicate/v1/predictions/{payload['id']}"
        assert response.status_code == 201
        assert re.fullmatch("[a-z0-9]{26}", payload["id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payload.pop("created_at"))
        assert payload == {
            "id": payload["id"],
            "model": PRO,
            "version": "hidden",
            "input": {"prompt": "a paper boat", "aspect_ratio": "16:9"},
            "logs": "",
            "output": None,
            "data_removed": False,
            "error": None,
            "status": "starting",
            "source": "api",
            "urls": {
                "get": home,
                "cancel": f"{home}/cancel",
                "web": f"{up.running.origin}/replicate/p/{payload['id']}",
            },
        }


async def test_a_new_prediction_at_kkiai_has_the_form_of_its_example() -> None:
    async with upstream("kkiai", Settings(speed=1)) as up:
        response = await up.predict()
        payload = response.json()
        assert response.status_code == 200
        del payload["created_at"]
        assert payload == {
            "id": payload["id"],
            "model": PRO,
            "version": "hidden",
            "input": {"prompt": "a paper boat"},
            "logs": "",
            "output": None,
            "data_removed": False,
            "error": None,
            "status": "starting",
            "urls": {
                "cancel": f"https://api.replicate.com/v1/predictions/{payload['id']}/cancel",
                "get": f"https://api.replicate.com/v1/predictions/{payload['id']}",
                "stream": f"https://stream.replicate.com/v1/files/{payload['id']}",
                "web": f"https://replicate.com/p/{payload['id']}",
            },
        }


async def test_a_new_prediction_may_lack_the_fields_that_recorded_ones_lack() -> None:
    settings = Settings(speed=0, replicate=ReplicateSettings(fresh_fields="recorded"))
    async with upstream("replicate", settings) as up:
        payload = await up.made()
        assert "output" not in payload
        assert payload["urls"].keys() == {"get", "cancel"}
        payload = await up.fetch(payload["id"])
        assert payload["output"].startswith(up.running.origin)
        assert "web" in payload["urls"]


@BOTH
async def test_one_image_is_a_url_and_several_are_a_list(service: str) -> None:
    async with upstream(service, coarse(speed=0)) as up:
        one = await up.fetch((await up.made(aspect_ratio="16:9", output_format="jpg"))["id"])
        several = await up.fetch((await up.made(SCHNELL, num_outputs=3))["id"])
        alone = await up.fetch((await up.made(SCHNELL))["id"])
        assert isinstance(one["output"], str)
        assert len(set(several["output"])) == 3
        assert len(alone["output"]) == 1
        images = [await up.image(url) for url in (one["output"], *several["output"])]
        assert [response.headers["content-type"] for response in images] == ["image/jpeg", *["image/png"] * 3]
        assert Image.open(io.BytesIO(images[0].content)).size == (1024, 576)
        assert len({response.content for response in images}) == 4


async def test_equal_seeds_make_equal_images() -> None:
    async with upstream("replicate", coarse(speed=0)) as up:
        ids = [(await up.made(seed=seed))["id"] for seed in (7, 7, 8)]
        one, two, other = [(await up.image((await up.fetch(name))["output"])).content for name in ids]
        assert one == two != other


@BOTH
@pytest.mark.parametrize("version", [DIFFUSION, f"stability-ai/stable-diffusion:{DIFFUSION}"])
async def test_a_model_is_run_by_its_version(service: str, version: str) -> None:
    async with upstream(service, coarse(speed=0)) as up:
        payload = (await up.run(version, prompt="a boat", width=128, height=64)).json()
        assert (payload["model"], payload["version"]) == ("stability-ai/stable-diffusion", DIFFUSION)
        response = await up.image((await up.fetch(payload["id"]))["output"][0])
        assert Image.open(io.BytesIO(response.content)).size == (128, 64)


@pytest.mark.parametrize(("service", "status"), [("kkiai", 400), ("replicate", 201)])
async def test_only_replicate_accepts_the_name_of_an_official_model_as_version(service: str, status: int) -> None:
    async with upstream(service, Settings()) as up:
        assert (await up.run(PRO, prompt="a boat")).status_code == status


@BOTH
@pytest.mark.parametrize(
    "version", ["0" * 64, f"stability-ai/sdxl:{DIFFUSION}", "stability-ai/sdxl", "unknown/model", 7, None]
)
async def test_an_unknown_version_is_rejected(service: str, version: Any) -> None:
    async with upstream(service, Settings()) as up:
        response = await up.run(version, prompt="a boat")
        assert response.status_code == (400 if service == "kkiai" else 422)
        assert "Invalid version" in response.text


@BOTH
@pytest.mark.parametrize("model", ["unknown/model", "stability-ai/sdxl"])
async def test_an_unknown_model_is_not_found(service: str, model: str) -> None:
    async with upstream(service, Settings()) as up:
        response = await up.predict(model)
        detail = "The requested resource could not be found."
        payload = {"error": {"message": detail}} if service == "kkiai" else {"detail": detail, "status": 404}
        assert (response.status_code, response.json()) == (404, payload)


@BOTH
async def test_extra_models_accept_any_input(service: str) -> None:
    change: Any = {
        "kkiai": KkiaiSettings(extra_models=("some/new-model",)),
        "replicate": ReplicateSettings(extra_models=("some/new-model",)),
    }
    async with upstream(service, Settings(speed=0, **change)) as up:
        payload = await up.made("some/new-model", anything={"at": "all"})
        assert (await up.fetch(payload["id"]))["status"] == "succeeded"


@BOTH
@pytest.mark.parametrize("header", [None, "", "Bearer", "r8_test", "Token r8_test", "Bearer r8_other"])
async def test_an_invalid_key_is_rejected(service: str, header: str | None) -> None:
    settings = Settings(kkiai=KkiaiSettings(keys=("r8_test",)), replicate=ReplicateSettings(keys=("r8_test",)))
    async with upstream(service, settings) as up:
        payload = await up.made()
        del up.client.headers["Authorization"]
        headers = {} if header is None else {"Authorization": header}
        detail = "You did not pass a valid authentication token"
        problem = {"title": "Unauthenticated", "detail": detail, "status": 401}
        for response in (
            await up.predict(headers=headers),
            await up.client.get(f"/predictions/{payload['id']}", headers=headers),
        ):
            assert response.status_code == 401
            assert response.json() == ({"error": {"message": detail}} if service == "kkiai" else problem)
            assert response.headers["content-type"] == ("application/json" if service == "kkiai" else PROBLEM)


@BOTH
async def test_without_configured_keys_any_key_is_accepted(service: str) -> None:
    async with upstream(service, Settings()) as up:
        assert (await up.predict(headers={"Authorization": "Bearer x"})).is_success
        assert (await up.predict(headers={"Authorization": "Bearer"})).status_code == 401


@BOTH
@pytest.mark.parametrize(
    ("content", "media_type"), [(b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")]
)
async def test_a_body_must_be_a_json_object(service: str, content: bytes, media_type: str) -> None:
    async with upstream(service, Settings()) as up:
        response = await up.client.post("/predictions", content=content, headers={"Content-Type": media_type})
        assert response.status_code == (400 if service == "kkiai" else 422)
        assert "JSON object" in response.text


@BOTH
@pytest.mark.parametrize(
    ("body", "reason"), [({}, "input is required"), ({"input": "a boat"}, "input: Invalid type. Expected: object")]
)
async def test_an_input_must_be_an_object(service: str, body: dict[str, Any], reason: str) -> None:
    async with upstream(service, Settings()) as up:
        response = await up.client.post(f"/models/{PRO}/predictions", json=body)
        assert response.status_code == (400 if service == "kkiai" else 422)
        assert reason in response.text


async def test_invalid_input_gets_a_problem_document_at_replicate() -> None:
    async with upstream("replicate", Settings()) as up:
        response = await up.predict(DEV, aspect_ratio="wide")
        assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
        assert response.json() == {
            "title": "Input validation failed",
            "detail": "- input.input_image: Field required\n"
            "- input.aspect_ratio: Value error, aspect_ratio should read W:H",
            "status": 422,
        }
        assert [entry.outcome for entry in up.running.sandbox.request_log.submissions] == ["refused 422"]


async def test_invalid_input_gets_an_error_object_at_kkiai() -> None:
    async with upstream("kkiai", Settings()) as up:
        response = await up.predict(image_url="https://files.example.test/a.png")
        assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
        message = "- input.image_url: Extra inputs are not permitted"
        assert response.json() == {"error": {"message": message}}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("model", PRO, "Additional property model is not allowed"),
        ("version", DIFFUSION, "Additional property version is not allowed"),
        ("webhook", "http://example.test/hook", "webhook: Must be an HTTPS URL"),
        ("webhook", "https://[", "webhook: Must be an HTTPS URL"),
        ("webhook", "https://:443/hook", "webhook: Must be an HTTPS URL"),
        ("webhook", None, "webhook: Must be an HTTPS URL"),
        ("webhook_events_filter", ["done"], "webhook_events_filter: Must hold some of start, logs, output, completed"),
        ("webhook_events_filter", "completed", "webhook_events_filter: Must hold some of"),
    ],
)
async def test_replicate_rejects_unknown_fields_and_kkiai_ignores_them(field: str, value: Any, reason: str) -> None:
    body = {"input": {"prompt": "a boat"}, field: value}
    async with upstream("replicate", Settings()) as up:
        response = await up.client.post(f"/models/{PRO}/predictions", json=body)
        assert response.status_code == 422
        assert reason in response.json()["detail"]
    async with upstream("kkiai", Settings()) as up:
        assert (await up.client.post(f"/models/{PRO}/predictions", json=body)).status_code == 200


async def test_the_deprecated_stream_field_is_accepted() -> None:
    async with upstream("replicate", Settings()) as up:
        body = {"input": {"prompt": "a boat"}, "stream": False}
        assert (await up.client.post(f"/models/{PRO}/predictions", json=body)).status_code == 201


async def test_plain_http_webhooks_to_this_machine_can_be_rejected() -> None:
    body = {"input": {"prompt": "a boat"}, "webhook": "http://localhost:1/hook"}
    settings = Settings(replicate=ReplicateSettings(allows_plain_webhooks=False))
    async with upstream("replicate", settings) as up:
        assert (await up.client.post(f"/models/{PRO}/predictions", json=body)).status_code == 422


@BOTH
async def test_an_empty_balance_is_rejected(service: str) -> None:
    settings = Settings(
        kkiai=KkiaiSettings(balance=1, prices={PRO: 0.75}), replicate=ReplicateSettings(balance=1, prices={PRO: 0.75})
    )
    async with upstream(service, settings) as up:
        await up.made()
        response = await up.predict()
        assert response.status_code == 402
        assert "insufficient credit" in response.text
        assert up.account.balance == 0.25
        up.account.balance = 2
        assert (await up.predict()).is_success


async def test_each_image_has_its_price() -> None:
    async with upstream("replicate", Settings(replicate=ReplicateSettings(balance=2, prices={SCHNELL: 0.5}))) as up:
        await up.made(SCHNELL, num_outputs=3)
        assert up.account.balance == 0.5
        (entry,) = up.running.sandbox.request_log.submissions
        assert (entry.service, entry.endpoint, entry.model, entry.charged) == ("replicate", "predictions", SCHNELL, 1.5)


@pytest.mark.parametrize(
    ("wording", "payload"),
    [
        ("expected", ["Expected available in 30 seconds.", "Expected available in 1 second."]),
        ("resets", ["Your rate limit resets in ~30s.", "Your rate limit resets in ~1s."]),
    ],
)
async def test_creations_beyond_the_rate_limit_are_throttled(wording: Any, payload: list[str]) -> None:
    clock = ManualClock()
    settings = ReplicateSettings(creations_per_minute=2, throttle_wording=wording)
    async with upstream("replicate", Settings(replicate=settings)) as up:
        responses = [await up.predict() for _ in range(3)]
        clock.advance(29)
        responses.append(await up.predict())
        clock.advance(1)
        responses.append(await up.predict())
        assert [response.status_code for response in responses] == [201, 201, 429, 429, 201]
        assert [response.json() for response in responses[2:4]] == [
            {"detail": f"Request was throttled. {wording}"} for wording in payload
        ]
        assert responses[2].headers["content-type"] == PROBLEM
        limits = [
            (response.headers["ratelimit-remaining"], response.headers["ratelimit-reset"]) for response in responses[:3]
        ]
        assert limits == [("1", "30"), ("0", "60"), ("0", "60")]


async def test_the_rate_limit_is_600_and_appears_in_the_headers() -> None:
    async with upstream("replicate", Settings()) as up:
        headers = (await up.predict()).headers
        assert (headers["ratelimit-remaining"], headers["ratelimit-reset"]) == ("599", "1")


async def test_kkiai_has_no_rate_limit_headers() -> None:
    async with upstream("kkiai", Settings()) as up:
        assert "ratelimit-remaining" not in (await up.predict()).headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/predictions/x/cancel", 404),
        ("GET", "/predictions", 405),
        ("POST", "/files", 404),
        ("GET", "/files/x", 404),
        ("GET", "/webhooks/default/secret", 404),
    ],
)
async def test_kkiai_has_only_the_documented_endpoints(method: str, path: str, status: int) -> None:
    async with upstream("kkiai", Settings()) as up:
        response = await up.client.request(method, path)
        assert (response.status_code, response.json().keys()) == (status, {"error"})


async def test_the_services_do_not_know_each_others_predictions() -> None:
    async with upstream("kkiai", Settings()) as up:
        payload = await up.made()
        url = f"{up.running.base_urls['replicate']}/predictions/{payload['id']}"
        requests, canceled = await up.client.get(url), await up.client.post(f"{url}/cancel")
        assert (requests.status_code, canceled.status_code) == (404, 404)
        assert requests.headers["content-type"] == PROBLEM
        assert (await up.client.get("/predictions/unknown")).status_code == 404


@BOTH
async def test_the_request_log_counts_by_service(service: str) -> None:
    async with upstream(service, coarse(speed=0)) as up:
        payload = await up.made()
        await up.fetch(payload["id"])
        request_log = up.running.sandbox.request_log
        assert {name: count for name, count in request_log.requests.items() if count} == {
            f"{service}/predictions": 1,
            f"{service}/prediction": 1,
        }
        (entry,) = request_log.submissions
        assert (entry.outcome, entry.task_id, entry.service) == ("created", payload["id"], service)
        assert entry.request == {"input": {"prompt": "a paper boat"}}
        assert request_log.fetched(payload["id"]) == 1


@BOTH
@pytest.mark.parametrize(
    ("fault", "status"), [("status=401", 401), ("status=402", 402), ("status=429", 429), ("status_after=404", 404)]
)
async def test_faults_without_a_body_use_the_service_s_error_format(service: str, fault: str, status: int) -> None:
    async with upstream(service, Settings(faults=(Fault.parse(f"{service}/submit:{fault}"),))) as up:
        response = await up.predict()
        assert response.status_code == status
        assert response.headers["content-type"] == ("application/json" if service == "kkiai" else PROBLEM)
        assert ("error" if service == "kkiai" else "detail") in response.json()
        assert (await up.predict()).is_success


async def test_faults_of_one_service_do_not_affect_the_other() -> None:
    async with upstream("replicate", Settings(faults=(Fault.parse("kkiai/submit:status=500"),))) as up:
        assert (await up.predict()).status_code == 201


@BOTH
async def test_faults_change_a_task_object(service: str) -> None:
    faults = (
        Fault.parse(f"{service}/submit:drop_fields,fields=output+urls"),
        Fault.parse(f"{service}/fetch:status_word=dreaming"),
        Fault.parse(f"{service}/fetch:backwards,after=1"),
    )
    async with upstream(service, Settings(speed=0, faults=faults)) as up:
        payload = await up.made()
        assert not {"output", "urls"} & payload.keys()
        words = [(await up.fetch(payload["id"]))["status"] for _ in range(3)]
        assert words == ["dreaming", "processing", "succeeded"]


@BOTH
async def test_the_urls_of_a_prediction_can_have_a_foreign_host(service: str) -> None:
    settings = Settings(faults=(Fault.parse(f"{service}/submit:foreign_url=http://elsewhere.test"),))
    async with upstream(service, settings) as up:
        urls = (await up.made())["urls"]
        assert {url.split("/")[2] for url in urls.values()} == {"elsewhere.test"}
        assert urls["get"].endswith(urls["cancel"].removesuffix("/cancel").rpartition("/")[2])


@BOTH
async def test_a_failed_prediction_has_its_error(service: str) -> None:
    faults = (Fault.parse(f"{service}/submit:fail_task=Out of paint"),)
    async with upstream(service, Settings(speed=0, faults=faults)) as up:
        failed = await up.fetch((await up.made())["id"])
        blocked = await up.fetch((await up.made(prompt="forbidden-in-sandbox"))["id"])
        assert [(payload["status"], payload["output"]) for payload in (failed, blocked)] == [("failed", None)] * 2
        assert [payload["error"] for payload in (failed, blocked)] == [
            "Out of paint",
            "The prompt was refused by the content policy",
        ]
        url = f"{up.running.origin}/pictures/{failed['id']}/out-0.png"
        assert (await up.image(url)).status_code == 404


async def test_a_body_that_is_too_large_is_rejected() -> None:
    settings = Settings(replicate=ReplicateSettings(file_limit_bytes=2_000_000))
    async with upstream("replicate", settings) as up:
        response = await up.predict(prompt="x" * 3_000_000)
        assert (response.status_code, response.json()["detail"]) == (413, "Files must be less than 2MB in size")
    async with upstream("kkiai", Settings()) as up:
        response = await up.client.post("/predictions", content=json.dumps("x" * 20_000_000))
        assert (response.status_code, response.json().keys()) == (413, {"error"})

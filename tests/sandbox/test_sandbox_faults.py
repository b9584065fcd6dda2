"""Every fault, set in process and over HTTP."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import json
from typing import Any

import pytest
from httpx2 import ReadError, ReadTimeout, RemoteProtocolError, Response, Timeout
from manual_clock import ManualClock, until

from journey_mcp.sandbox import Fault, Settings
from journey_mcp.sandbox.faults import ENDPOINTS, KINDS, FaultPlan

from .upstream import Upstream, upstream

GONE = (ReadError, RemoteProtocolError)


def failing(*faults: str, **settings: Any) -> Settings:
    return Settings(**{"speed": 0, "seed": 1, "faults": tuple(map(Fault.parse, faults)), **settings})


def created(up: Upstream) -> int:
    return sum(entry.outcome == "created" for entry in up.running.sandbox.request_log.submissions)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"errors": [{"msg": "Insufficient credits"}]}),
        (429, {"errors": [{"msg": "Rate limit exceeded"}]}),
        (500, {}),
        (502, {}),
        (503, {}),
    ],
)
async def test_status_rejects_before_anything_is_created(status: int, body: Any) -> None:
    async with upstream(failing(f"submit:status={status},times=2")) as up:
        for _ in range(2):
            response = await up.imagine()
            assert (response.status_code, response.json()) == (status, body)
        assert created(up) == 0
        assert (await up.account())["credits"] == 500
        await up.made()
        outcomes = [entry.outcome for entry in up.running.sandbox.request_log.submissions]
        assert outcomes == [f"refused {status}"] * 2 + ["created"]


async def test_a_status_fault_sends_its_body_and_headers() -> None:
    fault = Fault(on="submit", kind="status", status=429, headers={"Retry-After": "2"}, body="slow down")
    async with upstream(Settings(faults=(fault,))) as up:
        response = await up.imagine()
        assert (response.status_code, response.text) == (429, "slow down")
        assert (response.headers["retry-after"], response.headers["content-type"]) == ("2", "text/plain; charset=utf-8")


@pytest.mark.parametrize("on", ["fetch", "fetch_many", "account", "image"])
async def test_status_faults_affect_every_endpoint(on: str) -> None:
    async with upstream(failing(f"{on}:status=503,body={{}}")) as up:
        task_id = await up.made()
        requests = {
            "fetch": lambda: up.client.post("/fetch", json={"task_id": task_id}),
            "fetch_many": lambda: up.client.post("/fetch-many", json={"task_ids": [task_id] * 2}),
            "account": lambda: up.client.get("/account"),
            "image": lambda: up.image(f"{up.running.origin}/pictures/{task_id}/0_0.png"),
        }
        assert [(await requests[on]()).status_code for _ in range(2)] == [503, 200]


async def test_status_after_still_creates_the_task() -> None:
    async with upstream(failing("submit:status_after=500")) as up:
        response = await up.imagine()
        assert (response.status_code, response.json(), created(up)) == (500, {}, 1)
        assert (await up.account())["credits"] == 496


async def test_reset_closes_the_connection_before_anything_is_created() -> None:
    async with upstream(failing("submit:reset")) as up:
        with pytest.raises(GONE):
            await up.imagine()
        assert [entry.outcome for entry in up.running.sandbox.request_log.submissions] == ["reset"]


async def test_reset_after_closes_the_connection_after_the_task_is_created() -> None:
    async with upstream(failing("submit:reset_after")) as up:
        with pytest.raises(GONE):
            await up.imagine()
        assert created(up) == 1


async def test_cut_body_sends_less_than_its_content_length() -> None:
    async with upstream(failing("submit:cut_body")) as up:
        async with up.client.stream("POST", "/imagine", json={"prompt": "a boat"}) as response:
            assert response.status_code == 200
            received = bytearray()
            with pytest.raises(RemoteProtocolError):
                await _read_into(received, response)
        assert len(received) == int(response.headers["content-length"]) // 2
        assert received.startswith(b'{"task_id":')
        assert created(up) == 1


async def _read_into(received: bytearray, response: Response) -> None:
    async for part in response.aiter_bytes():
        received += part


async def test_an_image_response_can_be_cut() -> None:
    async with upstream(failing("image:cut_body")) as up:
        url = (await up.fetch(await up.made()))["image_urls"][0]
        with pytest.raises(RemoteProtocolError):
            await up.image(url)
        assert (await up.image(url)).status_code == 200


async def test_bad_json_is_invalid_json() -> None:
    async with upstream(failing("submit:bad_json")) as up:
        response = await up.imagine()
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        with pytest.raises(ValueError, match="Expecting value"):
            response.json()
        assert created(up) == 1


async def test_wrong_type_is_an_html_page() -> None:
    async with upstream(failing("fetch:wrong_type")) as up:
        response = await up.client.post("/fetch", json={"task_id": await up.made()})
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.text.startswith("<html>")


async def test_huge_body_is_ten_megabytes_of_json() -> None:
    async with upstream(failing("fetch:huge_body")) as up:
        response = await up.client.post("/fetch", json={"task_id": await up.made()})
        assert len(response.content) > 10_000_000
        assert response.json()["status"] == "finished"


async def test_drip_sends_one_byte_at_a_time() -> None:
    async with upstream(failing("submit:drip=0.001")) as up:
        async with up.client.stream("POST", "/imagine", json={"prompt": "a boat"}) as response:
            parts = [part async for part in response.aiter_raw()]
        assert json.loads(b"".join(parts)).keys() == {"task_id"}
        assert len(parts) > 10


async def test_empty_object_hides_the_created_task() -> None:
    async with upstream(failing("submit:empty_object")) as up:
        assert (await up.imagine()).json() == {}
        assert created(up) == 1


async def test_delay_delays_the_response_after_the_work() -> None:
    clock = ManualClock()
    async with upstream(failing("submit:delay=30")) as up, asyncio.TaskGroup() as group:
        request = group.create_task(up.imagine())
        await until(lambda: created(up) == 1)
        assert not request.done()
        clock.advance(31)
        assert (await request).status_code == 200


async def test_a_request_that_times_out_at_the_client_still_creates_its_task() -> None:
    async with upstream(failing("submit:delay=3600")) as up:
        with pytest.raises(ReadTimeout):
            await up.client.post("/imagine", json={"prompt": "a boat"}, timeout=Timeout(5, read=0.2))
        await until(lambda: created(up) == 1)


async def test_image_responses_can_be_delayed() -> None:
    async with upstream(failing("image:delay=0.01")) as up:
        url = (await up.fetch(await up.made()))["image_urls"][0]
        assert (await up.image(url)).status_code == 200


async def test_status_word_replaces_the_status() -> None:
    async with upstream(failing("fetch:status_word=dreaming", "submit:status_word=done,after=1")) as up:
        task_id = await up.made()
        assert (await up.fetch(task_id))["status"] == "dreaming"
        assert (await up.fetch(task_id))["status"] == "finished"
        assert (await up.imagine(model="recraft")).json()["status"] == "done"


async def test_status_word_adds_no_status_where_there_is_none() -> None:
    async with upstream(failing("submit:status_word=done")) as up:
        assert (await up.imagine()).json().keys() == {"task_id"}


async def test_backwards_shows_an_early_state_of_the_task() -> None:
    clock = ManualClock()
    async with upstream(failing("fetch:backwards,after=1,times=2", speed=1)) as up:
        task_id = await up.made()
        clock.advance(20)
        words = [(await up.fetch(task_id))["status"] for _ in range(2)]
        clock.advance(90)
        payload = [await up.fetch(task_id) for _ in range(2)]
        assert words == ["processing", "pending"]
        assert [task["status"] for task in payload] == ["pending", "finished"]
        assert "image_urls" not in payload[0]


async def test_percentage_replaces_the_percentage() -> None:
    clock = ManualClock()
    faults = ("fetch:percentage=100", 'fetch:percentage="100",after=1', "fetch_many:percentage=half")
    async with upstream(failing(*faults, speed=1)) as up:
        task_id = await up.made()
        clock.advance(20)
        payload = [await up.fetch(task_id) for _ in range(3)]
        assert [(task["status"], type(task["percentage"])) for task in payload] == [
            ("processing", int),
            ("processing", str),
            ("processing", str),
        ]
        assert [task["percentage"] for task in payload[:2]] == [100, "100"]
        many = await up.client.post("/fetch-many", json={"task_ids": [task_id] * 2})
        assert [task["percentage"] for task in many.json()["tasks"]] == ["half"] * 2


async def test_drop_fields_omits_the_fields() -> None:
    async with upstream(failing("fetch:drop_fields=status+model", "account:drop_fields=credits")) as up:
        payload = await up.fetch(await up.made(model="flux-pro"))
        assert payload.keys() == {"task_id", "task_type", "percentage", "image_url"}
        assert (await up.account()).keys() == {"email", "total_images", "plan"}


async def test_fail_task_fails_the_task() -> None:
    async with upstream(failing("submit:fail_task=Out of paint")) as up:
        payload = await up.fetch(await up.made())
        assert (payload["status"], payload["error"]) == ("failed", "Out of paint")


async def test_hang_keeps_the_task_running_for_ever() -> None:
    clock = ManualClock()
    async with upstream(failing("submit:hang", speed=1)) as up:
        task_id = await up.made()
        clock.advance(1e9)
        payload = await up.fetch(task_id)
        assert (payload["status"], payload["percentage"]) == ("processing", "99")


async def test_a_dead_image_is_not_found() -> None:
    async with upstream(failing("image:dead_image,times=always")) as up:
        url = (await up.fetch(await up.made()))["original_image_url"]
        assert [(await up.image(url)).status_code for _ in range(3)] == [404] * 3


async def test_faults_can_be_combined() -> None:
    async with upstream(failing("submit:fail_task=No", "submit:drop_fields=status", "submit:delay=0.01")) as up:
        response = (await up.imagine(model="recraft")).json()
        assert response == {"task_id": response["task_id"], "error": "No"}


async def test_faults_are_set_and_cleared_over_http() -> None:
    async with upstream(failing("submit:hang")) as up:
        control = f"{up.running.origin}/sandbox/faults"
        wanted = ["submit:status=429,times=always", {"on": "fetch", "kind": "drop_fields", "fields": ["status"]}]
        listed = [
            {"on": "submit", "kind": "status", "times": None, "after": 0, "status": 429},
            {"on": "fetch", "kind": "drop_fields", "times": 1, "after": 0, "fields": ["status"]},
        ]
        assert (await up.client.post(control, json=wanted)).json() == listed
        assert [(await up.imagine()).status_code for _ in range(2)] == [429, 429]
        assert (await up.client.get(control)).json() == listed
        assert (await up.client.post(control, json=listed)).json() == listed
        assert (await up.client.delete(control)).json() == []
        assert (await up.imagine()).status_code == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "Expecting property name"),
        (b"{}", "Faults must be a JSON list."),
        (b"[1]", "A fault is a JSON object; not 1."),
        (b'["submit:nap"]', "There is no fault of kind 'nap'; there is status, reset"),
    ],
)
async def test_an_invalid_fault_over_http_changes_nothing(content: bytes, message: str) -> None:
    async with upstream(failing("submit:hang")) as up:
        response = await up.client.post(f"{up.running.origin}/sandbox/faults", content=content)
        assert response.status_code == 400
        assert response.json()["error"].startswith(message)
        assert up.running.sandbox.faults.faults == (Fault(on="submit", kind="hang"),)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("submit:reset", Fault(on="submit", kind="reset")),
        ("submit:status=429,times=2", Fault(on="submit", kind="status", status=429, times=2)),
        (
            " fetch : status = 503 , after = 1 , times = always , header.Retry-After = 2 , body = gone ",
            Fault(
                on="fetch", kind="status", status=503, after=1, times=None, headers={"Retry-After": "2"}, body="gone"
            ),
        ),
        ("submit:status,status=500", Fault(on="submit", kind="status", status=500)),
        ("account:delay=1.5", Fault(on="account", kind="delay", delay_s=1.5)),
        ("fetch:drop_fields=status+model", Fault(on="fetch", kind="drop_fields", fields=("status", "model"))),
        ("fetch:status_word=404", Fault(on="fetch", kind="status_word", word="404")),
        ("submit:fail_task=Out of paint", Fault(on="submit", kind="fail_task", error="Out of paint")),
        ('{"on": "submit", "kind": "fail_task", "error": "a, b"}', Fault(on="submit", kind="fail_task", error="a, b")),
        ("bfl/submit:status=402", Fault(on="bfl/submit", kind="status", status=402)),
        (
            "bfl/submit:foreign_url=http://localhost:1",
            Fault(on="bfl/submit", kind="foreign_url", origin="http://localhost:1"),
        ),
        ("picture:dead_picture", Fault(on="image", kind="dead_image")),
        ("bfl/picture:delay=1", Fault(on="bfl/image", kind="delay", delay_s=1)),
        ("fetch:percentage=0", Fault(on="fetch", kind="percentage", percentage=0)),
    ],
)
def test_a_fault_is_parsed_from_text(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault
    assert Fault.from_json(json.loads(json.dumps(fault.as_json()))) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("status=429", "A fault reads on:kind"),
        ("here:status=429", "A fault affects one of submit, fetch, fetch_many, account, cancel, upload, image"),
        (
            "unknown/submit:status=429",
            "alone or with one of the prefixes journeyapi/, vtrix/, kkiai/, replicate/, bfl/",
        ),
        ("bfl/here:status=429", "A fault affects one of submit"),
        ("bfl/webhook:hang", "hang affects submit; not on bfl/webhook"),
        ("submit:foreign_url", "foreign_url needs origin, as in submit:foreign_url=http://elsewhere.test"),
        ("submit:nap", "There is no fault of kind 'nap'"),
        ("submit:nap=1", "There is no fault of kind 'nap'"),
        ("submit:backwards", "backwards affects fetch, fetch_many; not on submit"),
        ("submit:status", "status needs status, as in submit:status=429"),
        ("fetch:drop_fields", r"drop_fields needs fields, as in fetch:drop_fields=status\+model"),
        ("fetch:drop_fields=", "drop_fields needs fields"),
        ("submit:reset=1", "reset takes no value"),
        ("submit:status=many", "status of a fault is an HTTP status with a body, 200 to 599; not 'many'"),
        ("submit:status=204", "status of a fault is an HTTP status"),
        ("submit:status=99", "status of a fault is an HTTP status"),
        ("submit:delay=-1", "delay_s of a fault is seconds, 0 or more; not -1"),
        ("submit:delay=soon", "delay_s of a fault is seconds"),
        ("submit:reset,times=0", "times of a fault is 1 or more, or always; not 0"),
        ("submit:reset,after=-1", "after of a fault is 0 or more; not -1"),
        ("submit:reset,now", "After the kind come pairs of field=value; not 'now'"),
        ("submit:reset,colour=red", "A fault has no colour; it has on, kind"),
        ("{nonsense", "This fault is not JSON"),
        ("{}", "A fault needs kind and on"),
        ('{"on": "submit", "kind": "reset", "headers": {"a": 1}}', "headers of a fault is names and values"),
        ('{"on": "submit", "kind": "reset", "headers": 1}', "headers of a fault is names and values"),
        ('{"on": "fetch", "kind": "drop_fields", "fields": "status"}', "fields of a fault is a list of field names"),
    ],
)
def test_an_invalid_fault_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault.parse(text)


def test_every_kind_of_fault_affects_an_endpoint() -> None:
    assert all(kind.on and set(kind.on) <= set(ENDPOINTS) for kind in KINDS.values())


def test_a_plan_counts_the_requests_of_each_endpoint() -> None:
    early, late = Fault(on="submit", kind="reset", times=2), Fault(on="submit", kind="hang", after=1, times=None)
    plan = FaultPlan((early, late))
    plan.take("fetch")
    assert [plan.take("submit") for _ in range(4)] == [(early,), (early, late), (late,), (late,)]
    plan.replace((early,))
    assert plan.take("submit") == (early,)


def test_a_plan_selects_faults_by_service() -> None:
    everyone, only = Fault(on="submit", kind="reset", times=None), Fault(on="bfl/submit", kind="hang", times=None)
    plan = FaultPlan((everyone, only))
    assert plan.take("vtrix/submit") == (everyone,)
    assert plan.take("bfl/submit") == (everyone, only)
    assert plan.take("bfl/fetch") == ()

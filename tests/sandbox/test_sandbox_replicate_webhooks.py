"""Webhooks of Replicate: events, signatures and retries."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import json
import time
from typing import Any

import pytest
from manual_clock import ManualClock, until

from journey_mcp.sandbox import Fault, ReplicateSettings, Settings, WebhookPolicy
from journey_mcp.sandbox.replicate.requests import EVENTS, Webhook
from journey_mcp.sandbox.replicate.webhooks import WebhookSender, sign

from .replicate_upstream import PRO, Upstream, upstream
from .upstream import Listener, http, listening

OK = http(200)


async def ordered(up: Upstream, receiver: Listener, *events: str, prompt: str = "a boat", **headers: str) -> Any:
    body: dict[str, Any] = {"input": {"prompt": prompt}, "webhook": receiver.url}
    if events:
        body["webhook_events_filter"] = events
    response = await up.client.post(f"/models/{PRO}/predictions", json=body, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


def outcomes(up: Upstream) -> list[str]:
    return [attempt.outcome for attempt in up.running.sandbox.request_log.deliveries]


async def tried(up: Upstream, times: int) -> None:
    await until(lambda: len(outcomes(up)) == times)


def bodies(receiver: Listener) -> list[Any]:
    return [json.loads(request.body) for request in receiver.received]


def test_the_signature_matches_the_test_vector() -> None:
    assert (
        sign(
            "whsec_c2FuZGJveC1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZiE=",
            "msg_ex4mple",
            1775800000,
            b'{"id":"ex4mpl3id000000000000000000","status":"succeeded"}',
        )
        == "v1,Ma2jMPjgmd9IuCH87bsHlk98cb/ZbbLeM737F3Xleis="
    )


async def test_a_webhook_is_signed_with_the_secret_of_the_secret_endpoint() -> None:
    secret = "whsec_YW5vdGhlciBzZWNyZXQ="
    settings = Settings(speed=0, replicate=ReplicateSettings(webhook_secret=secret))
    async with listening(OK) as receiver, upstream("replicate", settings) as up:
        payload = await ordered(up, receiver, "completed")
        await tried(up, 1)
        assert (await up.client.get("/webhooks/default/secret")).json() == {"key": secret}
        (request,) = receiver.received
        headers = request.headers
        assert json.loads(request.body) == await up.fetch(payload["id"])
        assert headers["content-type"] == "application/json"
        assert headers["webhook-id"].startswith("msg_")
        timestamp = int(headers["webhook-timestamp"])
        assert abs(time.time() - timestamp) < 60
        assert headers["webhook-signature"] == sign(secret, headers["webhook-id"], timestamp, request.body)


async def test_without_a_filter_all_events_are_sent() -> None:
    clock = ManualClock()
    async with listening(OK) as receiver, upstream("replicate", Settings(speed=1)) as up:
        payload = await ordered(up, receiver)
        assert receiver.received == []
        clock.advance(1)
        await tried(up, 2)
        clock.advance(12)
        await tried(up, 4)
        seen = [(body["status"], body["output"] is None, body["id"]) for body in bodies(receiver)]
        assert seen == [
            ("processing", True, payload["id"]),
            ("processing", True, payload["id"]),
            ("processing", False, payload["id"]),
            ("succeeded", False, payload["id"]),
        ]
        assert len({request.headers["webhook-id"] for request in receiver.received}) == 4


@pytest.mark.parametrize(
    ("events", "statuses"),
    [
        (("start",), ["processing"]),
        (("logs", "output"), ["processing", "processing"]),
        (("completed", "start"), ["processing", "succeeded"]),
        ((), ["processing", "processing", "processing", "succeeded"]),
    ],
)
async def test_only_the_requested_events_are_sent(events: tuple[str, ...], statuses: list[str]) -> None:
    async with listening(OK) as receiver, upstream("replicate", Settings(speed=0)) as up:
        payload = await ordered(up, receiver, *events)
        await ordered(up, receiver, "completed")
        await tried(up, len(statuses) + 1)
        assert [body["status"] for body in bodies(receiver) if body["id"] == payload["id"]] == statuses


async def test_a_failed_prediction_has_no_output_event() -> None:
    async with listening(OK) as receiver, upstream("replicate", Settings(speed=0)) as up:
        await ordered(up, receiver, "output", "completed", prompt="forbidden-in-sandbox")
        await tried(up, 1)
        assert [body["status"] for body in bodies(receiver)] == ["failed"]


async def test_a_canceled_prediction_sends_a_webhook_at_once() -> None:
    async with listening(OK) as receiver, upstream("replicate", Settings(speed=1)) as up:
        payload = await ordered(up, receiver)
        canceled = (await up.client.post(payload["urls"]["cancel"])).json()
        await tried(up, 1)
        assert bodies(receiver) == [canceled]
        assert canceled["status"] == "canceled"


async def test_an_aborted_prediction_sends_a_webhook_at_its_deadline() -> None:
    clock = ManualClock()
    settings = Settings(speed=1, replicate=ReplicateSettings(boot_s=60))
    async with listening(OK) as receiver, upstream("replicate", settings) as up:
        await ordered(up, receiver, **{"Cancel-After": "30"})
        clock.advance(30)
        await tried(up, 1)
        assert [body["status"] for body in bodies(receiver)] == ["aborted"]


async def test_only_the_last_event_is_retried_and_redirects_are_not_followed() -> None:
    clock = ManualClock()
    refusals = (http(500), http(404), http(500), http(301, headers="Location: /x\r\n"), http(503))
    async with listening(*refusals, OK) as receiver, upstream("replicate", Settings(speed=1)) as up:
        await ordered(up, receiver)
        clock.advance(13)
        await tried(up, 4)
        for tries, gap_s in enumerate((2, 4), start=4):
            await tried(up, tries)
            clock.advance(gap_s - 0.5)
            assert (await up.client.get("/predictions")).status_code == 200
            assert len(receiver.received) == tries
            clock.advance(0.5)
        await until(lambda: outcomes(up) == ["500", "404", "500", "301", "503", "200"])
        assert len({request.headers["webhook-signature"] for request in receiver.received[3:]}) == 1
        assert {request.line for request in receiver.received} == {"POST /hook HTTP/1.1"}


async def test_a_webhook_is_given_up_after_five_retries() -> None:
    async with listening(http(500)) as receiver, upstream("replicate", Settings(speed=0)) as up:
        payload = await ordered(up, receiver, "completed")
        await tried(up, 6)
        await ordered(up, receiver, "completed")
        await tried(up, 12)
        assert (await up.fetch(payload["id"]))["status"] == "succeeded"


async def test_a_receiver_that_does_not_respond_is_retried() -> None:
    policy = WebhookPolicy(timeout_s=0.3, retry_gaps_s=(2,))
    settings = Settings(speed=0, replicate=ReplicateSettings(webhooks=policy))
    async with listening(None, OK) as receiver, upstream("replicate", settings) as up:
        await ordered(up, receiver, "completed")
        await until(lambda: outcomes(up) == ["TimeoutError", "200"])


async def test_webhooks_can_be_lost_duplicated_and_distorted() -> None:
    faults = (
        Fault(on="replicate/webhook", kind="lost"),
        Fault(on="webhook", kind="duplicate", after=1),
        Fault(on="webhook", kind="status_word", word="done", after=2),
        Fault(on="webhook", kind="empty_object", after=3),
    )
    async with listening(OK) as receiver, upstream("replicate", Settings(speed=0, faults=faults)) as up:
        await ordered(up, receiver)
        await tried(up, 4)
        payload = bodies(receiver)
        assert payload[0] == payload[1]
        assert (payload[2]["status"], payload[3]) == ("done", {})
        # a changed body is signed as it is sent
        for request in receiver.received:
            signature = sign(
                ReplicateSettings().webhook_secret,
                request.headers["webhook-id"],
                int(request.headers["webhook-timestamp"]),
                request.body,
            )
            assert request.headers["webhook-signature"] == signature


async def test_a_hanging_prediction_sends_only_its_start_event() -> None:
    settings = Settings(speed=0, faults=(Fault(on="submit", kind="hang"),))
    async with listening(OK) as receiver, upstream("replicate", settings) as up:
        hanging = await ordered(up, receiver, "start", "completed")
        await tried(up, 1)
        await ordered(up, receiver, "completed")
        await tried(up, 2)
        assert [body["id"] == hanging["id"] for body in bodies(receiver)] == [True, False]


async def test_no_webhook_is_sent_for_a_dropped_prediction() -> None:
    async with listening(OK) as receiver, upstream("replicate", Settings()) as up:
        webhook_sender = WebhookSender(
            sandbox=up.running.sandbox,
            settings=ReplicateSettings(),
            serializer=up.account.serializer,
            distort=up.account.distorted,
        )
        await webhook_sender.follow("forgotten", Webhook(url=receiver.url, events=EVENTS))
        assert receiver.received == []


async def test_kkiai_sends_no_webhooks() -> None:
    async with listening(OK) as receiver, upstream("kkiai", Settings(speed=0)) as up:
        body = {"input": {"prompt": "a boat"}, "webhook": receiver.url}
        payload = (await up.client.post(f"/models/{PRO}/predictions", json=body)).json()
        assert (await up.fetch(payload["id"]))["status"] == "succeeded"
        assert receiver.received == []

"""Webhooks: bodies, secrets and retries."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import json
from typing import Any

import pytest
from manual_clock import ManualClock, until

from journey_mcp.sandbox import Fault, JourneyApiSettings, Settings, WebhookPolicy
from journey_mcp.sandbox.request_log import RequestLog
from journey_mcp.sandbox.webhooks import Deliveries

from .upstream import Listener, Upstream, http, listening, upstream

OK = http(200)


def outcomes(up: Upstream) -> list[str]:
    return [attempt.outcome for attempt in up.running.sandbox.request_log.deliveries]


async def tried(up: Upstream, times: int) -> None:
    await until(lambda: len(outcomes(up)) == times)


def bodies(receiver: Listener) -> list[Any]:
    return [json.loads(request.body) for request in receiver.received]


@pytest.mark.parametrize(("model", "secret"), [("midjourney", "s3cret"), ("flux-pro", None), ("recraft", "ünï")])
async def test_the_task_object_is_posted_with_the_unchanged_secret(model: str, secret: str | None) -> None:
    async with listening(http(204)) as receiver, upstream(Settings(speed=0)) as up:
        task_id = await up.made(model=model, webhook_url=receiver.url, **({"webhook_secret": secret} if secret else {}))
        await until(lambda: outcomes(up) == ["204"])
        assert bodies(receiver) == [await up.fetch(task_id)]
        request = receiver.received[0]
        assert request.line == "POST /hook HTTP/1.1"
        assert request.headers["content-type"] == "application/json"
        assert request.headers.get("x-webhook-secret") == secret


async def test_a_webhook_reports_a_failed_task() -> None:
    async with listening(OK) as receiver, upstream(Settings(speed=0)) as up:
        task_id = await up.made(prompt="forbidden-in-sandbox", webhook_url=receiver.url)
        await until(lambda: bool(receiver.received))
        assert bodies(receiver) == [
            {
                "task_id": task_id,
                "task_type": "imagine",
                "model": "midjourney",
                "status": "failed",
                "error": "Content policy violation",
            }
        ]


async def test_no_webhook_is_sent_before_the_task_has_ended() -> None:
    clock = ManualClock()
    async with listening(OK) as receiver, upstream(Settings(speed=1)) as up:
        await up.made(webhook_url=receiver.url)
        clock.advance(29)
        assert (await up.client.get("/account")).status_code == 200
        assert receiver.received == []
        clock.advance(61)
        await until(lambda: outcomes(up) == ["200"])


async def test_a_hanging_task_sends_no_webhook() -> None:
    async with listening(OK) as receiver:
        settings = Settings(speed=0, faults=(Fault(on="submit", kind="hang"),))
        async with upstream(settings) as up:
            await up.made(webhook_url=receiver.url)
            await up.made(webhook_url=receiver.url)
            await until(lambda: outcomes(up) == ["200"])
        assert len(receiver.received) == 1


async def test_a_failed_webhook_is_retried_after_10_30_and_90_seconds() -> None:
    clock = ManualClock()
    async with listening(http(500), http(301, headers="Location: /x\r\n"), http(404), OK) as receiver:
        async with upstream(Settings(speed=1)) as up:
            await up.made(webhook_url=receiver.url)
            clock.advance(90)
            for tries, gap_s in enumerate((10, 30, 90), start=1):
                await tried(up, tries)
                clock.advance(gap_s - 1)
                assert (await up.client.get("/account")).status_code == 200
                assert len(receiver.received) == tries
                clock.advance(1)
            await until(lambda: outcomes(up) == ["500", "301", "404", "200"])
        assert [attempt.attempt for attempt in up.running.sandbox.request_log.deliveries] == [1, 2, 3, 4]
        assert len({request.body for request in receiver.received}) == 1


async def test_a_webhook_is_given_up_after_three_retries_and_the_result_stays() -> None:
    async with listening(http(500)) as receiver, upstream(Settings(speed=0)) as up:
        task_id = await up.made(webhook_url=receiver.url)
        await until(lambda: outcomes(up) == ["500"] * 4)
        await up.made(webhook_url=receiver.url)
        await until(lambda: outcomes(up) == ["500"] * 8)
        assert (await up.fetch(task_id))["status"] == "finished"


async def test_a_receiver_that_does_not_respond_is_retried() -> None:
    policy = WebhookPolicy(timeout_s=0.5, retry_gaps_s=(10,))
    settings = Settings(speed=0, journeyapi=JourneyApiSettings(webhooks=policy))
    async with listening(None, OK) as receiver, upstream(settings) as up:
        await up.made(webhook_url=receiver.url)
        await until(lambda: outcomes(up) == ["TimeoutError", "200"])


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://127.0.0.1:1/", "ConnectError"),
        ("https://127.0.0.1:1/", "ConnectError"),
        ("https://ü..test/", "InvalidURL"),
    ],
)
async def test_an_unreachable_receiver_only_fails_its_webhook(url: str, outcome: str) -> None:
    async with upstream(Settings(speed=0)) as up:
        await up.made(webhook_url=url)
        await until(lambda: len(outcomes(up)) == 4)
        assert outcomes(up)[0].startswith(outcome)


async def test_webhooks_can_be_lost_duplicated_distorted_and_delayed() -> None:
    clock = ManualClock()
    faults = (
        Fault(on="webhook", kind="lost"),
        Fault(on="webhook", kind="duplicate", after=1),
        Fault(on="webhook", kind="drop_fields", fields=("model", "percentage"), after=2),
        Fault(on="webhook", kind="status_word", word="done", after=2),
        Fault(on="webhook", kind="empty_object", after=3),
        Fault(on="webhook", kind="delay", delay_s=60, after=4),
    )
    async with listening(OK) as receiver, upstream(Settings(speed=0, faults=faults)) as up:
        lost = await up.made(webhook_url=receiver.url)
        doubled = await up.made(webhook_url=receiver.url)
        await until(lambda: len(outcomes(up)) == 2)
        await up.made(webhook_url=receiver.url)
        await until(lambda: len(outcomes(up)) == 3)
        await up.made(webhook_url=receiver.url)
        await until(lambda: len(outcomes(up)) == 4)
        late = await up.made(webhook_url=receiver.url)
        assert len(receiver.received) == 4
        clock.advance(60)
        await until(lambda: len(outcomes(up)) == 5)
        payload = bodies(receiver)
        assert [body.get("task_id") for body in payload[:2]] == [doubled, doubled]
        assert lost not in [body.get("task_id") for body in payload]
        assert payload[2].keys() == {"task_id", "task_type", "status", "original_image_url", "image_urls", "seed"}
        assert (payload[2]["status"], payload[3], payload[4]["task_id"]) == ("done", {}, late)


async def test_pending_webhooks_are_dropped_at_shutdown() -> None:
    async with listening(None) as receiver:
        async with upstream(Settings(speed=0)) as up:
            await up.made(webhook_url=receiver.url)
            await until(lambda: bool(receiver.received))
        assert outcomes(up) == []


def test_without_a_lifespan_there_are_no_webhooks() -> None:
    deliveries = Deliveries(clock=lambda: 0.0, speed=1, request_log=RequestLog(()))
    with pytest.raises(RuntimeError, match="Webhooks need the app's lifespan"):
        deliveries.start(_nothing)


async def _nothing() -> None: ...  # never run

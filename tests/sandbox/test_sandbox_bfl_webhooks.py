"""Black Forest Labs' webhooks: no polling_url, two kinds of authentication, retries."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from manual_clock import ManualClock, until

from journey_mcp.sandbox import BflSettings, Fault, Settings

from .upstream import Bfl, bfl, http, listening

OK = http(200)


def outcomes(up: Bfl) -> list[str]:
    return [attempt.outcome for attempt in up.running.sandbox.request_log.deliveries]


async def test_a_request_with_a_webhook_gets_no_polling_url() -> None:
    async with listening(OK) as receiver, bfl(Settings(speed=0)) as up:
        created = await up.made(webhook_url=receiver.url, seed=3)
        assert created == {
            "id": created["id"],
            "status": "Pending",
            "webhook_url": receiver.url,
            "cost": 4,
            "input_mp": None,
            "output_mp": 1.05,
        }
        await until(lambda: outcomes(up) == ["200"])
        payload = json.loads(receiver.received[0].body)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payload.pop("timestamp"))
        requests = await up.task(created)
        assert payload == {"id": created["id"], "status": "Ready", "result": requests["result"]}
        assert "x-webhook-secret" not in receiver.received[0].headers


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("secret", {"x-webhook-secret"}),
        ("signature", {"x-bfl-signature"}),
        ("both", {"x-webhook-secret", "x-bfl-signature"}),
    ],
)
async def test_a_webhook_has_its_authentication_headers(choice: Any, names: set[str]) -> None:
    async with listening(OK) as receiver, bfl(Settings(speed=0, bfl=BflSettings(webhook_proof=choice))) as up:
        await up.made(webhook_url=receiver.url, webhook_secret="s3cret")
        await until(lambda: bool(receiver.received))
        request = receiver.received[0]
        proofs = {
            "x-webhook-secret": "s3cret",
            "x-bfl-signature": f"sha256={hmac.new(b's3cret', request.body, hashlib.sha256).hexdigest()}",
        }
        shown = {name: value for name, value in request.headers.items() if name in proofs}
        assert shown == {name: proofs[name] for name in names}


@pytest.mark.parametrize(
    ("fault", "payload"),
    [
        ("submit:fail_task=Out of paint", {"status": "Error", "error": "internal_error", "message": "Out of paint"}),
        ("submit:fail_task=Content Moderated", {"status": "Content Moderated"}),
    ],
)
async def test_a_webhook_reports_a_failed_task(fault: str, payload: dict[str, str]) -> None:
    async with listening(OK) as receiver, bfl(Settings(speed=0, faults=(Fault.parse(fault),))) as up:
        created = await up.made(webhook_url=receiver.url)
        await until(lambda: bool(receiver.received))
        body = json.loads(receiver.received[0].body)
        assert body.pop("timestamp")
        assert body == {"id": created["id"], **payload}


async def test_a_failed_webhook_is_retried_after_1_5_and_30_seconds() -> None:
    clock = ManualClock()
    async with listening(http(500)) as receiver, bfl(Settings(speed=1)) as up:
        await up.made(webhook_url=receiver.url)
        clock.advance(10)
        for tries, gap_s in enumerate((1, 5, 30), start=1):
            await until(lambda tries=tries: len(outcomes(up)) == tries)  # type: ignore[misc]
            clock.advance(gap_s - 0.5)
            assert (await up.client.get("/credits")).status_code == 200
            assert len(receiver.received) == tries
            clock.advance(0.5)
        await until(lambda: outcomes(up) == ["500"] * 4)


async def test_a_hanging_task_sends_no_webhook_and_faults_affect_webhooks() -> None:
    faults = tuple(map(Fault.parse, ("submit:hang", "bfl/webhook:lost", "bfl/webhook:duplicate,after=1")))
    async with listening(OK) as receiver, bfl(Settings(speed=0, faults=faults)) as up:
        created = [await up.made(webhook_url=receiver.url) for _ in range(3)]
        await until(lambda: outcomes(up) == ["200"] * 2)
        payload = {json.loads(request.body)["id"] for request in receiver.received}
        assert payload <= {created[1]["id"], created[2]["id"]}
        assert len(payload) == 1


async def test_only_https_webhooks_are_accepted_if_the_settings_say_so() -> None:
    async with bfl(Settings(speed=0, bfl=BflSettings(allows_plain_webhooks=False))) as up:
        response = await up.submit(webhook_url="http://127.0.0.1:1/hook")
        assert response.json()["detail"][0]["loc"] == ["body", "webhook_url"]
        assert (await up.submit(webhook_url="https://127.0.0.1:1/hook")).status_code == 200

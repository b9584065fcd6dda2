"""Outbound webhooks: every end is sent in one form, by any process that runs, with retries."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from manual_clock import ManualClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import (
    SERVICES,
    Authority,
    coarse,
    created,
    make_environment,
    make_request,
    make_wide_environment,
    model_at,
    running_studio,
    serving,
    settings_for,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import InvalidWebhook
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.runs import RunEntry
from journey_mcp.engine.journal import LEASE_S
from journey_mcp.engine.webhook_policy import WebhookPolicy
from journey_mcp.net.address_policy import FetchError
from journey_mcp.providers.base import WebhookDelivery
from journey_mcp.providers.webhook_auth import read_signed
from journey_mcp.settings import read_settings


@dataclass
class Receiver:
    """An automation that gives the configured answers, the last one again and again."""

    statuses: list[int]
    url: str = ""
    received: list[tuple[Mapping[str, str], Any]] = field(default_factory=list)
    """Headers and body of every delivery."""
    bodies: list[bytes] = field(default_factory=list)
    """As they came."""
    received_at: list[float] = field(default_factory=list)
    """The loop's times of the deliveries."""
    _is_called: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: Request) -> Response:
        """Take one delivery."""
        self.bodies.append(await request.body())
        self.received.append((request.headers, await request.json()))
        self.received_at.append(asyncio.get_running_loop().time())
        self._is_called.set()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return Response(status_code=status, headers={"location": "https://evil.test/"})

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return the bodies."""
        return [body for _, body in self.received]

    @property
    def pauses(self) -> list[float]:
        """Return the seconds between two deliveries."""
        return [later - earlier for earlier, later in pairwise(self.received_at)]

    async def until_received(self, count: int = 1) -> None:
        """Wait for so many deliveries."""
        with anyio.fail_after(200):
            while len(self.received) < count:
                self._is_called.clear()
                await self._is_called.wait()


@asynccontextmanager
async def receiving(authority: Authority, *statuses: int) -> AsyncIterator[Receiver]:
    """Run an automation on this machine, over HTTPS."""
    receiver = Receiver(list(statuses or (204,)))
    app = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    async with serving(app, authority.server("127.0.0.1")) as origin:
        receiver.url = f"{origin}/hook"
        yield receiver


WHSEC = "whsec_c2FuZGJveC1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZiE="
KEYS = {WHSEC: b"sandbox-secret-0123456789abcdef!", "s3cret-of-text": b"s3cret-of-text"}
TRUSTED = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1", "JOURNEY_MCP_KEEP_IMAGES": "off"}


LONG_S = 300.0
"""Seconds after which every delivery that is still due has been sent."""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_provider_s_result_is_sent_in_the_same_form(
    tmp_path: Path, authority: Authority, service: str
) -> None:
    """As fetch_task returns it, without local paths; also if the provider has no webhooks."""
    async with (
        receiving(authority) as receiver,
        make_wide_environment(tmp_path, JOURNEY_MCP_WEBHOOK_SECRET="s3cret", **TRUSTED) as here,
    ):
        asked = make_request(model=model_at(service), provider=service, webhook_url=receiver.url)
        made = await here.studio.wait_for_new(await created(here.studio, asked), 900)
        assert made.status is Status.SUCCEEDED
        await receiver.until_received()
        headers, reported = receiver.received[0]
        assert "s3cret" not in str(headers)
        assert headers["content-type"] == "application/json"
        assert (reported["task_id"], reported["status"], reported["provider"]) == (made.id, "succeeded", service)
        assert [image["url"] for image in reported["images"]] == [image.url for image in made.images]
        assert not any("path" in image for image in reported["images"])
        assert all("webhook_url" not in json.dumps(sent) for sent in here.sent)
        await here.clock.skip(LONG_S)
        assert len(receiver.received) == 1


async def test_a_refinement_is_sent_with_its_action_and_parent(tmp_path: Path, authority: Authority) -> None:
    """The provider does not get the caller's address."""
    async with receiving(authority) as receiver, make_environment(tmp_path, **TRUSTED) as here:
        first = await here.made(model="midjourney")
        image = f"{first.id}.2"
        asked = ImageRequest(
            tool="refine_image", action="single", model="single", image=image, webhook_url=receiver.url
        )
        made = await created(here.studio, asked)
        await receiver.until_received()
        _, reported = receiver.received[0]
        assert (reported["task_id"], reported["action"], reported["parent"]) == (made.id, "single", image)
        assert set(here.sent[-1]) == {"parent_task_id", "index"}


async def test_credits_with_a_price_are_sent_in_dollars_too(tmp_path: Path, authority: Authority) -> None:
    """As in the results of tools."""
    price = {"JOURNEY_MCP_CREDIT_PRICE": "0.01usd@journeyapi"}
    async with receiving(authority) as receiver, make_environment(tmp_path, **TRUSTED, **price) as here:
        await here.made(model="z-image", webhook_url=receiver.url)
        await receiver.until_received()
        _, reported = receiver.received[0]
        assert (reported["cost"]["amount"], reported["cost"]["usd"]) == ("2", "0.02")


async def test_a_failure_is_sent_too_and_without_a_secret_no_signature(tmp_path: Path, authority: Authority) -> None:
    """Every end is sent."""
    async with receiving(authority) as receiver, make_environment(tmp_path, "submit:status=402", **TRUSTED) as here:
        made = await here.made(webhook_url=receiver.url)
        await receiver.until_received()
        headers, reported = receiver.received[0]
        assert not {"x-webhook-secret", "webhook-signature"} & set(headers)
        assert headers["webhook-id"] == f"msg_{made.id.removeprefix('tsk_')}"
        assert (reported["task_id"], reported["error"]["code"]) == (made.id, "out_of_credits")


async def test_a_receiver_that_fails_is_tried_again_after_10_30_and_90_seconds(
    tmp_path: Path, authority: Authority
) -> None:
    """A redirect is not a success and not followed; a receiver that accepts is not called again."""
    async with receiving(authority, 500, 302, 404, 200) as receiver, make_environment(tmp_path, **TRUSTED) as here:
        await here.made(webhook_url=receiver.url)
        await receiver.until_received(4)
        assert receiver.pauses == pytest.approx([10, 30, 90], abs=0.01)
        await here.clock.sleep(LONG_S)
        assert len(receiver.received) == 4
        assert len({json.dumps(reported, sort_keys=True) for reported in receiver.objects}) == 1


@pytest.mark.parametrize("secret", [WHSEC, "s3cret-of-text"])
async def test_every_try_is_signed_with_its_time_under_the_same_id(
    tmp_path: Path, authority: Authority, secret: str
) -> None:
    """By Standard Webhooks; the secret is not sent."""
    async with (
        receiving(authority, 500, 500, 200) as receiver,
        make_environment(tmp_path, JOURNEY_MCP_WEBHOOK_SECRET=secret, **TRUSTED) as here,
    ):
        made = await here.made(webhook_url=receiver.url)
        await receiver.until_received(3)
        for (headers, _), body in zip(receiver.received, receiver.bodies, strict=True):
            message = read_signed(WebhookDelivery(headers=headers, body=body, secret="", at=here.clock.now()))
            assert message is not None
            assert message.is_signed_with(KEYS[secret])
            assert not message.is_signed_with(b"another")
            assert secret not in str(headers)
            assert "x-webhook-secret" not in headers
        assert {headers["webhook-id"] for headers, _ in receiver.received} == {f"msg_{made.id.removeprefix('tsk_')}"}
        times = [int(headers["webhook-timestamp"]) for headers, _ in receiver.received]
        assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([10, 30], abs=1)


async def test_only_origins_of_the_setting_receive_the_secret(tmp_path: Path, authority: Authority) -> None:
    """Beside the signature, for receivers that compare the header; another port is another origin."""
    async with receiving(authority) as old, receiving(authority) as other:
        settings = {
            "JOURNEY_MCP_WEBHOOK_SECRET": WHSEC,
            "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": old.url.removesuffix("/hook"),
        }
        async with make_environment(tmp_path, **settings, **TRUSTED) as here:
            for receiver in (old, other):
                await here.made(webhook_url=receiver.url)
                await receiver.until_received()
        (headers, _), (other_headers, _) = old.received[0], other.received[0]
        assert headers["x-webhook-secret"] == WHSEC
        assert "x-webhook-secret" not in other_headers
        assert {"webhook-signature"} <= set(headers) & set(other_headers)


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://127.0.0.1/hook", True),
        ("https://127.0.0.1:443/hook?x=1", True),
        ("HTTPS://HOOKS.127.0.0.1.nip.test:8443/", True),
        ("https://127.0.0.1:8443/hook", False),
        ("https://hooks.127.0.0.1.nip.test/", False),
        ("https://evil.test/127.0.0.1", False),
        ("https://127.0.0.1.evil.test/", False),
        ("https://evil.test\\@127.0.0.1/", False),
        ("https://127.0.0.1@evil.test/", False),
        ("https://evil.test#@127.0.0.1/", False),
        ("https://127.0.0.1%2eevil.test/", False),
    ],
)
def test_a_setting_names_the_only_origins_that_may_be_called(url: str, *, is_allowed: bool) -> None:
    """Host and port, as a request to the URL parses them."""
    origins = "https://127.0.0.1, hooks.127.0.0.1.nip.test:8443/"
    policy = WebhookPolicy(read_settings({"JOURNEY_MCP_WEBHOOK_ORIGINS": origins}))
    if is_allowed:
        policy.check(url)
    else:
        with pytest.raises((InvalidWebhook, FetchError)):
            policy.check(url)


async def test_a_webhook_elsewhere_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    """The error names the origins that may be called."""
    origins = "https://hooks.example.com,https://10.0.0.1:8443"
    async with make_environment(tmp_path, JOURNEY_MCP_WEBHOOK_ORIGINS=origins) as here:
        with pytest.raises(
            InvalidWebhook, match=r"at https://hooks.example.com, https://10.0.0.1:8443 only"
        ) as refused:
            await here.studio.create(make_request(webhook_url="https://other.example.com/hook"), LOCAL)
        assert "omit webhook_url" in (refused.value.failure.next_step or "")
        assert here.sent == []


async def test_a_webhook_that_may_not_be_called_any_more_is_not(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """The settings apply when it is sent, not only when the task is created."""
    async with receiving(authority, 500, 204) as receiver, sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, **TRUSTED)
        clock = ManualClock()
        async with running_studio(settings, clock) as first:
            await first.wait_for_new(await created(first, make_request(webhook_url=receiver.url)), 900)
            await receiver.until_received()
        narrower = settings_for(
            upstream.base_url, tmp_path, **TRUSTED, JOURNEY_MCP_WEBHOOK_ORIGINS="https://hooks.example.com"
        )
        async with running_studio(narrower, clock):
            await clock.sleep(LONG_S)
        assert len(receiver.received) == 1
        assert "is abandoned after 4 tries: webhook_url: this server calls webhooks at" in caplog.text


def test_the_example_in_the_document_verifies() -> None:
    """Word for word; it rejects another secret, another body, and an old request."""
    text = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)  # it is ours
    body, now = b'{"task_id": "tsk_x"}', time.time()
    for secret in (WHSEC, "s3cret-of-text"):
        policy = WebhookPolicy(read_settings({"JOURNEY_MCP_WEBHOOK_SECRET": secret}))
        headers = policy.headers("tsk_x", "https://hooks.example.com/", body, now)
        assert names["is_genuine"](headers, body, secret)
        assert not names["is_genuine"](headers, body + b" ", secret)
        assert not names["is_genuine"](headers, body, "another")
        old = policy.headers("tsk_x", "https://hooks.example.com/", body, now - 301)
        assert not names["is_genuine"](old, body, secret)


async def test_a_receiver_that_always_fails_is_abandoned_and_the_result_stays(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """After four tries; fetch_task still returns it."""
    async with receiving(authority, 500) as receiver, make_environment(tmp_path, **TRUSTED) as here:
        made = await here.made(webhook_url=receiver.url)
        await receiver.until_received(4)
        await here.clock.sleep(LONG_S)
        assert len(receiver.received) == 4
        assert "is abandoned after 4 tries: it answered HTTP 500" in caplog.text
        assert (await here.studio.fetch([made.id], LOCAL))[made.id].status is Status.SUCCEEDED


async def test_an_unreachable_receiver_is_like_one_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It hinders nothing else."""
    async with make_environment(tmp_path, **TRUSTED) as here:
        made = await here.made(webhook_url="https://127.0.0.1:9/hook")
        await here.clock.sleep(LONG_S)
        assert made.status is Status.SUCCEEDED
        assert "is abandoned after 4 tries: no connection" in caplog.text


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/hook", "is not an HTTPS URL"),
        ("https://127.0.0.1/hook", "not a public host"),
        ("https://10.0.0.1/hook", "not a public host"),
        ("https://[::1]/hook", "not a public host"),
        ("https://169.254.169.254/latest/meta-data", "not a public host"),
        ("https://localhost/hook", "not a public host"),
        ("https://user:secret@127.0.0.1/hook", "has a user name or password"),
        ("http://user:secret@127.0.0.1/hook", "is not an HTTPS URL"),
        ("https://no-such-host.invalid/hook", "cannot be resolved"),
    ],
)
async def test_a_url_that_may_not_be_called_is_refused_before_anything_is_paid(
    tmp_path: Path, url: str, reason: str
) -> None:
    """Not once the image is there."""
    async with make_environment(tmp_path) as here:
        with pytest.raises(InvalidWebhook, match=reason) as refused:
            await here.studio.create(make_request(webhook_url=url), LOCAL)
        assert "secret" not in str(refused.value)
        assert here.sent == []


async def test_a_webhook_that_one_process_could_not_send_is_sent_by_the_next(
    tmp_path: Path, authority: Authority
) -> None:
    """It is in the outbox; it is sent once, by one of several processes."""
    async with receiving(authority, 503, 200) as receiver, sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, **TRUSTED)
        clock = ManualClock()
        async with running_studio(settings, clock) as first:
            await first.wait_for_new(await created(first, make_request(webhook_url=receiver.url)), 900)
            await receiver.until_received()
        async with running_studio(settings, clock), running_studio(settings, clock):
            await receiver.until_received(2)
            await clock.sleep(LONG_S)
        assert receiver.pauses == pytest.approx([10], abs=0.01)
        assert len(receiver.received) == 2


async def test_a_result_that_a_webhook_accepted_is_acknowledged(tmp_path: Path, authority: Authority) -> None:
    """So a duplicate call creates a new image."""
    async with receiving(authority) as receiver, make_environment(tmp_path, **TRUSTED) as here:
        asked = make_request(webhook_url=receiver.url)
        first = (await here.studio.create(asked, LOCAL)).task
        await receiver.until_received()
        await here.clock.sleep(10)
        assert (await here.studio.create(asked, LOCAL)).task.id != first.id


async def test_a_place_in_a_run_keeps_a_result_that_a_webhook_accepted(tmp_path: Path, authority: Authority) -> None:
    """A resumed run does not pay for it again."""
    async with receiving(authority) as receiver, make_environment(tmp_path, **TRUSTED) as here:
        asked, entry = make_request(webhook_url=receiver.url), RunEntry(run_id="run_1", index=1)
        first = (await here.studio.create(asked, LOCAL, entry=entry)).task
        await receiver.until_received()
        await here.clock.sleep(10)
        assert (await here.studio.create(asked, LOCAL, entry=entry)).task.id == first.id


async def test_a_store_that_cannot_be_read_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is read again after the length of a lease."""
    async with make_environment(tmp_path) as here:
        await here.made()
        for file in tmp_path.glob("tasks.db*"):
            file.unlink()
        await here.clock.sleep(2 * LEASE_S + 1)
        assert caplog.text.count("the webhooks that are due cannot be read") >= 2

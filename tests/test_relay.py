"""The caller's own webhook: told of every end in one form, by whichever process is there, with patience."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from processes import in_thread, raw
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import (
    SERVICES,
    Authority,
    FastClock,
    created,
    environment_for,
    fast_studio,
    serving,
    settings_for,
    wide_world,
    wish,
    world,
)

from journey_mcp import sandbox
from journey_mcp.errors import InvalidWebhook
from journey_mcp.studio import Studio
from journey_mcp.tasks import Status
from journey_mcp.waiting import HEARTBEAT_S


@dataclass
class Receiver:
    """An automation that gives the answers it was told to, the last one again and again."""

    statuses: list[int]
    url: str = ""
    received: list[tuple[Mapping[str, str], Any]] = field(default_factory=list)
    """Headers and body of every delivery."""

    async def take(self, request: Request) -> Response:
        """One delivery."""
        self.received.append((request.headers, await request.json()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return Response(status_code=status, headers={"location": "https://evil.test/"})

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [body for _, body in self.received]

    async def until_told(self, times: int = 1) -> None:
        """Wait for deliveries."""
        with anyio.fail_after(20):
            while len(self.received) < times:
                await anyio.sleep(0.01)


@asynccontextmanager
async def receiving(authority: Authority, *statuses: int) -> AsyncIterator[Receiver]:
    """An automation on this machine, over HTTPS."""
    receiver = Receiver(list(statuses or (204,)))
    app = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    async with serving(app, authority.server("127.0.0.1")) as origin:
        receiver.url = f"{origin}/hook"
        yield receiver


TRUSTED = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1"}


async def settled(studio: Studio, seconds: float = 300) -> None:
    """Let the studio's time pass: everything that is due by then has been told."""
    until = studio.now() + seconds
    while studio.now() < until:
        await studio.fetch([], seconds=HEARTBEAT_S)
        await anyio.sleep(0.01)


@pytest.mark.parametrize("service", SERVICES)
async def test_every_provider_s_result_is_told_in_the_same_form(
    tmp_path: Path, authority: Authority, service: str
) -> None:
    """As fetch_task gives it, without paths of this machine; also where the provider has no webhooks."""
    model = "z-image" if service == "journeyapi" else "flux-kontext-pro"
    async with (
        receiving(authority) as receiver,
        wide_world(tmp_path, JOURNEY_MCP_WEBHOOK_SECRET="s3cret", **TRUSTED) as here,
    ):
        asked = wish(model=model, provider=service, webhook_url=receiver.url)
        made = await here.studio.wait_for_new(await created(here.studio, asked), 900)
        assert made.status is Status.SUCCEEDED
        await receiver.until_told()
        headers, told = receiver.received[0]
        assert headers["x-webhook-secret"] == "s3cret"
        assert headers["content-type"] == "application/json"
        assert (told["task_id"], told["status"], told["provider"]) == (made.id, "succeeded", service)
        assert [image["url"] for image in told["images"]] == [image.url for image in made.images]
        assert not any("path" in image for image in told["images"])
        assert all("webhook_url" not in json.dumps(sent) for sent in here.sent)
        await settled(here.studio)
        assert len(receiver.received) == 1


async def test_a_failure_is_told_too_and_without_a_secret_none_is_sent(tmp_path: Path, authority: Authority) -> None:
    """Every end is one."""
    async with receiving(authority) as receiver, world(tmp_path, "submit:status=402", **TRUSTED) as here:
        made = await here.made(webhook_url=receiver.url)
        await receiver.until_told()
        headers, told = receiver.received[0]
        assert "x-webhook-secret" not in headers
        assert (told["task_id"], told["error"]["code"]) == (made.id, "out_of_credits")


async def test_a_deaf_receiver_is_tried_again_after_10_30_and_90_seconds(tmp_path: Path, authority: Authority) -> None:
    """A redirect is no success and not followed; whoever takes it in the end is not told again."""
    async with receiving(authority, 500, 302, 404, 200) as receiver, world(tmp_path, **TRUSTED) as here:
        here.clock.speed = 50
        started = here.clock.now()
        await here.made(webhook_url=receiver.url)
        await receiver.until_told(4)
        assert 130 <= here.clock.now() - started < 200
        await settled(here.studio)
        assert len(receiver.received) == 4
        assert len({json.dumps(told, sort_keys=True) for told in receiver.objects}) == 1


async def test_a_receiver_that_stays_deaf_is_given_up_and_the_result_stays(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """After four tries; fetch_task still gives it."""
    async with receiving(authority, 500) as receiver, world(tmp_path, **TRUSTED) as here:
        made = await here.made(webhook_url=receiver.url)
        await receiver.until_told(4)
        await settled(here.studio)
        assert len(receiver.received) == 4
        assert "is given up after 4 tries: it answered HTTP 500" in caplog.text
        assert (await here.studio.fetch([made.id]))[made.id].status is Status.SUCCEEDED


async def test_nobody_there_is_like_a_deaf_receiver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It hinders nothing else."""
    async with world(tmp_path, **TRUSTED) as here:
        made = await here.made(webhook_url="https://127.0.0.1:9/hook")
        await settled(here.studio)
        assert made.status is Status.SUCCEEDED
        assert "is given up after 4 tries: no connection" in caplog.text


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/hook", "is not an HTTPS URL"),
        ("https://127.0.0.1/hook", "no public address"),
        ("https://10.0.0.1/hook", "no public address"),
        ("https://[::1]/hook", "no public address"),
        ("https://169.254.169.254/latest/meta-data", "no public address"),
        ("https://localhost/hook", "no public address"),
        ("https://user:secret@127.0.0.1/hook", "carries a user name or password"),
        ("https://no-such-host.invalid/hook", "cannot be resolved"),
    ],
)
async def test_an_address_that_may_not_be_told_is_refused_before_anything_is_paid(
    tmp_path: Path, url: str, reason: str
) -> None:
    """Not when the picture is there."""
    async with world(tmp_path) as here:
        with pytest.raises(InvalidWebhook, match=reason) as refused:
            await here.studio.create(wish(webhook_url=url))
        assert "secret" not in str(refused.value)
        assert here.sent == []


async def test_what_one_process_could_not_tell_the_next_one_tells(tmp_path: Path, authority: Authority) -> None:
    """The wish stands in the journal; it is told once, however many look."""
    async with receiving(authority, 503, 200) as receiver, sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path, **TRUSTED)
        async with fast_studio(settings) as first:
            await first.wait_for_new(await created(first, wish(webhook_url=receiver.url)), 900)
            await receiver.until_told()
        clock = FastClock()
        async with fast_studio(settings, clock) as one, fast_studio(settings, clock) as other:
            clock.leap(20)
            await receiver.until_told(2)
            await settled(one)
            await settled(other)
        assert len(receiver.received) == 2


async def test_a_result_that_a_webhook_took_is_joined_by_nobody(tmp_path: Path, authority: Authority) -> None:
    """It has reached somebody: an equal call is meant."""
    async with receiving(authority) as receiver, world(tmp_path, **TRUSTED) as here:
        asked = wish(webhook_url=receiver.url)
        first = (await here.studio.create(asked)).task
        await receiver.until_told()
        await settled(here.studio, 10)
        assert (await here.studio.create(asked)).task.id != first.id


async def test_a_server_whose_client_leaves_stays_until_the_webhook_is_told(
    tmp_path: Path, authority: Authority
) -> None:
    """Nobody else would tell it."""
    async with receiving(authority) as receiver, sandbox.running(sandbox.Settings(speed=30)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path, **TRUSTED, SSL_CERT_FILE=str(authority.file))
        with raw(environment) as server:
            task = await in_thread(
                server.call, "imagine", prompt="a kite", model="midjourney", wait_s=0, webhook_url=receiver.url
            )
            assert task["status"] == "running"
            await in_thread(server.close)
        assert [told["status"] for told in receiver.objects] == ["succeeded"]


async def test_a_store_that_cannot_be_read_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is looked at again."""
    async with world(tmp_path) as here:
        await here.made()
        for file in tmp_path.glob("tasks.db*"):
            file.unlink()
        with anyio.fail_after(20):
            while "whom webhooks are to be told of cannot be read" not in caplog.text:
                await anyio.sleep(0.01)

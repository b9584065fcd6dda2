"""Outbound webhooks to slow hosts: each host delays only its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from ssl import SSLContext

import anyio
import pytest
from manual_clock import ManualClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import (
    Authority,
    Environment,
    created,
    make_environment,
    make_request,
    running_studio,
    serving,
    settings_for,
)

from engine.test_outbound_webhooks import TRUSTED, receiving
from journey_mcp import sandbox
from journey_mcp.core.urls import webhook_host

HANG_S = 10.0
"""When a webhook without an answer is given up for now."""


@dataclass
class Slow:
    """A host that is slow to answer."""

    answers_after_s: float | None
    """`None`: never, the other side gives it up."""
    url: str = ""
    now: int = 0
    """How many deliveries are on their way to it."""
    most: int = 0
    begun_at: list[float] = field(default_factory=list)
    """The loop's times."""

    async def take(self, request: Request) -> Response:
        """Take one delivery."""
        self.begun_at.append(asyncio.get_running_loop().time())
        self.now += 1
        self.most = max(self.most, self.now)
        await request.body()
        if self.answers_after_s is None:
            await request.receive()  # that the other side has gone
        else:
            await asyncio.sleep(self.answers_after_s)
        self.now -= 1
        return Response(status_code=204)


@asynccontextmanager
async def slow(tls: SSLContext, answers_after_s: float | None = None) -> AsyncIterator[Slow]:
    """Run a slow host on this machine."""
    host = Slow(answers_after_s)
    async with serving(Starlette(routes=[Route("/hook", host.take, methods=["POST"])]), tls) as origin:
        host.url = f"{origin}/hook"
        yield host


@pytest.fixture
def tls(authority: Authority) -> SSLContext:
    """Return the certificate of the hosts."""
    return authority.server("127.0.0.1")


async def ended(here: Environment, url: str, count: int) -> None:
    """Store so many tasks that have ended, with this webhook."""
    for number in range(count):
        await here.made(webhook_url=url, prompt=f"kite {number}")


async def test_a_host_that_hangs_delays_no_other(tmp_path: Path, authority: Authority, tls: SSLContext) -> None:
    """With any number of webhooks due there, now and later."""
    async with slow(tls) as hanging, receiving(authority) as receiver, make_environment(tmp_path, **TRUSTED) as here:
        await ended(here, hanging.url, 30)
        for number in range(3):
            before = here.clock.elapsed()
            await ended(here, receiver.url, 5)
            await receiver.until_received(5 * (number + 1))
            assert here.clock.elapsed() - before < 1
            await here.clock.sleep(HANG_S)
        assert hanging.most == 4


async def test_a_host_that_hangs_is_tried_again_after_10_30_and_90_seconds(tmp_path: Path, tls: SSLContext) -> None:
    """Counted from the end of each try."""
    async with slow(tls) as hanging, make_environment(tmp_path, **TRUSTED) as here:
        await ended(here, hanging.url, 1)
        await here.clock.sleep(300)
        pauses = [later - earlier for earlier, later in pairwise(hanging.begun_at)]
        assert pauses == pytest.approx([HANG_S + 10, HANG_S + 30, HANG_S + 90], abs=0.1)


async def test_at_most_four_are_sent_to_one_host_at_once(tmp_path: Path, tls: SSLContext) -> None:
    """The next one as soon as one ends."""
    async with slow(tls, 3) as host, make_environment(tmp_path, **TRUSTED) as here:
        await ended(here, host.url, 10)
        await here.clock.sleep(12)
        first = host.begun_at[0]
        assert [at - first for at in host.begun_at] == pytest.approx([0] * 4 + [3] * 4 + [6] * 2, abs=0.5)
        assert host.most == 4


async def test_many_hosts_that_hang_leave_room_for_others(
    tmp_path: Path, authority: Authority, tls: SSLContext
) -> None:
    """They share a half, and use one slot each of the rest: 64 in total."""
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(slow(tls)) for _ in range(40)]
        receiver = await stack.enter_async_context(receiving(authority))
        here = await stack.enter_async_context(make_environment(tmp_path, **TRUSTED))
        for host in hanging:
            await ended(here, host.url, 3)
        before = here.clock.elapsed()
        await ended(here, receiver.url, 1)
        await receiver.until_received()
        assert here.clock.elapsed() - before < 1
        assert 40 <= sum(host.now for host in hanging) <= 63


async def test_never_more_than_64_are_sent_at_once(tmp_path: Path, tls: SSLContext) -> None:
    """The rest is sent when there is room, the oldest first."""
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(slow(tls)) for _ in range(70)]
        here = await stack.enter_async_context(make_environment(tmp_path, **TRUSTED))
        for host in hanging:
            await ended(here, host.url, 1)
        await here.clock.sleep(1)
        assert sum(host.now for host in hanging) == 64
        await here.clock.sleep(HANG_S)
        assert all(host.begun_at for host in hanging)


async def test_a_server_that_drains_tries_every_webhook_once(
    tmp_path: Path, authority: Authority, tls: SSLContext
) -> None:
    """A host that hangs delays it for one try each, and does not delay those of other hosts."""
    async with (
        slow(tls) as hanging,
        receiving(authority) as receiver,
        sandbox.running(sandbox.Settings(speed=0)) as upstream,
    ):
        clock = ManualClock()
        async with running_studio(settings_for(upstream.base_url, tmp_path, **TRUSTED), clock) as studio:
            for number in range(6):
                for url in (hanging.url, receiver.url):
                    asked = make_request(webhook_url=url, prompt=f"kite {number}")
                    await studio.wait_for_new(await created(studio, asked), 900)
            left_at = clock.elapsed()
        first = [at for at in hanging.begun_at if at < hanging.begun_at[0] + 2 * HANG_S]  # then the second try is due
        assert (len(first), len(receiver.received)) == (6, 6)
        assert clock.elapsed() - left_at == pytest.approx(2 * HANG_S, abs=1)


async def test_a_server_that_shuts_down_waits_for_no_webhook(tmp_path: Path, tls: SSLContext) -> None:
    """Also while it drains; the next server sends it."""
    async with slow(tls) as hanging, sandbox.running(sandbox.Settings(speed=0)) as upstream:
        clock = ManualClock()
        async with anyio.create_task_group() as group:
            async with running_studio(settings_for(upstream.base_url, tmp_path, **TRUSTED), clock) as studio:
                await studio.wait_for_new(await created(studio, make_request(webhook_url=hanging.url)), 900)

                async def end_soon() -> None:
                    await clock.sleep(2)
                    studio.begin_shutdown()

                group.start_soon(end_soon)
                left_at = clock.elapsed()
            assert clock.elapsed() - left_at < 3


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Hooks.Example.com/a?b", "hooks.example.com"),
        ("https://hooks.example.com:443/a", "hooks.example.com"),
        ("https://hooks.example.com:8443", "hooks.example.com:8443"),
        ("https://[2001:db8::1]:8443/a", "[2001:db8::1]:8443"),
    ],
)
def test_a_host_is_its_name_and_port(url: str, host: str) -> None:
    """Several services share a machine."""
    assert webhook_host(url) == host

"""How soon a webhook that reaches one replica wakes a caller who waits at another."""

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
from postgres import Server
from support import coarse

from journey_mcp import sandbox
from replicas.caller import REVISIONS, Caller
from replicas.fleet import new_replica


@dataclass(frozen=True, kw_only=True)
class WakeUps:
    """What happened in some calls."""

    delays_s: list[float]
    """From the moment when the provider posts until the caller has the result."""
    polls: int
    """Polls that the provider got."""
    log: str
    """Of the replica where the callers waited."""


async def wake_callers(database: Server, folder: Path, *, calls: int) -> WakeUps:
    """Make calls, one after another, at a replica that gets no webhooks."""
    posted_at: list[float] = []

    def observe(event: sandbox.Event) -> None:
        if event.point == "posting":
            posted_at.append(time.monotonic())

    delays = []
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox.running(coarse(speed=5, observer=observe)))
        given = {"JOURNEY_MCP_DATABASE_URL": database.new_database()}
        other = new_replica("other", upstream, folder, {**given, "JOURNEY_MCP_PUBLIC_URL": "http://127.0.0.1:1"})
        given["JOURNEY_MCP_PUBLIC_URL"] = f"http://127.0.0.1:{other.webhook_port}"
        first = new_replica("first", upstream, folder, given)
        for replica in (first, other):
            stack.push_async_callback(replica.kill)
            await replica.start()
        for replica in (first, other):
            await replica.until_ready()
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, verify=False, timeout=60))
        caller = Caller(http=http, url=first.url, revision=REVISIONS[-1])
        # before its first post the sandbox reads the certificates of the machine: that call does not count
        for number in range(calls + 1):
            task = await caller.call("imagine", prompt=f"kite {number}", model="flux-pro", wait_s=30)
            delays.append(time.monotonic() - posted_at[-1])
            assert task["status"] == "succeeded"
            assert len(posted_at) == number + 1
    asked = upstream.sandbox.request_log.requests
    return WakeUps(
        delays_s=delays[1:], polls=asked["fetch"] + asked["fetch_many"], log=first.log.read_text(encoding="utf-8")
    )

"""Replicas behind a proxy: killed, and their database restarted, while sessions of several principals use them."""

import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from chaos.audit import created
from postgres import Server
from replicas.caller import REVISIONS, Caller
from replicas.fleet import new_replica
from replicas.trial import DISTURBANCES, run_trial, summary
from support import coarse

from journey_mcp import sandbox

SESSIONS = 50
CALLS = 5


@pytest.mark.usefixtures("haproxy")
async def test_sessions_lose_nothing_and_pay_nothing_twice(tmp_path: Path, database: Server) -> None:
    """50 sessions here; `make load` runs 500."""
    trial = await run_trial(database, tmp_path, sessions=SESSIONS)
    assert trial.problems == [], summary(trial)
    assert len(trial.disturbances) == len(DISTURBANCES)
    entries = trial.record.entries
    assert len(entries) == len(created(trial.record)) <= len(trial.record.rows) == len(trial.results)
    # the others were stored, and never sent, by a replica that was killed
    assert trial.ends["succeeded"] == len(entries)


async def test_a_result_at_one_replica_wakes_the_caller_at_another(tmp_path: Path, database: Server) -> None:
    """The webhook reaches another replica than the one that made the task, and where its caller waits.

    Without notifications the caller would see the result when it reads the task again, 5 s after the call: more than 2
    s after the webhook.
    """
    posted_at: list[float] = []

    def observe(event: sandbox.Event) -> None:
        if event.point == "posting":
            posted_at.append(time.monotonic())

    delays = []
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox.running(coarse(speed=5, observer=observe)))
        given = {"JOURNEY_MCP_DATABASE_URL": database.new_database()}
        other = new_replica("other", upstream, tmp_path, {**given, "JOURNEY_MCP_PUBLIC_URL": "http://127.0.0.1:1"})
        given["JOURNEY_MCP_PUBLIC_URL"] = f"http://127.0.0.1:{other.webhook_port}"
        first = new_replica("first", upstream, tmp_path, given)
        for replica in (first, other):
            stack.push_async_callback(replica.kill)
            await replica.start()
        for replica in (first, other):
            await replica.until_ready()
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, verify=False, timeout=60))
        caller = Caller(http=http, url=first.url, revision=REVISIONS[-1])
        for number in range(CALLS):
            task = await caller.call("imagine", prompt=f"kite {number}", model="flux-pro", wait_s=30)
            delays.append(time.monotonic() - posted_at[-1])
            assert task["status"] == "succeeded"
            assert len(posted_at) == number + 1
    asked = upstream.sandbox.request_log.requests
    assert asked["fetch"] + asked["fetch_many"] == 0
    # it listened all the time, so it did not read the task every half second
    assert "not heard" not in first.log.read_text(encoding="utf-8")
    assert statistics.median(delays) < 1.0, delays

"""Replicas behind a proxy: killed, and their database restarted, while sessions of several principals use them."""

import statistics
from pathlib import Path

import pytest
from chaos.audit import awaiting_webhook, created
from object_stores import running_object_store
from postgres import Server
from replicas.trial import DISTURBANCES, run_trial, summary
from replicas.wakeups import wake_callers

SESSIONS = 50
CALLS = 5


@pytest.mark.usefixtures("haproxy")
async def test_sessions_lose_nothing_and_pay_nothing_twice(tmp_path: Path, database: Server) -> None:
    """50 sessions here; `make load` runs 500."""
    with running_object_store() as store:
        trial = await run_trial(database, store, tmp_path, sessions=SESSIONS)
    assert trial.problems == [], summary(trial)
    assert len(trial.disturbances) == len(DISTURBANCES)
    entries = trial.record.entries
    assert len(entries) == len(created(trial.record)) == len(trial.record.rows) == len(trial.results)
    # a provider gives its webhook up after a minute, which a busy machine may take
    assert trial.ends["succeeded"] + len(awaiting_webhook(trial.record)) == len(entries)
    assert trial.copies.served


async def test_a_result_at_one_replica_wakes_the_caller_at_another(tmp_path: Path, database: Server) -> None:
    """The webhook reaches another replica than the one that made the task, and where its caller waits.

    Without notifications the caller would see the result when it reads the task again, 5 s after the call: more than 2
    s after the webhook.
    """
    seen = await wake_callers(database, tmp_path, calls=CALLS)
    assert seen.polls == 0
    # it listened all the time, so it did not read the task every half second
    assert "not received" not in seen.log
    assert statistics.median(seen.delays_s) < 1.0, seen.delays_s

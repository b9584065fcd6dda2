"""Replicas behind a proxy: killed, and their database restarted, while sessions of several principals use them."""

from pathlib import Path

import pytest
from chaos.audit import created
from postgres import Server
from replicas.trial import DISTURBANCES, run_trial, summary

SESSIONS = 50


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

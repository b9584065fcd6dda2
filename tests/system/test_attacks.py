"""A small part of every attack that needs real time."""

from pathlib import Path
from random import Random

import pytest
from attack.all_attacks import IN_REAL_TIME
from attack.attempts import Ground, Outcome
from attack.fuzzing import fuzz, serving_tokens
from attack.recorded_logs import problems_in
from postgres import running_server
from support import Authority

_TESTED_ELSEWHERE = {"kills", "idle connections"}
"""`test_chaos.py` kills 32 servers, and `test_idle_connections.py` opens 1,000 idle connections at each port."""

_SCALES = {"fuzzed service": 0.1}
"""Larger parts than of the other attacks: 5,000 inputs."""


@pytest.mark.parametrize("name", sorted(set(IN_REAL_TIME) - _TESTED_ELSEWHERE))
async def test_no_attack_in_real_time_succeeds(name: str, tmp_path: Path, authority: Authority) -> None:
    """The seed is fixed; any other must give the same result."""
    ground = Ground(random=Random(f"test {name}"), folder=tmp_path, authority=authority, scale=_SCALES.get(name, 0.02))
    outcome = await IN_REAL_TIME[name](ground)
    assert outcome.attempts
    assert outcome.succeeded == []


@pytest.mark.usefixtures("authority")
async def test_no_random_input_over_http_succeeds_on_postgresql(tmp_path: Path) -> None:
    """PostgreSQL refuses texts that SQLite stores: those with NUL, and numbers that are too large."""
    outcome = Outcome(unit="inputs")
    with running_server("wheel") as database:
        settings = {"JOURNEY_MCP_DATABASE_URL": database.new_database()}
        async with serving_tokens(tmp_path, **settings) as (target, _, log):
            await fuzz(target, Random("test"), 500, outcome)
    assert (outcome.succeeded, problems_in(log.read_text("utf-8").splitlines())) == ([], [])

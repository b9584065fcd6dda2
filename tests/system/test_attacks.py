"""A small part of every attack that needs real time."""

from pathlib import Path
from random import Random

import pytest
from attack.__main__ import IN_REAL_TIME
from attack.attempts import Ground
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

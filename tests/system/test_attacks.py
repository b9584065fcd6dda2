"""A small part of every attack that needs real time."""

from pathlib import Path
from random import Random

import pytest
from attack.__main__ import ATTACKS, IN_MANUAL_TIME
from attack.attempts import Ground

_WHOLE_ELSEWHERE = {"kills"}
"""`test_chaos.py` kills 32 servers."""


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - IN_MANUAL_TIME - _WHOLE_ELSEWHERE))
async def test_an_attack_gets_nowhere(name: str, tmp_path: Path) -> None:
    """Whatever the seed."""
    ground = Ground(random=Random(f"test {name}"), folder=tmp_path, scale=0.02)
    outcome = await ATTACKS[name](ground)
    assert outcome.tried
    assert outcome.through == []

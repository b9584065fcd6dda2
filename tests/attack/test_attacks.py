"""A small part of every attack, and that one which gets through is told."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from attack.__main__ import ATTACKS, IN_MANUAL_TIME
from attack.addresses import connections
from attack.attempts import Ground, Outcome


@pytest.mark.parametrize("name", sorted(IN_MANUAL_TIME))
async def test_an_attack_in_manual_time_gets_nowhere(name: str, tmp_path: Path) -> None:
    """Whatever the seed."""
    ground = Ground(random=Random(f"test {name}"), folder=tmp_path, scale=0.02)
    outcome = await ATTACKS[name](ground)
    assert outcome.tried
    assert outcome.through == []


async def test_a_connection_is_noticed_and_not_made() -> None:
    """But for the one that is allowed."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with connections(but=port) as made:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            assert made == []
            with pytest.raises(PermissionError):
                await asyncio.open_connection("127.0.0.2", port)
        assert made == ["127.0.0.2"]


def test_what_gets_through_is_kept() -> None:
    """With what it was."""
    outcome = Outcome(unit="attempts")
    outcome.attempt(held=True, what="a")
    outcome.attempt(held=False, what="b")
    assert (outcome.tried, outcome.through) == (2, ["b"])

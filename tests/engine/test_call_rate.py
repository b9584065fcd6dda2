"""The call rate: exact over processes, and with few statements."""

import sqlite3
from pathlib import Path

from manual_clock import ManualClock

from journey_mcp.core.principals import LOCAL, principal_of_token
from journey_mcp.engine.call_rate import CallRate
from journey_mcp.store import open_store


async def passed(rate: CallRate, calls: int, limit: int) -> int:
    """Return how many of these calls pass."""
    return sum([await rate.retry_after_s(LOCAL, limit) is None for _ in range(calls)])


async def test_two_processes_pass_as_many_calls_as_the_limit_says(tmp_path: Path) -> None:
    """Together, in each minute; other principals are not limited by that."""
    clock = ManualClock()
    url = f"sqlite:///{tmp_path}/tasks.db"
    async with open_store(url) as one, open_store(url) as two:
        first, second = CallRate(one, clock), CallRate(two, clock)
        assert await passed(first, 70, 100) == 70
        assert await passed(second, 70, 100) == 30
        assert await passed(first, 5, 100) == 0
        assert await first.retry_after_s(principal_of_token("ana"), 1) is None
        seconds = await first.retry_after_s(principal_of_token("ana"), 1)
        assert seconds is not None
        assert 0 < seconds <= 60
        clock.advance(seconds)
        assert await passed(second, 70, 100) == 70
        assert await passed(first, 70, 100) == 30
        clock.advance(300)
        assert await passed(first, 1, 100) == 1
    with sqlite3.connect(tmp_path / "tasks.db") as looked:
        assert looked.execute("SELECT count(*), sum(calls) FROM call_counts").fetchone() == (1, 5)


async def test_calls_pass_while_they_cannot_be_counted(tmp_path: Path) -> None:
    """A database that is locked lets no call fail that it would not let fail anyway."""
    async with open_store(f"sqlite:///{tmp_path}/tasks.db?timeout=0") as store:
        rate = CallRate(store, ManualClock())
        with sqlite3.connect(tmp_path / "tasks.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await passed(rate, 3, 1) == 3
            other.execute("ROLLBACK")
        assert await passed(rate, 3, 1) == 1

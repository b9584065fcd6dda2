"""Logs that a flood cannot blow up."""

import logging

from journey_mcp.logs import RateLimit


def record(message: str, line: int = 1, level: int = logging.WARNING) -> logging.LogRecord:
    """A record from a place in the code."""
    return logging.LogRecord("journey_mcp.x", level, "x.py", line, message, (), None)


def test_ten_a_minute_pass_from_one_place_and_the_next_one_tells_of_the_others() -> None:
    """Other places, and what is more detailed than a warning, are not touched."""
    now = 0.0
    limit = RateLimit(lambda: now)
    assert [limit.filter(record(f"frame {n}")) for n in range(30)] == [True] * 10 + [False] * 20
    assert limit.filter(record("another place", line=2))
    assert all(limit.filter(record("detail", level=logging.DEBUG)) for _ in range(30))
    now = 60.0
    later = record("frame 30")
    assert limit.filter(later)
    assert later.getMessage() == "frame 30 (and 20 more before)"
    now = 120.0
    quiet = record("frame 31")
    assert limit.filter(quiet)
    assert quiet.getMessage() == "frame 31"

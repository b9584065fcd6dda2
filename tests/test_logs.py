"""The rate limit of the log."""

import logging

from journey_mcp.logs import RateLimit


def record(message: str, line: int = 1, level: int = logging.WARNING) -> logging.LogRecord:
    """Return a log record of a line of code."""
    return logging.LogRecord("journey_mcp.x", level, "x.py", line, message, (), None)


def test_ten_records_a_minute_pass_per_line_and_the_next_states_the_number_of_others() -> None:
    """Other lines, and levels below a warning, are not limited."""
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

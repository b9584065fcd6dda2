"""The log: its rate limit, and its form as JSON."""

import json
import logging

import pytest

from journey_mcp.core.telemetry import Operation, Value
from journey_mcp.logs import LogFormat, RateLimit, formatter_of
from journey_mcp.server.observability.audit import AuditLog


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


def test_as_json_a_record_is_one_object_without_secrets() -> None:
    """With the fields of the record, and the traceback of an exception."""
    error = ValueError("the key is s3cr3t-key")
    failed = logging.LogRecord(
        "journey_mcp.x", logging.ERROR, "x.py", 1, "it\nfailed %s", (1,), (type(error), error, None)
    )
    vars(failed)["fields"] = {"tool": "imagine"}
    line = formatter_of("json", ["s3cr3t-key"]).format(failed)
    plain = json.loads(line)
    assert "\n" not in line
    assert "s3cr3t-key" not in line
    assert (plain["level"], plain["logger"], plain["message"]) == ("error", "journey_mcp.x", "it\nfailed 1")
    assert plain["tool"] == "imagine"
    assert "ValueError" in plain["exception"]
    assert plain["time"].startswith("20")


HOSTILE = "a\r\n2026-01-01 INFO forged\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202e\u2028\U000e0041\ud800 ☺ é\0b"
"""What a terminal or a reader of lines would obey."""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_record_is_one_line_of_visible_characters(log_format: LogFormat) -> None:
    """Everything else is escaped, and what people write stays readable; as JSON it is the same text again."""
    line = formatter_of(log_format, []).format(record(HOSTILE))
    assert line.isprintable()
    assert "☺ é" in line
    if log_format == "json":
        assert json.loads(line)["message"] == HOSTILE


def test_the_audit_log_says_who_called_and_what_it_cost(caplog: pytest.LogCaptureFixture) -> None:
    """One record for each call, and nothing else."""
    caplog.set_level(logging.INFO, "journey_mcp.audit")
    attributes: dict[str, Value] = {
        "tool": "imagine",
        "caller": "token:ana",
        "model": "midjourney",
        "cost": 4,
        "unit": "credits",
    }
    AuditLog().ended(Operation("call", {**attributes, "secret": "x"}), 1.23456)
    AuditLog().ended(Operation("copy", {}), 1.0)
    (logged,) = caplog.records
    assert logged.getMessage() == (
        "call caller=token:ana tool=imagine outcome=completed model=midjourney cost=4 unit=credits duration_s=1.235"
    )
    assert vars(logged)["fields"]["duration_s"] == 1.235

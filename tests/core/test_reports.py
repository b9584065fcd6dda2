"""Reports: the log has the exception, and the caller its id."""

import logging
import re

import pytest

from journey_mcp.core.reports import internal_error


def test_an_exception_is_logged_under_the_id_that_the_caller_gets(caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns nothing else of it."""
    error = internal_error("a tool failed", ValueError("the secret cause"))
    match = re.fullmatch(r"journey-mcp failed; report id ([0-9a-f]{8})\.", str(error))
    assert match
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, f"a tool failed (report {match[1]})")
    assert "the secret cause" in caplog.text

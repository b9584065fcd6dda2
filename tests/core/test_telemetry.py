"""Telemetry: who records hears of every operation, with how it ended."""

from collections.abc import Iterator, Mapping

import pytest

from journey_mcp.core import telemetry
from journey_mcp.core.errors import OutOfCredits
from journey_mcp.core.telemetry import Operation


class Recording:
    """Recorder that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def started(self, operation: Operation) -> None:
        """Keep the beginning."""
        self.heard.append(("started", operation.kind, ""))

    def ended(self, operation: Operation, duration_s: float) -> None:
        """Keep the outcome."""
        assert duration_s >= 0
        self.heard.append(("ended", operation.kind, operation.outcome))

    def headers(self) -> Mapping[str, str]:
        """Return one header."""
        return {"traceparent": "00-1"}


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Return a recorder that hears what this process does."""
    recorder = Recording()
    end = telemetry.record_to(recorder)
    yield recorder
    end()


def test_an_operation_has_an_outcome(recording: Recording) -> None:
    """Its own, or that of the exception that ended it."""
    with telemetry.measure("copy"):
        pass
    with telemetry.measure("webhook") as operation:
        operation.set(outcome="failed", tasks=None)
    assert "tasks" not in operation.attributes
    for error, outcome in ((OutOfCredits("none left"), "out_of_credits"), (ValueError(), "internal")):
        with pytest.raises(type(error)), telemetry.measure("request"):
            raise error
        assert recording.heard[-1] == ("ended", "request", outcome)
    with pytest.raises(KeyboardInterrupt), telemetry.measure("call"):
        raise KeyboardInterrupt
    telemetry.report("task", 2.0, outcome="failed", model=None)
    assert [one for one in recording.heard if one[0] == "ended"] == [
        ("ended", "copy", "completed"),
        ("ended", "webhook", "failed"),
        ("ended", "request", "out_of_credits"),
        ("ended", "request", "internal"),
        ("ended", "call", "canceled"),
        ("ended", "task", "failed"),
    ]
    assert telemetry.trace_headers() == {"traceparent": "00-1"}


def test_without_recorders_nothing_is_kept() -> None:
    """Also after one has ended."""
    recorder = Recording()
    telemetry.record_to(recorder)()
    with telemetry.measure("copy"):
        telemetry.report("task", 1.0)
    assert recorder.heard == []
    assert telemetry.trace_headers() == {}

"""Telemetry: what the process does, reported to what records it as metrics, traces or an audit log.

The code says what it does and how it ended, and does not know who records it. Without recorders that costs about a
microsecond. Attributes are words and numbers of a bounded kind: never prompts, keys, texts of providers, or URLs.
"""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, Protocol, Self

from journey_mcp.core.errors import JourneyError

Kind = Literal["call", "upload", "read", "request", "copy", "webhook", "task"]
"""A tool call, the upload of an image over HTTP, the reading of one behind its link, a request to a provider, the copy
of an image, the delivery of a webhook, a task from its call to its end."""
Value = str | int | float
COMPLETED = "completed"
"""The outcome of what ended without an error."""


class Operation:
    """Something with a beginning and an end; a context manager. An exception sets its outcome."""

    __slots__ = ("_started", "attributes", "kind")

    def __init__(self, kind: Kind, attributes: dict[str, Value]) -> None:
        self.kind = kind
        self.attributes = attributes
        self._started = 0.0

    def set(self, **attributes: Value | None) -> None:
        """Add attributes; those that are `None` are left out."""
        self.attributes.update({name: value for name, value in attributes.items() if value is not None})

    @property
    def outcome(self) -> str:
        """`COMPLETED`, the code of an error, or `canceled`."""
        return str(self.attributes.get("outcome", COMPLETED))

    def __enter__(self) -> Self:
        for recorder in _recorders:
            recorder.started(self)
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        duration_s = time.perf_counter() - self._started
        if error is not None:
            self.attributes["outcome"] = _outcome_of(error)
        for recorder in reversed(_recorders):
            recorder.ended(self, duration_s)


class Recorder(Protocol):
    """Recorder of operations, also of the end of one that began before it recorded.

    Its methods return at once, and never raise.
    """

    def started(self, operation: Operation) -> None:
        """Note that it begins."""
        ...

    def ended(self, operation: Operation, duration_s: float) -> None:
        """Record it with all its attributes."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return the headers that tell a provider to which trace a request belongs."""
        ...


_recorders: tuple[Recorder, ...] = ()


def record_to(recorder: Recorder) -> Callable[[], None]:
    """Report all operations of this process to the recorder; return what ends that."""
    global _recorders  # noqa: PLW0603  # of the process, as its logs are
    _recorders = (*_recorders, recorder)

    def end() -> None:
        global _recorders  # noqa: PLW0603  # the same
        _recorders = tuple(one for one in _recorders if one is not recorder)

    return end


def measure(kind: Kind, **attributes: Value) -> Operation:
    """Return an operation that begins with `with`."""
    return Operation(kind, attributes)


def report(kind: Kind, duration_s: float, **attributes: Value | None) -> None:
    """Report an operation that is over."""
    if _recorders:
        operation = Operation(kind, {})
        operation.set(**attributes)
        for recorder in _recorders:
            recorder.started(operation)
            recorder.ended(operation, duration_s)


def trace_headers() -> dict[str, str]:
    """Return the headers for a request that is sent within the current operation."""
    return {name: value for recorder in _recorders for name, value in recorder.headers().items()}


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, JourneyError):
        return error.code
    return "internal" if isinstance(error, Exception) else "canceled"

"""The log while an attack runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from journey_mcp.logs import LogFormat, formatter_of

_OURS = logging.getLogger("journey_mcp")


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class RecordedLog:
    """The lines that a server would have written."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        self._records = records

    def lines(self, log_format: LogFormat = "text") -> list[str]:
        """Return them in one of both forms."""
        return [formatter_of(log_format, []).format(record) for record in self._records]

    def problems(self) -> list[str]:
        """Return the lines that tell of a failure of ours, or could command a terminal."""
        return problems_in([*self.lines("text"), *self.lines("json")])


@contextmanager
def recorded_log() -> Iterator[RecordedLog]:
    """Record the log at the level with the most records of ours."""
    handler, root, disabled, level = _Records(), logging.getLogger(), logging.root.manager.disable, _OURS.level
    logging.disable(logging.NOTSET)
    root.addHandler(handler)
    _OURS.setLevel(logging.DEBUG)
    try:
        yield RecordedLog(handler.records)
    finally:
        root.removeHandler(handler)
        _OURS.setLevel(level)
        logging.disable(disabled)


def problems_in(lines: list[str]) -> list[str]:
    """Return the lines of a log that tell of a failure of ours, or could command a terminal."""
    return [line[:300] for line in lines if "Traceback" in line or "(report " in line or not line.isprintable()]

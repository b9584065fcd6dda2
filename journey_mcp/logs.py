"""Logs: stderr only, one line each, no secrets, and never so many that they fill a disk."""

import logging
import sys
import time
from collections.abc import Callable, Iterable

from journey_mcp.core.redaction import redactor_of

_WINDOW_S = 60.0
_MOST_IN_WINDOW = 10


class _OneLine(logging.Formatter):
    """Folds tracebacks into their line, and hides what is secret wherever it shows up."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = redactor_of(*secrets)

    def format(self, record: logging.LogRecord) -> str:
        line = " | ".join(part.strip() for part in super().format(record).splitlines() if part.strip())
        return self._redactor.text(line)


class RateLimit(logging.Filter):
    """Lets 10 warnings or errors a minute pass from each place in the code; the next one tells how many did not.

    What strangers and broken clients cause comes as often as they like. What is more detailed than a warning was asked
    for, and passes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Count the record, and tell whether it passes."""
        if record.levelno < logging.WARNING:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        began, count = self._windows.get(place, (now, 0))
        if now - began >= _WINDOW_S:
            if count > _MOST_IN_WINDOW:
                record.msg, record.args = f"{record.getMessage()} (and {count - _MOST_IN_WINDOW} more before)", ()
            began, count = now, 0
        self._windows[place] = (began, count + 1)
        return count < _MOST_IN_WINDOW


def set_up(level: str, secrets: Iterable[str] = ()) -> None:
    """Send our own logs of this level, other libraries' warnings, and what ends the process, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(secrets))
    handler.addFilter(RateLimit())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("journey_mcp").setLevel(level.upper())
    logging.raiseExceptions = False  # a record that cannot be formatted would be shown as it is
    sys.excepthook = lambda *raised: logging.getLogger("journey_mcp").critical("it ended by a fault", exc_info=raised)

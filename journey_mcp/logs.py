"""Logs: stderr only, one line of visible characters per record, as text or as JSON, without secrets, rate limited."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Literal

from journey_mcp.core.redaction import redactor_of

LogFormat = Literal["text", "json"]
_WINDOW_S = 60.0
_MOST_IN_WINDOW = 10


class _OneLine(logging.Formatter):
    """Formatter that writes tracebacks on one line, and redacts secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = redactor_of(*secrets)

    def format(self, record: logging.LogRecord) -> str:
        line = " | ".join(part.strip() for part in super().format(record).splitlines() if part.strip())
        return _visible(self._redactor.text(line))


class _Json(logging.Formatter):
    """Formatter that writes a JSON object, with the fields of the record if it has any, and redacts secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._redactor = redactor_of(*secrets)

    def format(self, record: logging.LogRecord) -> str:
        plain = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            plain["exception"] = self.formatException(record.exc_info)
        return _visible(json.dumps(self._redactor.plain(plain), ensure_ascii=False))


def _visible(line: str) -> str:
    """Return a line in which all characters are visible: others, as escapes of JSON, cannot command a terminal."""
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


class RateLimit(logging.Filter):
    """Filter that passes 10 warnings or errors per minute and line of code; the next one states how many were dropped.

    Strangers and broken clients can cause any number of them. Records below warning level were asked for, and pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Count the record, and return whether it passes."""
        if record.levelno < logging.WARNING:
            return True
        line, now = (record.pathname, record.lineno), self._clock()
        began, count = self._windows.get(line, (now, 0))
        if now - began >= _WINDOW_S:
            if count > _MOST_IN_WINDOW:
                record.msg, record.args = f"{record.getMessage()} (and {count - _MOST_IN_WINDOW} more before)", ()
            began, count = now, 0
        self._windows[line] = (began, count + 1)
        return count < _MOST_IN_WINDOW


def formatter_of(log_format: LogFormat, secrets: Iterable[str]) -> logging.Formatter:
    """Return what writes a record as one line, with the secrets redacted."""
    return _Json(secrets) if log_format == "json" else _OneLine(secrets)


def set_up(level: str, secrets: Iterable[str] = (), log_format: LogFormat = "text") -> None:
    """Send our logs of this level, warnings of libraries, and fatal exceptions to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter_of(log_format, secrets))
    handler.addFilter(RateLimit())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("journey_mcp").setLevel(level.upper())
    logging.raiseExceptions = False  # a record that cannot be formatted would be shown without redaction
    sys.excepthook = lambda *raised: logging.getLogger("journey_mcp").critical(
        "the process ended by an exception", exc_info=raised
    )

"""Logs: stderr only, one line each, no secrets."""

import logging
import sys
from collections.abc import Iterable

from journey_mcp.redaction import redactor_of


class _OneLine(logging.Formatter):
    """Folds tracebacks into their line, and hides what is secret wherever it shows up."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = redactor_of(*secrets)

    def format(self, record: logging.LogRecord) -> str:
        line = " | ".join(part.strip() for part in super().format(record).splitlines() if part.strip())
        return self._redactor.text(line)


def set_up(level: str, secrets: Iterable[str] = ()) -> None:
    """Send our own logs of this level, other libraries' warnings, and what ends the process, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("journey_mcp").setLevel(level.upper())
    logging.raiseExceptions = False  # a record that cannot be formatted would be shown as it is
    sys.excepthook = lambda *raised: logging.getLogger("journey_mcp").critical("it ended by a fault", exc_info=raised)

"""Logs: stderr only, one line each, no secrets."""

import logging
import sys
from collections.abc import Iterable

_SHORTEST_SECRET = 8
"""A shorter one is made up, and may be part of any word."""


class _OneLine(logging.Formatter):
    """Folds tracebacks into their line, and blanks out what is secret wherever it shows up."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]

    def format(self, record: logging.LogRecord) -> str:
        line = " | ".join(part.strip() for part in super().format(record).splitlines() if part.strip())
        for secret in self._secrets:
            line = line.replace(secret, "[secret]")
        return line


def set_up(level: str, secrets: Iterable[str] = ()) -> None:
    """Send our own logs of this level, and other libraries' warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("journey_mcp").setLevel(level.upper())

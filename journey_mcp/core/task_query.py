"""Queries for tasks: words and dates, as a person or a model writes them."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from journey_mcp.core.text import searchable

PAGE_SIZE = 20
"""How many tasks a listing has."""
_DATE = re.compile(r"(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2})(?:T[\d:.]*(?:Z|\+00:00)?)?)?")
_AGE = re.compile(r"(\d{1,5})\s*([hdw])", re.IGNORECASE)
_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_MAX_WORDS = 20
_AROUND = "\"'`.,;:!?()[]“”„«»"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQuery:
    """Which of a principal's tasks are listed; without conditions, the newest."""

    before: str | None = None
    """The id of a task; the list begins with the next older one."""
    words: tuple[str, ...] = ()
    """All of them are in the prompt or the name of the model; in the form of `searchable`."""
    since: float = 0.0
    """The earliest time of creation, in seconds of the Unix epoch."""
    until: float = math.inf
    """All were created before this time."""
    limit: int = PAGE_SIZE

    @property
    def is_filter(self) -> bool:
        """Whether there are words or dates."""
        return bool(self.words) or self.since > 0 or self.until < math.inf


ALL_TASKS = TaskQuery()
"""The newest tasks, whatever they are."""


def parse_search(text: str, *, before: str | None = None, limit: int = PAGE_SIZE) -> TaskQuery:
    """Parse words and dates: `lighthouse 2026-11-27`. A date is a day or a month in UTC; several are a range.

    Raises:
        ValueError: names a date that does not exist, or says that there are too many words.
    """
    parts = [part for word in text.split() if (part := word.strip(_AROUND))]
    dates = [_period(date) for part in parts if (date := _DATE.fullmatch(part))]
    words = [word for part in parts if not _DATE.fullmatch(part) for word in searchable(part).split()]
    if len(words) > _MAX_WORDS:
        raise ValueError(f"{len(words)} words are too many (at most {_MAX_WORDS}); give the two or three rarest")
    return TaskQuery(
        before=before,
        words=tuple(dict.fromkeys(words)),
        since=min((since for since, _ in dates), default=0.0),
        until=max((until for _, until in dates), default=math.inf),
        limit=limit,
    )


def parse_since(text: str, now: float) -> float:
    """Parse a day, a month or an age: `2026-11-27`, `2026-11`, `12h`, `7d`, `2w`; return seconds of the Unix epoch.

    Raises:
        ValueError: names the value and the forms.
    """
    if age := _AGE.fullmatch(text.strip()):
        return now - int(age[1]) * _SECONDS[age[2].lower()]
    if date := _DATE.fullmatch(text.strip()):
        return _period(date)[0]
    raise ValueError(f"{text[:80]!r} must be a day, a month or an age, such as 2026-11-27, 2026-11, 12h or 7d")


def start_of_day(now: float) -> float:
    """Return when the day of this time began, in UTC."""
    return datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _period(date: "re.Match[str]") -> tuple[float, float]:
    """Return the start of a day or month, and the start of the next one."""
    year, month, day = int(date[1]), int(date[2]), date[3]
    try:
        start = datetime(year, month, int(day or 1), tzinfo=UTC)
        end = start + timedelta(days=1) if day else _next_month(start)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{date[0]} is not a date; give a day or a month, such as 2026-11-27 or 2026-11") from error
    return start.timestamp(), end.timestamp()


def _next_month(start: datetime) -> datetime:
    return (start + timedelta(days=31)).replace(day=1)

"""The paginated list of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from journey_mcp.sandbox.dates import Calendar
from journey_mcp.sandbox.replicate.predictions import Prediction
from journey_mcp.sandbox.replicate.requests import InvalidError


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of predictions, with the cursors of the previous and next page; None if there is none."""

    results: Sequence[Prediction]
    previous: str | None
    next: str | None


def created_within(predictions: Sequence[Prediction], query: Mapping[str, str], calendar: Calendar) -> list[Prediction]:
    """Return the predictions created from `created_after` on and before `created_before`. Raises InvalidError."""
    try:
        after = _time_of(query["created_after"], calendar) if "created_after" in query else None
        before = _time_of(query["created_before"], calendar) if "created_before" in query else None
    except ValueError as error:
        raise InvalidError("created_after and created_before are dates in ISO 8601") from error
    return [
        prediction
        for prediction in predictions
        if (after is None or prediction.accepted_at >= after) and (before is None or prediction.accepted_at < before)
    ]


def page_at(predictions: Sequence[Prediction], cursor: str | None, size: int) -> Page:
    """Return the page that starts at `cursor`, or the first one. Raises InvalidError."""
    names = [prediction.task_id for prediction in predictions]
    if cursor is not None and cursor not in names:
        raise InvalidError("cursor is not from a page of this list")
    start = 0 if cursor is None else names.index(cursor)
    end = start + size
    return Page(
        results=predictions[start:end],
        previous=names[max(0, start - size)] if start else None,
        next=names[end] if end < len(names) else None,
    )


def _time_of(date: str, calendar: Calendar) -> float:
    """Return the clock's time of a date; without a zone it is UTC. Raises ValueError."""
    read = datetime.fromisoformat(date)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() - calendar.unix(0)

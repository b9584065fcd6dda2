"""Queries for tasks: words and dates as people and models write them."""

import math
from typing import Any

import pytest

from journey_mcp.core.task_query import ALL_TASKS, TaskQuery, parse_search, parse_since, start_of_day

DAY = 86400.0
NOV_27 = 1_795_737_600.0
NOV_1, DEC_1 = NOV_27 - 26 * DAY, NOV_27 + 4 * DAY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ("Lighthouse  dusk", {"words": ("lighthouse", "dusk")}),
        ('"a lighthouse", dusk dusk.', {"words": ("a", "lighthouse", "dusk")}),
        ("flux-2-pro", {"words": ("flux-2-pro",)}),
        ("STRASSE straße", {"words": ("strasse",)}),
        ("Ｋｉｔｅ", {"words": ("kite",)}),
        ("灯台", {"words": ("灯台",)}),
        ("2026-11-27", {"since": NOV_27, "until": NOV_27 + DAY}),
        ("2026/11/27", {"since": NOV_27, "until": NOV_27 + DAY}),
        ("2026-11-27T10:11:12Z", {"since": NOV_27, "until": NOV_27 + DAY}),
        ("2026-11", {"since": NOV_1, "until": DEC_1}),
        ("2026-12", {"since": DEC_1, "until": DEC_1 + 31 * DAY}),
        ("2026-11-27 kite", {"words": ("kite",), "since": NOV_27, "until": NOV_27 + DAY}),
        ("(2026-11-27) - 2026-11-28", {"words": ("-",), "since": NOV_27, "until": NOV_27 + 2 * DAY}),
        ("12026-11-27", {"words": ("12026-11-27",)}),
    ],
)
def test_a_search_has_words_and_dates(text: str, expected: dict[str, Any]) -> None:
    """Without case; several dates are a range, in UTC."""
    assert parse_search(text) == TaskQuery(**expected)


def test_a_search_begins_where_a_page_ended() -> None:
    """With the limit of the caller."""
    assert parse_search("", before="tsk_a", limit=21) == TaskQuery(before="tsk_a", limit=21)


@pytest.mark.parametrize("text", ["2026-13", "2026-02-30 kite", "0000-01", "9999-12-31"])
def test_a_date_that_does_not_exist_is_named(text: str) -> None:
    """Instead of a search that finds nothing."""
    with pytest.raises(ValueError, match=f"{text.split(maxsplit=1)[0]} is not a date; give a day or a month"):
        parse_search(text)


def test_a_text_is_not_a_search() -> None:
    """Every word costs time in the database."""
    with pytest.raises(ValueError, match="21 words are too many"):
        parse_search(" ".join(map(str, range(21))))


@pytest.mark.parametrize(
    ("text", "seconds_ago"),
    [("12h", DAY / 2), ("7d", 7 * DAY), (" 2 W ", 14 * DAY), ("2026-11-27", 60.0), ("2026-11", 26 * DAY + 60)],
)
def test_a_start_is_a_day_a_month_or_an_age(text: str, seconds_ago: float) -> None:
    """Of the command line."""
    assert parse_since(text, NOV_27 + 60) == NOV_27 + 60 - seconds_ago


@pytest.mark.parametrize("text", ["yesterday", "", "7", "7y", "2026", "27.11.2026"])
def test_another_start_is_corrected(text: str) -> None:
    """With the forms."""
    with pytest.raises(ValueError, match="must be a day, a month or an age, such as 2026-11-27, 2026-11, 12h or 7d"):
        parse_since(text, 0.0)


def test_a_day_begins_at_midnight_in_utc() -> None:
    """Also at midnight."""
    assert start_of_day(NOV_27) == start_of_day(NOV_27 + DAY - 1) == NOV_27


@pytest.mark.parametrize(
    ("query", "is_filter"),
    [
        (ALL_TASKS, False),
        (TaskQuery(before="tsk_a", limit=3), False),
        (TaskQuery(words=("a",)), True),
        (TaskQuery(since=1.0), True),
        (TaskQuery(until=1.0), True),
    ],
)
def test_words_and_dates_are_a_filter(query: TaskQuery, is_filter: bool) -> None:
    """A page is not."""
    assert query.is_filter is is_filter
    assert math.isinf(ALL_TASKS.until)

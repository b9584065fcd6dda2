"""Quoted upstream text, timestamps and durations."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.core.text import cleaned, duration, quoted, timestamp


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no such thing", '"no such thing"'),
        ("line\none\t two", '"line one two"'),
        ('he said "stop"', "\"he said 'stop'\""),
        ("zero\u200bwidth\u202e and \x1b[31mred", '"zerowidth and [31mred"'),
        ("tag\U000e0041s and private \ue000 use", '"tags and private use"'),
        ("x" * 400, f'"{"x" * 299}…"'),
        (None, '"None"'),
    ],
)
def test_text_of_an_upstream_is_quoted_data(text: object, shown: str) -> None:
    """One line, truncated, without invisible characters, and unable to close its quotes."""
    assert quoted(text) == shown


@given(st.text())
def test_quoting_holds_for_any_text(text: str) -> None:
    """One line of bounded length between the only two quotation marks."""
    shown = quoted(text)
    assert shown.startswith('"')
    assert shown.endswith('"')
    assert shown.count('"') == 2
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} for character in shown)
    assert len(shown) <= 302


def test_only_the_start_of_a_long_text_is_read() -> None:
    """Megabytes cause no delay, and an ellipsis shows the truncation."""
    assert cleaned("x" * 4_000_000, 80) == "x" * 79 + "…"
    assert cleaned("\u200b" * 4_000_000, 80) == "…"
    assert cleaned(" " * 700 + "x", 80) == "x"


def test_invisible_characters_are_dropped() -> None:
    """Variation selectors, fillers, tags and unassigned code points can hide text."""
    hidden = "\ufe0f\U000e0100\U000e0041\u3164\u115f\u034f\u2800\u2065\U0003fffd\u00ad\u200b"
    assert cleaned(f"a{hidden}b{hidden}") == "ab"


def test_only_the_start_of_megabytes_is_cleaned() -> None:
    """An upstream may send any amount of text."""
    assert cleaned("a" + "\u200b" * 10 + "b" * 10_000_000, 20) == f"a{'b' * 18}…"
    assert cleaned("\u200b" * 10_000_000 + "b") == "…"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (3590.0, "1 h"),
        (3601.0, "1 h 1 min"),
        (86399.0, "24 h"),
        (172799.0, "2 days"),
        (172801.0, "3 days"),
    ],
)
def test_a_duration_is_formatted_for_people(seconds: float, said: str) -> None:
    """Rounded up, so that a wait of this length is long enough."""
    assert duration(seconds) == said


def test_a_timestamp_is_in_utc() -> None:
    """With a precision of one second."""
    assert timestamp(0.9) == "1970-01-01T00:00:00Z"

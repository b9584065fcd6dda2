"""Errors: what a caller sees of them, and how text of an upstream gets there."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.core.errors import JourneyError, RateLimited, all_errors, cleaned, quoted


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
    """One line, capped, nothing invisible, and it cannot end its own quotation."""
    assert quoted(text) == shown


@given(st.text())
def test_quoting_holds_for_any_text(text: str) -> None:
    """Whatever comes: one line between the only two quotation marks, bounded."""
    shown = quoted(text)
    assert shown.startswith('"')
    assert shown.endswith('"')
    assert shown.count('"') == 2
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} for character in shown)
    assert len(shown) <= 302


def test_every_code_is_told_once() -> None:
    """Codes are public names: no two classes share one, and each says what it means."""
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes))
    assert all(error.__doc__ for error in all_errors())


def test_an_error_carries_what_its_class_says_and_what_it_was_told() -> None:
    """The class gives code and advice, the raiser message and patience."""
    error = RateLimited("full", retry_after_s=3.0)
    assert isinstance(error, JourneyError)
    failure = error.failure
    assert (failure.code, failure.message, failure.retryable, failure.retry_after_s) == (
        "rate_limited",
        "full",
        True,
        3.0,
    )
    assert failure.next_step == RateLimited.next_step


def test_of_a_long_text_only_the_start_is_looked_at() -> None:
    """Megabytes of an upstream keep nobody waiting; that something was left out is shown."""
    assert cleaned("x" * 4_000_000, 80) == "x" * 79 + "…"
    assert cleaned("\u200b" * 4_000_000, 80) == "…"
    assert cleaned(" " * 700 + "x", 80) == "x"


def test_characters_that_no_font_shows_are_dropped() -> None:
    """Variation selectors, fillers, tags and unassigned code points can carry text past a reader's eyes."""
    hidden = "\ufe0f\U000e0100\U000e0041\u3164\u115f\u034f\u2800\u2065\U0003fffd\u00ad\u200b"
    assert cleaned(f"a{hidden}b{hidden}") == "ab"


def test_of_a_text_of_megabytes_only_the_beginning_is_cleaned() -> None:
    """An upstream may send as much as it likes."""
    assert cleaned("a" + "\u200b" * 10 + "b" * 10_000_000, 20) == f"a{'b' * 18}…"
    assert cleaned("\u200b" * 10_000_000 + "b") == "…"

"""Integers in English words."""

import pytest

from journey_mcp.routing.number_words import value_of, with_digits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("zero", 0),
        ("Seven", 7),
        ("twenty-one", 21),
        ("forty two", 42),
        ("a hundred", 100),
        ("two hundred and five", 205),
        ("one thousand twenty-four", 1024),
        ("sixteen thousand", 16_000),
        ("", None),
        ("and", None),
        ("seven cats", None),
        ("7", None),
        ("one " * 100, None),
    ],
)
def test_a_number_is_read_from_its_words(text: str, value: int | None) -> None:
    """Other text is not a number."""
    assert value_of(text) == value


def test_the_words_of_a_text_become_digits() -> None:
    """Other words stay, also those that begin like a number."""
    assert with_digits("Sixteen by nine, often twenty-one: nineteenth") == "16 by 9, often 21: nineteenth"

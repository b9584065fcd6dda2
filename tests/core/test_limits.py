"""Limits, amounts and prices as settings have them."""

import pytest

from journey_mcp.core.limits import (
    format_amounts,
    format_credit_prices,
    format_limits,
    parse_amounts,
    parse_credit_prices,
    parse_limits,
)


@pytest.mark.parametrize("text", ["", "8credits/call", "8credits/call,100 Credits/day@journeyapi,2.5usd/total"])
def test_limits_are_formatted_as_they_were_written(text: str) -> None:
    """Except for blanks around commas."""
    assert format_limits(parse_limits(text)) == text


@pytest.mark.parametrize("text", ["", "6credits", "6credits,0.50usd"])
def test_amounts_are_formatted_as_they_are_parsed(text: str) -> None:
    """One of each unit."""
    assert format_amounts(parse_amounts(text)) == text


def test_credit_prices_are_formatted_as_they_are_parsed() -> None:
    """In US dollars, by provider."""
    assert format_credit_prices(parse_credit_prices("0.010 USD @ JourneyAPI, 1usd@bfl")) == (
        "0.010usd@journeyapi,1usd@bfl"
    )

"""Limits, amounts and prices as settings have them."""

import pytest

from journey_mcp.core.limits import (
    EACH,
    format_amounts,
    format_credit_prices,
    format_limits,
    parse_amounts,
    parse_credit_prices,
    parse_limits,
    parse_limits_of_one,
)
from journey_mcp.core.principals import LOCAL, Principal, principal_of_token


@pytest.mark.parametrize("text", ["", "8credits/call", "8credits/call,100 Credits/day@journeyapi,2.5usd/total"])
def test_limits_are_formatted_as_they_were_written(text: str) -> None:
    """Except for blanks around commas."""
    assert format_limits(parse_limits(text)) == text


def test_a_limit_of_principals_may_name_a_provider_too() -> None:
    """In any order; a name keeps its case."""
    each, one = parse_limits("1usd/day@each@bfl, 5credits/total @ JourneyAPI @principal:Ana.B")
    assert (each.principal, each.provider) == (EACH, "bfl")
    assert (one.principal, one.provider) == ("Ana.B", "journeyapi")
    principals = [LOCAL, principal_of_token("Ana.B"), Principal("Ana.B"), principal_of_token("ana.b")]
    assert [each.is_for(principal) for principal in principals] == [True, True, True, True]
    assert [one.is_for(principal) for principal in principals] == [False, True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "1usd/day@each@principal:ana",
        "1usd/day@bfl@vtrix",
        "1usd/day@principal:",
        "1usd/day@each@bfl@vtrix",
        "1usd/day@",
    ],
)
def test_a_limit_has_one_provider_and_one_principal(text: str) -> None:
    """The error names the form."""
    with pytest.raises(ValueError, match=r"must be AMOUNT UNIT/PERIOD\[@PROVIDER\]\[@each or @principal:NAME\]"):
        parse_limits(text)


def test_the_limits_of_one_principal() -> None:
    """Are written without its name."""
    assert parse_limits_of_one("2usd/day@bfl") == parse_limits("2usd/day@bfl")
    with pytest.raises(ValueError, match="'2usd/day@each' is the limit of one principal already: leave out @each"):
        parse_limits_of_one("2usd/day@each")


@pytest.mark.parametrize("text", ["", "6credits", "6credits,0.50usd"])
def test_amounts_are_formatted_as_they_are_parsed(text: str) -> None:
    """One of each unit."""
    assert format_amounts(parse_amounts(text)) == text


def test_credit_prices_are_formatted_as_they_are_parsed() -> None:
    """In US dollars, by provider."""
    assert format_credit_prices(parse_credit_prices("0.010 USD @ JourneyAPI, 1usd@bfl")) == (
        "0.010usd@journeyapi,1usd@bfl"
    )

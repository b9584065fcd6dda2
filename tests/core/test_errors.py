"""Errors, as a caller sees them."""

import pytest

from journey_mcp.core.errors import InvalidRequest, JourneyError, PerhapsPaid, RateLimited, all_errors
from journey_mcp.core.next_steps import NextStep, ask_person


def test_codes_are_unique() -> None:
    """Codes are public: no two classes share one, and each class is documented."""
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes))
    assert all(error.__doc__ for error in all_errors())


def test_an_error_combines_facts_of_its_class_and_its_arguments() -> None:
    """The class has code and next step, the arguments have message and retry delay."""
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


@pytest.mark.parametrize("step", [None, "Call again.", "Call again, or " + ask_person("set the key.")])
def test_advice_is_passed_on_to_another_error(step: str | NextStep | None) -> None:
    """In the words for both readers."""
    advice = InvalidRequest("x", next_step=step).failure.advice
    assert advice == (step or InvalidRequest.next_step)
    assert InvalidRequest("y", next_step=advice).failure.advice == advice


def test_new_advice_replaces_both_words() -> None:
    """Those for the person would contradict it."""
    failure = PerhapsPaid("x").failure
    assert failure.next_step_for_person == (
        "Check the provider's account first; then call again with fresh=true to send it again."
    )
    assert failure.advising("Wait.").advice == "Wait."
    assert failure.advising(None).advice is None

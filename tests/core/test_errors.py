"""Errors: what a caller sees of them."""

from journey_mcp.core.errors import JourneyError, RateLimited, all_errors


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

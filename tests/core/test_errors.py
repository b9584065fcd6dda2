"""Errors, as a caller sees them."""

from journey_mcp.core.errors import JourneyError, RateLimited, all_errors


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

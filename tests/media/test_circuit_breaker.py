"""The circuit breaker: a service that does not answer is asked again after a pause, by one request."""

from manual_clock import ManualClock

from journey_mcp.media.circuit_breaker import PAUSE_S, CircuitBreaker


async def test_requests_are_refused_after_two_failures_in_a_row() -> None:
    """One failure may be chance, and an answer in between says that the service is there."""
    breaker = CircuitBreaker(ManualClock())
    breaker.failed()
    assert (breaker.allows(), breaker.is_failing) == (True, True)
    breaker.succeeded()
    assert not breaker.is_failing
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


async def test_one_request_finds_out_whether_the_service_is_back() -> None:
    """The others are refused meanwhile; if it fails, or never ends, the next one comes after another pause."""
    clock = ManualClock()
    breaker = CircuitBreaker(clock)
    for _ in range(2):
        breaker.failed()
    for _ in range(2):
        clock.advance(PAUSE_S)
        assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.failed()
    assert not breaker.allows()
    clock.advance(PAUSE_S)
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]

"""A circuit breaker: a service that did not answer is left alone for a while, instead of being waited for each time."""

from journey_mcp.core.clock import Clock

_FAILURES = 2
"""After so many in a row requests are refused."""
PAUSE_S = 15.0
"""How long; then one request finds out whether the service answers again."""


class CircuitBreaker:
    """Decision whether a request to a service may be sent, by how earlier ones ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether the service did not answer the last request."""
        return self._failures > 0

    def allows(self) -> bool:
        """Return whether a request may be sent now. After a pause one may, and the others wait for its end."""
        if self._failures < _FAILURES:
            return True
        if self._clock.elapsed() < self._retry_at:
            return False
        self._retry_at = self._clock.elapsed() + PAUSE_S
        return True

    def succeeded(self) -> None:
        """Note that the service answered."""
        self._failures = 0

    def failed(self) -> None:
        """Note that it did not."""
        self._failures += 1
        self._retry_at = self._clock.elapsed() + PAUSE_S

"""A rate limit of creating requests: a token bucket, which allows short bursts."""

import math

from journey_mcp.sandbox.clock import Clock


class Throttle:
    """A token bucket of `per_minute` tokens, refilled within a minute of the clock; None has no limit."""

    def __init__(self, clock: Clock, per_minute: int | None) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._left = float(per_minute or 0)
        # the clock of an event loop cannot be read before the loop runs; the bucket is full until then
        self._seen_at: float | None = None

    def take(self) -> int | None:
        """Take a token and return None, or return the seconds until there is one."""
        if self._per_minute is None:
            return None
        self._refill(self._per_minute)
        if self._left < 1:
            return math.ceil((1 - self._left) * 60 / self._per_minute)
        self._left -= 1
        return None

    def headers(self) -> dict[str, str]:
        """Return the headers of recorded responses: the tokens left, and the seconds until the bucket is full."""
        if self._per_minute is None:
            return {}
        self._refill(self._per_minute)
        reset_s = math.ceil((self._per_minute - self._left) * 60 / self._per_minute)
        return {"ratelimit-remaining": str(int(self._left)), "ratelimit-reset": str(reset_s)}

    def _refill(self, per_minute: int) -> None:
        now = self._clock()
        passed_s = 0.0 if self._seen_at is None else now - self._seen_at
        self._left = min(per_minute, self._left + passed_s * per_minute / 60)
        self._seen_at = now

"""How many tasks may run at once at a provider, as its refusals show."""

_ONE_MORE_S = 300.0
"""After so long without a refusal one more may run than was learnt."""
_FORGOTTEN_S = 3600.0
"""After so long nothing of what was learnt holds, unless a limit is configured to grow back to."""


class AdaptiveLimit:
    """How many may run at once: as configured, and fewer for a while after the provider refused one more."""

    def __init__(self, configured: int | None) -> None:
        self._configured = configured
        self._learnt: int | None = None
        self._refused_at = 0.0

    def at(self, now: float) -> int | None:
        """The number that holds now; `None` when none does. `now` is in seconds since any fixed moment."""
        if self._learnt is None:
            return self._configured
        age_s = now - self._refused_at
        if self._configured is None:
            return None if age_s >= _FORGOTTEN_S else self._learnt + int(age_s // _ONE_MORE_S)
        return min(self._configured, self._learnt + int(age_s // _ONE_MORE_S))

    def refused(self, running: int, now: float) -> None:
        """The provider refused one more while so many were running."""
        known, seen = self.at(now), max(running, 1)
        self._learnt = seen if known is None else min(known, seen)
        self._refused_at = now

"""How many tasks may run at once at a provider, as its refusals show."""

_GROW_EVERY_S = 300.0
"""After so long without a refusal one more may run than was learnt."""
_FORGET_AFTER_S = 3600.0
"""After so long nothing of what was learnt holds, unless a limit is configured to grow back to."""


class AdaptiveLimit:
    """How many may run at once: as configured, and fewer for a while after the provider refused one more."""

    def __init__(self, configured: int | None) -> None:
        self._configured = configured
        self._learned: int | None = None
        self._refused_at = 0.0

    def at(self, now: float) -> int | None:
        """The number that holds now; `None` when none does. `now` is in seconds since any fixed moment."""
        if self._learned is None:
            return self._configured
        age_s = now - self._refused_at
        if self._configured is None:
            return None if age_s >= _FORGET_AFTER_S else self._learned + int(age_s // _GROW_EVERY_S)
        return min(self._configured, self._learned + int(age_s // _GROW_EVERY_S))

    def refused(self, running: int, now: float) -> None:
        """The provider refused one more while so many were running."""
        known, observed = self.at(now), max(running, 1)
        self._learned = observed if known is None else min(known, observed)
        self._refused_at = now

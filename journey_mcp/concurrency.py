"""How many tasks may run at once at a provider: as a person writes it (`25@journeyapi`), and as refusals teach it.

Numbers only: who waits for whom, `queueing` knows.
"""

import re
from collections.abc import Mapping

_ONE_MORE_S = 300.0
"""After so long without a refusal one more may run than was learnt."""
_FORGOTTEN_S = 3600.0
"""After so long nothing of what was learnt holds, unless a limit is configured to grow back to."""
_PART = re.compile(r"([1-9]\d{0,5})(?:\s*@\s*([a-z0-9_-]+))?", re.IGNORECASE)

Limits = Mapping[str | None, int]
"""How many may run at once, by provider; `None` is every provider that is not named."""


def parse_limits_at_once(text: str) -> Limits:
    """Read a comma-separated list of `N` and `N@PROVIDER`.

    Raises:
        ValueError: names the part that is none, and the form.
    """
    found: dict[str | None, int] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = _PART.fullmatch(part)
        provider = match[2].lower() if match and match[2] else None
        if match is None or provider in found:
            raise ValueError(
                f"{part!r} must be N or N@PROVIDER with N from 1 to 999999, such as 25@journeyapi, each provider once"
            )
        found[provider] = int(match[1])
    return found


def limit_at(limits: Limits, provider: str) -> int | None:
    """The one that holds for a provider; `None` when there is none."""
    return limits.get(provider, limits.get(None))


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

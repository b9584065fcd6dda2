"""How many tasks may run at once at a provider, and for how long it has kept tasks out, as its refusals show.

No clock, store or tasks: `now` is in seconds since any fixed moment.
"""

import math
from typing import NamedTuple

_GROW_EVERY_S = 300.0
"""After so long without a refusal one more may run than was learned."""
_FORGET_AFTER_S = 3600.0
"""After so long what was learned is dropped, unless a limit is configured to grow back to."""


class AdaptiveLimit:
    """How many may run at once: as configured, and fewer for a while after the provider refused one more."""

    def __init__(self, configured: int | None) -> None:
        self._configured = configured
        self._learned: int | None = None
        self._refused_at = 0.0

    def at(self, now: float) -> int | None:
        """Return the limit at this time; `None` if there is none."""
        if self._learned is None:
            return self._configured
        age_s = now - self._refused_at
        if self._configured is None:
            return None if age_s >= _FORGET_AFTER_S else self._learned + int(age_s // _GROW_EVERY_S)
        return min(self._configured, self._learned + int(age_s // _GROW_EVERY_S))

    def adapt(self, running: int, now: float) -> None:
        """Lower the limit: the provider refused one more while so many were running."""
        known, observed = self.at(now), max(running, 1)
        self._learned = observed if known is None else min(known, observed)
        self._refused_at = now


class Instant(NamedTuple):
    """A moment by two clocks."""

    at: float
    unfilled: float
    """By a clock that is stopped while tasks of ours fill the provider."""


class Limiter:
    """What the refusals of one account mean: a limit, a pause, and for how long entries have been kept out."""

    def __init__(self, configured: int | None) -> None:
        self.limit = AdaptiveLimit(configured)
        self._paused_until = -math.inf
        self._full_s = 0.0
        self._refused_since: Instant | None = None
        """The first refusal since the last task that was sent and accepted."""

    def instant(self, now: float) -> Instant:
        """Return this moment by both clocks."""
        return Instant(now, now - self._full_s)

    def is_unlimited(self, now: float) -> bool:
        """Return whether any number may be sent at this moment."""
        return self.limit.at(now) is None and self.pause_left_s(now) <= 0

    def pause(self, seconds: float, now: float) -> None:
        """Let no task be sent for so long."""
        self._paused_until = max(self._paused_until, now + seconds)

    def pause_left_s(self, now: float) -> float:
        """Return for how many seconds the pause lasts; 0 or less if there is none."""
        return self._paused_until - now

    def was_full(self, seconds: float) -> None:
        """Note that for so long the head of the queue waited only because tasks of ours filled the provider."""
        self._full_s += seconds

    def refused(self, now: float) -> bool:
        """Note that the provider refused a task; return whether it is the first since it accepted one."""
        is_first = self._refused_since is None
        if is_first:
            self._refused_since = self.instant(now)
        return is_first

    def accepted(self, sent_at: float) -> None:
        """Note that the provider accepted a task, which ends the refusals unless the task was sent before them."""
        if self._refused_since is not None and sent_at > self._refused_since.at:
            self._refused_since = None

    def refused_s(self, joined_at: Instant, now: float, *, may_move: bool) -> float:
        """Return for how many seconds refusals have kept out an entry that joined then.

        Waiting for tasks of ours to end does not count, unless the entry `may_move`: it was refused itself, and there
        is another provider.
        """
        if self._refused_since is None:
            return 0.0
        if may_move:
            return now - max(self._refused_since.at, joined_at.at)
        return self.instant(now).unfilled - max(self._refused_since.unfilled, joined_at.unfilled)

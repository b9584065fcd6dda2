"""How long to wait before the next poll or try, and how a progress bar moves meanwhile. No clock: numbers only."""

import math
import random

from journey_mcp.core.errors import RateLimited, Unreachable

FIRST_POLL_S = 2.0
_GROWTH = 1.5
_MAX_POLL_DELAY_S = 10.0
_BACKUP_POLL_DELAY_S = 30.0
_MAX_LATE_POLL_DELAY_S = 300.0
_USUAL_DURATION_S = (30, 90)
_SLACK_SHARE = 1 / 4
"""Of the delay of a poll. Jitter moves polls of equal delays apart by less, so tasks polled together stay together."""
_LEAST_SLACK_S = 1.0

SUBMIT_RETRIES = 3
"""How often a connection is tried again before a task ends."""
RATE_LIMIT_MAX_WAIT_S = 600.0
"""How long a task is tried again at a provider that has no room for it."""
RATE_LIMIT_MAX_WAIT_WITH_ALTERNATIVES_S = 10.0
"""The same while another provider may run the task."""


def poll_delay(
    number: int,
    *,
    age_s: float,
    usual_s: tuple[int, int] | None,
    retry_after_s: float | None = None,
    is_backup: bool = False,
) -> float:
    """Return the seconds before the poll of this number (0 is the first), with jitter.

    The delay grows by half each time to 10 s; once a task takes longer than usual, it grows with the excess to 5 min.
    As a backup for a webhook, the first poll is when the task is usually done, and the others are at least 30 s apart.
    `retry_after_s` is what the provider asked for: the delay is never less.
    """
    slow_s = (usual_s or _USUAL_DURATION_S)[1]
    max_s = _BACKUP_POLL_DELAY_S if is_backup else _MAX_POLL_DELAY_S
    max_s = min(max(max_s, (age_s - slow_s) / 10), _MAX_LATE_POLL_DELAY_S)
    if is_backup:
        delay_s = max_s if number else max(slow_s - age_s, FIRST_POLL_S)
    else:
        delay_s = min(FIRST_POLL_S * math.pow(_GROWTH, min(number, 20)), max_s)
    return max(delay_s * _jitter(), retry_after_s or 0.0)


def poll_slack(delay_s: float, *, retry_after_s: float | None = None, is_backup: bool = False) -> float:
    """Return by how many seconds a poll after this delay may be early, to share a request with another one.

    It is a quarter of the delay, but at least a second; a second as a backup for a webhook, whose first poll is when
    the task is usually done. It never takes a poll before the end of `retry_after_s`.
    """
    slack_s = _LEAST_SLACK_S if is_backup else max(delay_s * _SLACK_SHARE, _LEAST_SLACK_S)
    return min(slack_s, delay_s - (retry_after_s or 0.0))


def submit_delay(number: int, *, retry_after_s: float | None = None) -> float:
    """Return the seconds before a creating request that created nothing is sent again (0 is the first retry)."""
    return max(min(0.5 * math.pow(2, min(number, 10)), 30.0) * _jitter(), retry_after_s or 0.0)


def retry_delay(
    error: RateLimited | Unreachable, tries: int, refused_s: float, *, has_alternative: bool
) -> float | None:
    """Return the seconds until the same provider is tried again; `None` if it was tried often enough.

    `refused_s` is for how long the provider has refused; `has_alternative`, whether another provider may run the task.
    """
    if isinstance(error, Unreachable):
        return None if has_alternative or tries >= SUBMIT_RETRIES else submit_delay(tries)
    retry_after_s = error.failure.retry_after_s
    max_wait_s = RATE_LIMIT_MAX_WAIT_WITH_ALTERNATIVES_S if has_alternative else RATE_LIMIT_MAX_WAIT_S
    left_s = max_wait_s - refused_s
    if left_s <= 0 or (retry_after_s or 0.0) > left_s:
        return None
    # the last try is at the end of the longest wait, so that a limit that clears until then is not missed
    return min(submit_delay(tries, retry_after_s=retry_after_s), left_s)


class Heartbeat:
    """Progress from 0 towards 1 that strictly increases: with time, and with what the provider reports."""

    def __init__(self, usual_s: tuple[int, int] | None) -> None:
        self._slow_s = (usual_s or _USUAL_DURATION_S)[1]
        self._shown = 0.0

    def next(self, elapsed_s: float, reported: float | None) -> float:
        """Return the next value to show: always more than the last, never 1."""
        estimate = 0.9 * (1 - math.exp(-elapsed_s / self._slow_s))
        # there is always room between what is shown and 1
        little_more = self._shown + (1 - self._shown) * 1e-3
        self._shown = max(little_more, estimate, min(reported or 0.0, 0.99))
        return self._shown


def _jitter() -> float:
    return random.uniform(0.9, 1.1)  # noqa: S311  # spreads polls; nothing secret

"""The time limit and retries of a service's webhooks."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WebhookPolicy:
    """The time limit and the retries of webhooks."""

    timeout_s: float = 10.0
    """The time limit for a 2xx response."""
    retry_gaps_s: tuple[float, ...] = (10.0, 30.0, 90.0)
    """The delays before the second attempt, the third and so on; divided by the sandbox's speed."""

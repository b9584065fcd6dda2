"""How long a service waits for receivers of webhooks, and how often it tries."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WebhookPolicy:
    """How patient a service is with receivers."""

    timeout_s: float = 10.0
    """A receiver must have answered 2xx by then."""
    retry_gaps_s: tuple[float, ...] = (10.0, 30.0, 90.0)
    """The waits before the second try, the third and so on; divided by the sandbox's speed."""

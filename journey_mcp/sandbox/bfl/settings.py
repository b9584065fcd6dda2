"""The settings of the fake Black Forest Labs."""

from dataclasses import dataclass, field
from typing import Literal

from journey_mcp.sandbox.webhook_policy import WebhookPolicy


def _webhook_policy() -> WebhookPolicy:
    return WebhookPolicy(timeout_s=30, retry_gaps_s=(1, 5, 30))


@dataclass(frozen=True, kw_only=True)
class BflSettings:
    """The fake Black Forest Labs, with one reading of each point that its documents leave open."""

    keys: tuple[str, ...] | None = None
    """The accepted keys; None accepts any that is not empty."""
    credits: float = 1_000
    """The initial balance in credits of 0.01 US dollars. All keys share it."""
    refunds_failed_tasks: bool = False
    """Whether a failed task is refunded; not documented."""
    extra_models: tuple[str, ...] = ()
    """Further model ids; they accept any parameter."""
    tasks_at_once: int = 24
    """Further tasks get 429."""
    tasks_at_once_by_model: tuple[tuple[str, int], ...] = (("flux-kontext-max", 6),)
    """Lower limits of single models; the vendor's text contradicts itself about this one."""
    poll_needs_key: bool = True
    """Whether get_result requires a valid key; the schema declares none there, the samples send one."""
    unauthorized: Literal["401", "403"] = "403"
    """The response to a missing or wrong key: 403 with `detail`, or 401 with `error`. Both are documented."""
    unknown_task: Literal["200", "404"] = "200"
    """The HTTP status that goes with `Task not found`."""
    default_format: Literal["png", "jpeg"] = "png"
    """The default output_format of the Kontext models; the guide says jpeg."""
    aspect_ratio_limit: Literal["21:9", "7:3", "4:1"] = "21:9"
    """The widest aspect_ratio of Kontext, whose inverse is the tallest: three sources state three limits."""
    webhook_proof: Literal["secret", "signature", "both"] = "secret"
    """The secret as X-Webhook-Secret, or a signature as X-BFL-Signature, or both headers."""
    webhooks: WebhookPolicy = field(default_factory=_webhook_policy)
    """The time limit and the retries of webhooks."""
    allows_plain_webhooks: bool = True
    """Whether http:// webhooks are accepted, as the schema says; the vendor's repository says https only."""
    link_lifetime_s: float = 600
    """How long an image URL is valid after the end of its task, by the sandbox's clock."""
    shortens_links: bool = False
    """Whether that lifetime is divided by the sandbox's speed, like the durations of tasks."""
    expired_status: Literal[403, 404] = 403
    """The HTTP status of an expired URL."""
    image_limit_bytes: int = 20_000_000
    """The largest input image in bytes, before base64."""
    image_limit_px: int = 20_000_000
    """The largest input image in pixels."""
    explains_errors: bool = True
    """Whether a failed task has `error` and `message`, as in the vendor's repository and not in the schema."""
    body_limit_bytes: int = 240_000_000
    """Enough for eight images of 20 MB in base64; the real limit is not documented."""

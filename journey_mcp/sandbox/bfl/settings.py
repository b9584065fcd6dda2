"""Everything about the imitation of Black Forest Labs that a test may choose."""

from dataclasses import dataclass, field
from typing import Literal

from journey_mcp.sandbox.webhook_policy import WebhookPolicy


def _patience() -> WebhookPolicy:
    return WebhookPolicy(timeout_s=30, retry_gaps_s=(1, 5, 30))


@dataclass(frozen=True, kw_only=True)
class BflSettings:
    """Black Forest Labs as this sandbox imitates it, with one reading of each point its documents leave open."""

    keys: tuple[str, ...] | None = None
    """The keys that are accepted; None accepts any that is not empty."""
    credits: float = 1_000
    """The balance at the start, 0.01 US dollars each. All keys share it."""
    refunds_failed_tasks: bool = False
    """Credits of a task that fails come back; not documented."""
    extra_models: tuple[str, ...] = ()
    """Model ids accepted besides the documented ones; they take any parameter."""
    tasks_at_once: int = 24
    """Further tasks get 429."""
    tasks_at_once_by_model: tuple[tuple[str, int], ...] = (("flux-kontext-max", 6),)
    """Tighter limits of single models; the vendor's text contradicts itself about this one."""
    poll_needs_key: bool = True
    """get_result without a good key gets 403; the schema declares no key there, the samples send one."""
    unauthorized: Literal["401", "403"] = "403"
    """What a missing or wrong key gets: 403 with `detail`, or 401 with `error`. Both are told of."""
    unknown_task: Literal["200", "404"] = "200"
    """The HTTP status that goes with `Task not found`."""
    default_format: Literal["png", "jpeg"] = "png"
    """output_format of the Kontext models when a request names none; the guide says jpeg."""
    aspect_ratio_limit: Literal["21:9", "7:3", "4:1"] = "21:9"
    """The widest aspect_ratio that Kontext takes, and turned the tallest: three sources, three readings."""
    webhook_proof: Literal["secret", "signature", "both"] = "secret"
    """The secret itself as X-Webhook-Secret, or X-BFL-Signature made with it, or both headers."""
    webhooks: WebhookPolicy = field(default_factory=_patience)
    """How long receivers have, and when they are tried again."""
    allows_plain_webhooks: bool = True
    """http:// webhooks are accepted, as the schema says; the vendor's repository says https only."""
    link_lifetime_s: float = 600
    """How long the address of a picture is good after its task is over, by the sandbox's clock."""
    shortens_links: bool = False
    """That lifetime is divided by the sandbox's speed, as tasks' durations are."""
    expired_status: Literal[403, 404] = 403
    """The HTTP status of an address that is no longer good."""
    image_limit_bytes: int = 20_000_000
    """The largest picture, before base64."""
    image_limit_px: int = 20_000_000
    """The same in pixels."""
    explains_errors: bool = True
    """A failed task tells `error` and `message`, as the vendor's repository shows and the schema does not."""
    body_limit_bytes: int = 240_000_000
    """Enough for eight pictures of 20 MB in base64; the real limit is not documented."""

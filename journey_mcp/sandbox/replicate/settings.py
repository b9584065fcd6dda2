"""The settings of the fake Replicate and of the fake KKIAI, whose API is compatible."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from journey_mcp.sandbox.webhook_policy import WebhookPolicy


@dataclass(frozen=True, kw_only=True)
class ReplicateSettings:
    """The fake Replicate, with one reading of each point that its documents leave open.

    Seconds are divided by the sandbox's speed unless stated otherwise.
    """

    keys: tuple[str, ...] | None = None
    """The accepted keys, without the word Bearer; None accepts any that is not empty."""
    balance: float = 20.0
    """The initial balance in US dollars. All keys share it."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """US dollars per image, by `owner/name`, instead of the invented prices."""
    extra_models: tuple[str, ...] = ()
    """Names of further official models; they accept any input."""
    boot_s: float = 1.0
    """How long a prediction is `starting`: the time until a worker starts it."""
    creations_per_minute: int | None = 600
    """The rate limit: this many at once, refilled within a minute of the sandbox's clock, whatever the speed."""
    throttle_wording: Literal["expected", "resets"] = "expected"
    """Which of the two recorded texts a throttled request gets."""
    takes_contradicted_inputs: bool = True
    """Accept `seed` of flux-kontext and `image_prompt` of flux-1.1-pro-ultra, which only some pages list."""
    data_uri_limit_bytes: int = 256_000
    """The largest image as a data URI: 256 kB, under 1 MB or 10 MB, depending on the source."""
    file_limit_bytes: int = 100_000_000
    """The largest upload."""
    file_lifetime_s: float = 3_600.0
    """How long an upload is valid, by the sandbox's clock; speed does not shorten it."""
    lifetime_s: float = 3_600.0
    """How long input, output and files of an ended prediction are stored; speed does not shorten it."""
    longest_wait_s: Literal[60, 99] = 60
    """The largest N of `Prefer: wait=N`: 60 by the text, 99 by the published pattern."""
    sync_status: Literal["processing", "succeeded"] = "processing"
    """The status in the response to a creation that waited for its output. Both occur."""
    timed_out_status: Literal["starting", "as it is"] = "starting"
    """The status after a wait that was too short; by another source it may be `processing` too."""
    fresh_fields: Literal["all", "recorded"] = "all"
    """recorded: a prediction that is `starting` has neither `output` nor `urls.web`, as in recorded traffic."""
    page_size: int = 100
    """The number of predictions on a page of the list."""
    webhook_secret: str = "whsec_c2FuZGJveC1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZiE="  # noqa: S105 - protects nothing
    """The secret that signs webhooks: whsec_ and base64, which contains no further underscore."""
    webhooks: WebhookPolicy = field(
        default_factory=lambda: WebhookPolicy(timeout_s=5.0, retry_gaps_s=(2.0, 4.0, 8.0, 16.0, 32.0))
    )
    """The time limit of webhooks, and the retries of the last event."""
    allows_plain_webhooks: bool = True
    """Whether http:// webhooks to this machine are accepted; https:// ones always are."""


@dataclass(frozen=True, kw_only=True)
class KkiaiSettings(ReplicateSettings):
    """The fake KKIAI, which documents much less: no rate limit, no retention, no webhooks, no waiting."""

    creations_per_minute: int | None = None
    takes_contradicted_inputs: bool = True
    data_uri_limit_bytes: int = 1_000_000
    """KKIAI documents neither data URIs nor a limit; the guide of the service behind it says under 1 MB."""

"""What a test may choose about the imitations of Replicate and of KKIAI's Replicate-compatible API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from journey_mcp.sandbox.webhook_policy import WebhookPolicy


@dataclass(frozen=True, kw_only=True)
class ReplicateSettings:
    """Replicate as this sandbox imitates it, with one reading of each point its documents leave open.

    Seconds are life-like and divided by the sandbox's speed, except where the contrary is said.
    """

    keys: tuple[str, ...] | None = None
    """The keys that are accepted, without the word Bearer; None accepts any that is not empty."""
    balance: float = 20.0
    """Dollars at the start. All keys share them."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Dollars for one picture, by `owner/name`, in place of the invented ones."""
    extra_models: tuple[str, ...] = ()
    """Names of official models besides the documented ones; they take any input."""
    boot_s: float = 1.0
    """How long a prediction is `starting`: the time until a worker has it."""
    creations_per_minute: int | None = 600
    """So many at once, and as many again within a minute of the sandbox's clock, which speed does not shorten."""
    throttle_wording: Literal["expected", "resets"] = "expected"
    """Which of the two recorded texts a throttled request gets."""
    takes_contradicted_inputs: bool = True
    """Take `seed` of flux-kontext and `image_prompt` of flux-1.1-pro-ultra, which one page has and another not."""
    data_uri_limit_bytes: int = 256_000
    """The largest picture that is taken as a data URI: 256 kB, under 1 MB or 10 MB, by source."""
    file_limit_bytes: int = 100_000_000
    """The largest upload."""
    file_lifetime_s: float = 3_600.0
    """How long an upload can be used, by the sandbox's clock; speed does not shorten it."""
    lifetime_s: float = 3_600.0
    """When input, output and delivered files of a prediction that is over go; speed does not shorten it."""
    longest_wait_s: Literal[60, 99] = 60
    """The largest N of `Prefer: wait=N`: 60 by the text, 99 by the published pattern."""
    sync_status: Literal["processing", "succeeded"] = "processing"
    """The status beside the output of a creation that waited for it. Both occur."""
    timed_out_status: Literal["starting", "as it is"] = "starting"
    """The status when the wait was too short; by another source it may be `processing` as well."""
    fresh_fields: Literal["all", "recorded"] = "all"
    """recorded: a prediction that is `starting` has neither `output` nor `urls.web`, as in recorded traffic."""
    page_size: int = 100
    """How many predictions one page of the list holds."""
    webhook_secret: str = "whsec_c2FuZGJveC1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZiE="  # noqa: S105 - guards nothing
    """What webhooks are signed with. Behind whsec_ stands base64, which has no further underscore."""
    webhooks: WebhookPolicy = field(
        default_factory=lambda: WebhookPolicy(timeout_s=5.0, retry_gaps_s=(2.0, 4.0, 8.0, 16.0, 32.0))
    )
    """How long receivers have, and when they are told again that a prediction is over."""
    allows_plain_webhooks: bool = True
    """http:// webhooks to this machine are accepted; https:// ones always are."""


@dataclass(frozen=True, kw_only=True)
class KkiaiSettings(ReplicateSettings):
    """KKIAI, which tells much less: no rate limit, no retention of its own, no webhooks, no waiting."""

    creations_per_minute: int | None = None
    takes_contradicted_inputs: bool = True
    data_uri_limit_bytes: int = 1_000_000
    """KKIAI documents neither data URIs nor a limit; the guide of the service behind it says under 1 MB."""

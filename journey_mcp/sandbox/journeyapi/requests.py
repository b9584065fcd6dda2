"""Parsing of JourneyAPI's requests, and their validation errors."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from journey_mcp.sandbox.journeyapi.models import MODELS, Model, extra_model
from journey_mcp.sandbox.render_specs import Format, Ratio
from journey_mcp.sandbox.webhook_policy import WebhookPolicy

Plan = Literal["basic", "starter", "growth", "enterprise"]

RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3")
NANO_BANANA_2_RATIOS = ("1:4", "4:1")
LONG_SIDES_PX: Mapping[str, int] = {"1K": 1024, "2K": 1536, "4K": 2048}
"""Smaller than the names say: the images only show that it worked."""
NEGATIVE_PROMPT_CHARACTERS = 4_000
BATCH_SIZES = range(2, 21)

_RATIO = re.compile(r"([1-9]\d{0,2}):([1-9]\d{0,2})")
_PROMPT_RATIO = re.compile(r"(?:^|\s)--ar\s+([1-9]\d{0,2}):([1-9]\d{0,2})(?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class JourneyApiSettings:
    """The fake JourneyAPI, with one reading of each point that its documents leave open."""

    keys: tuple[str, ...] | None = None
    """The accepted keys; None accepts any that is not empty and does not start with `Bearer `."""
    email: str = "artist@example.test"
    credits: float = 500
    """The initial balance. All keys share it."""
    plan: Plan = "starter"
    """The limit of concurrent tasks: basic 5, starter 10, growth 25, enterprise none."""
    refunds_failed_tasks: bool = False
    """U10: whether a failed task is refunded."""
    sync_answer: Literal["finished", "task_id"] = "finished"
    """C2: a synchronous model responds with the finished task or its id alone; in both cases when it has ended."""
    edit_without_image: Literal["strict", "lenient"] = "strict"
    """C1: an edit model without image_url gets 400, or generates an image."""
    unknown_task: Literal["400", "404", "empty"] = "400"
    """U2: `/fetch` of an unknown id gets 400, 404, or 200 with an empty object."""
    ratio_check: Literal["list", "pattern"] = "list"
    """C10: aspect_ratio must be a documented one, or any W:H."""
    single_task_type: Literal["upscale#1", "upscale-1x"] = "upscale#1"
    """C8: the `task_type` of a task of `/upscale-1x`."""
    variation_index: Literal["any", "numbers"] = "any"
    """C9: `/variations` takes `strong` and `subtle` for a parent of `/upscale-1x`, or positions in a grid only."""
    task_ids: Literal["uuid", "letters"] = "uuid"
    """C12: ids are UUIDs, or look like UUIDs with letters beyond f."""
    link_lifetime_s: float | None = None
    """U11: how long image links work; then each answer to `/fetch` has new ones. None: the same links work for ever."""
    extra_models: tuple[str, ...] = ()
    """Model ids besides the documented 30; synchronous, image_url optional, 1 credit."""
    allows_plain_webhooks: bool = True
    """Whether http:// webhooks to this machine are accepted; https:// ones always are."""
    webhooks: WebhookPolicy = field(default_factory=WebhookPolicy)
    """The time limit and the retries of webhooks."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """The receiver of a webhook about the end of a task."""

    url: str
    secret: str | None


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A validated /imagine request."""

    prompt: str
    model: Model
    ratio: Ratio | None
    """None if the request names none."""
    long_side_px: int
    image_format: Format
    image_url: str | None
    webhook: Webhook | None
    endpoint: ClassVar[str] = "imagine"
    task_type: ClassVar[str] = "imagine"

    @property
    def model_id(self) -> str:
        """The id of the model."""
        return self.model.model_id

    @property
    def credits(self) -> float:
        """The price."""
        return self.model.credits

    @property
    def seconds(self) -> tuple[float, float]:
        """The minimum and maximum duration."""
        return self.model.seconds

    @property
    def is_synchronous(self) -> bool:
        """Whether the work happens inside the creating request."""
        return self.model.is_synchronous

    @property
    def image_urls(self) -> tuple[str, ...]:
        """The images that are loaded first."""
        return () if self.image_url is None else (self.image_url,)


class ValidationError(Exception):
    """A request is rejected with 400 and these messages."""

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages


def read_creation(body: Mapping[str, Any], settings: JourneyApiSettings) -> Creation:
    """Parse an /imagine body. Raises ValidationError with all problems. Unknown fields are ignored (U6)."""
    model = _model(body.get("model"), settings)
    if model is None:
        raise ValidationError(*_prompt_errors(body), "model is not supported")
    ratio, ratio_errors = _ratio(body, model, settings)
    messages = [
        *_prompt_errors(body),
        *ratio_errors,
        *_option_errors(body, model),
        *_image_errors(body, model, settings),
        *webhook_errors(body, settings),
    ]
    if messages:
        raise ValidationError(*messages)
    return Creation(
        prompt=body["prompt"],
        model=model,
        ratio=ratio,
        long_side_px=LONG_SIDES_PX[body.get("resolution") or "1K"] if model.takes_resolution else LONG_SIDES_PX["1K"],
        image_format=_image_format(body, model),
        image_url=body.get("image_url") if model.image != "none" else None,
        webhook=read_webhook(body),
    )


def read_webhook(body: Mapping[str, Any]) -> Webhook | None:
    """Return the receiver that a valid body names."""
    url = body.get("webhook_url")
    return Webhook(url=url, secret=body.get("webhook_secret")) if url else None


def read_task_id(body: Mapping[str, Any]) -> str:
    """Parse a /fetch body. Raises ValidationError."""
    task_id = body.get("task_id")
    if not isinstance(task_id, str) or not task_id:
        raise ValidationError("task_id is required")
    return task_id


def read_task_ids(body: Mapping[str, Any]) -> list[str]:
    """Parse a /fetch-many body. Raises ValidationError."""
    task_ids = body.get("task_ids")
    if not isinstance(task_ids, list) or len(task_ids) not in BATCH_SIZES:
        raise ValidationError("task_ids must contain 2-20 IDs")
    return [task_id for task_id in task_ids if isinstance(task_id, str)]


def accepts_key(key: str | None, settings: JourneyApiSettings) -> bool:
    """Return whether the value of an Authorization header is a valid key."""
    if settings.keys is not None:
        return key in settings.keys
    return bool(key) and not str(key).startswith("Bearer ")


def _model(model_id: Any, settings: JourneyApiSettings) -> Model | None:
    if model_id is None:
        return MODELS["midjourney"]
    if not isinstance(model_id, str):
        return None
    if model_id in MODELS:
        return MODELS[model_id]
    return extra_model(model_id) if model_id in settings.extra_models else None


def _prompt_errors(body: Mapping[str, Any]) -> list[str]:
    prompt = body.get("prompt")
    return [] if isinstance(prompt, str) and prompt.strip() else ["prompt is required"]


def _ratio(body: Mapping[str, Any], model: Model, settings: JourneyApiSettings) -> tuple[Ratio | None, list[str]]:
    if model.is_grid and (switch := _PROMPT_RATIO.search(str(body.get("prompt")))):
        return (int(switch[1]), int(switch[2])), []
    value = body.get("aspect_ratio")
    if value is None:
        return None, []
    match = _RATIO.fullmatch(value) if isinstance(value, str) else None
    documented = (*RATIOS, *(NANO_BANANA_2_RATIOS if model.model_id == "nano-banana-2" else ()))
    if match is None or (settings.ratio_check == "list" and value not in documented):
        return None, ["aspect_ratio must be a valid ratio (e.g., 16:9)"]
    return (int(match[1]), int(match[2])), []


def _option_errors(body: Mapping[str, Any], model: Model) -> list[str]:
    """Check the options that this model uses; the others may have any value."""
    messages = []
    if model.is_flux_1 and body.get("output_format") not in (None, "png", "jpg"):
        messages.append("output_format must be png or jpg")
    if model.takes_resolution and body.get("resolution") not in (None, *LONG_SIDES_PX):
        messages.append("resolution must be 1K, 2K or 4K")
    negative = body.get("negative_prompt")
    if model.is_flux_1 and negative is not None and not _is_short_text(negative):
        messages.append(f"negative_prompt must be at most {NEGATIVE_PROMPT_CHARACTERS} characters")
    return messages


def _is_short_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= NEGATIVE_PROMPT_CHARACTERS


def _image_errors(body: Mapping[str, Any], model: Model, settings: JourneyApiSettings) -> list[str]:
    if model.image == "none":
        return []
    url = body.get("image_url")
    if url is None:
        is_missed = model.image == "required" and settings.edit_without_image == "strict"
        return [f"image_url is required for {model.model_id}"] if is_missed else []
    return [] if is_url(url, ("http", "https")) else ["image_url must be a public URL"]


def webhook_errors(body: Mapping[str, Any], settings: JourneyApiSettings) -> list[str]:
    """Return what is wrong with the receiver that a body names."""
    url, secret = body.get("webhook_url"), body.get("webhook_secret")
    messages = []
    is_good = is_url(url, ("https",)) or (settings.allows_plain_webhooks and _is_plain_loopback(url))
    if url is not None and not is_good:
        messages.append("webhook_url must be an HTTPS URL")
    if secret is not None and not isinstance(secret, str):
        messages.append("webhook_secret must be a string")
    return messages


def is_url(value: Any, schemes: tuple[str, ...]) -> bool:
    """Return whether a value is a URL with a host and one of these schemes."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, or a port beyond 65535
        return False


def _is_plain_loopback(value: Any) -> bool:
    if not is_url(value, ("http",)):
        return False
    host = urlsplit(value).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _image_format(body: Mapping[str, Any], model: Model) -> Format:
    # Documented for Flux.1 only. Both formats must occur, so the synchronous models make JPEGs.
    if model.is_flux_1:
        return "jpg" if body.get("output_format") == "jpg" else "png"
    return "png" if model.is_grid else "jpg"

"""The fields of registry files: models as callers name them, offers of providers, and provider facts.

An absent field means that the source does not state it. It does not mean "no": if a source says no, the field says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from journey_mcp.core.money import Unit
from journey_mcp.core.requests import ModelTool

Support = Literal["none", "optional", "required", "unstated"]
Encoding = Literal["url", "base64", "data_uri"]
Format = Literal["png", "jpeg", "webp", "gif"]
Feature = Literal["webhook", "hold", "upload", "cancel", "actions"]
_SOON_S = 86400
Plain = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An argument besides prompt and images, as one offer takes it."""

    wire_name: str | None = None
    """The provider's name of the field, if it differs from ours."""
    values: tuple[str, ...] | None = None
    """All allowed values, in our terms; absent: a range or free text."""
    wire_values: Mapping[str, Plain] = field(default_factory=dict)
    """The provider's spelling of values, by our spelling."""
    minimum: Plain | None = None
    """The smallest number, or the narrowest `W:H` of aspect ratios."""
    maximum: Plain | None = None
    maximum_with_images: Plain | None = None
    """The largest number if an image is given."""
    multiple_of: int | None = None
    max_length: int | None = None
    """In characters."""
    along: Mapping[str, Plain] = field(default_factory=dict)
    """Further fields that must be sent with it, by the provider's names."""
    default: Plain | None = None
    """The provider's default."""
    notice: str | None = None
    """A notice for the caller if the parameter is sent."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A switch in the text of a prompt, such as `--chaos 20`."""

    aliases: tuple[str, ...] = ()
    """Other names of the switch."""
    follows: Literal["nothing", "number", "ratio", "reference", "text", "word"] = "nothing"
    """The kind of value after the switch; a reference is a URL or a number."""
    minimum: float | None = None
    """The smallest documented number."""
    maximum: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """Input images of a request."""

    support: Support
    minimum: int = 1
    """The smallest number of images, if there are any."""
    maximum: int = 1
    """The largest number of images; only used if the offer takes images."""
    fields: tuple[str, ...] = ()
    """The provider's field names, one per image; with `as_array` a single field takes all images."""
    as_array: bool = False
    encodings: tuple[Encoding, ...] = ("url",)
    """The accepted forms of an image; of two forms of data the first one is used."""
    formats: tuple[Format, ...] | None = None
    max_bytes: int | None = None
    """Size of one image before encoding."""
    max_pixels: int | None = None
    min_side: int | None = None
    """Smallest shorter side, in pixels."""
    mask_field: str | None = None
    """The provider's field name of a mask, if a mask is taken."""

    @property
    def is_taken(self) -> bool:
        """Whether an image may be sent."""
        return self.support in {"optional", "required"}

    @property
    def takes_data(self) -> bool:
        """Whether image data may be sent, not only a URL."""
        return any(encoding != "url" for encoding in self.encodings)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model at a provider: its id there, price, and accepted arguments."""

    model: str
    provider: str
    wire_id: str
    endpoint: str | None = None
    """The path of the creating request, if it differs from that of the provider's other models; needs the feature
    `actions`."""
    prompt: Literal["required", "optional", "none"] = "required"
    synchronous: bool
    """Whether the response to the creating request has the finished image (a hint: both responses are understood)."""
    result: Literal["single", "grid"] = "single"
    """One image, or four images and a sheet that shows them."""
    credits: Decimal | None = None
    usd: Decimal | None = None
    further_megapixel: Decimal | None = None
    """The price of each megapixel of the result after the first, in the same unit."""
    images: ImageInput
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """Accepted arguments, by our names: those of `journey_mcp.core.requests.OPTIONS`."""
    constants: Mapping[str, Plain] = field(default_factory=dict)
    """The provider's fields that are sent with every request."""
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Sets of parameters that exclude each other."""
    size_field: str | None = None
    """The provider's field that takes width and height as `WxH`."""
    min_pixels: int | None = None
    """Bound on width times height, like `max_pixels`."""
    max_pixels: int | None = None
    ratio_pixels: int | None = None
    """The provider has no aspect ratio: it is sent as a width and height of about this many pixels in total."""
    ratio_switch: bool = False
    """Whether `--ar W:H` in the prompt sets the aspect ratio, also one that is not in the list."""
    switches: Mapping[str, Switch] = field(default_factory=dict)
    """All known switches of its prompts, by name; without any, text that looks like a switch causes no notice."""
    prompt_max_length: int | None = None
    """In characters; absent: `journey_mcp.core.requests.LONGEST_PROMPT`."""
    english_only: bool | None = None
    expires_after_s: int | None = None
    """Lifetime of the result links."""
    usual_duration_s: tuple[int, int] | None = None
    notices: tuple[str, ...] = ()
    """Notices for the caller with every task."""
    notes: tuple[str, ...] = ()
    """Contradictions and quirks, for maintainers of the registry."""
    sources: tuple[str, ...]
    checked: date

    @property
    def unit(self) -> Unit | None:
        """The unit of the price; `None` if no price is stated."""
        if self.credits is not None:
            return "credits"
        return None if self.usd is None else "usd"

    @property
    def price(self) -> str:
        """The list price in words; of larger images it is the lowest."""
        least = "at least " if self.further_megapixel else ""
        return least + _price(self.credits, self.usd)

    @property
    def is_edit_only(self) -> bool:
        """Whether the offer needs an input image."""
        return self.images.support == "required"

    @property
    def links_die_soon(self) -> bool:
        """Whether links expire within a day, so that the result must be copied."""
        return self.expires_after_s is not None and self.expires_after_s <= _SOON_S


def _price(amount: Decimal | None, usd: Decimal | None) -> str:
    if amount is not None:
        return f"{amount:f} credits"
    return "unknown price" if usd is None else f"{usd:f} USD"


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a provider can do with an image that it made, such as an upscale: one value of `refine_image`'s `action`."""

    id: str
    title: str
    """For buttons and lists."""
    aliases: tuple[str, ...] = ()
    """Other names that callers use."""
    provider: str
    endpoint: str
    """The path of the creating request."""
    constants: Mapping[str, Plain] = field(default_factory=dict)
    """The provider's fields that are sent with every request."""
    parents: tuple[str, ...] = ()
    """What must have made the image, at the same provider: ids of models and of actions."""
    sends_number: bool = False
    """Whether the number of the image is sent, if it is one of a grid."""
    images: ImageInput = field(default_factory=lambda: ImageInput(support="none"))
    """How an image that no parent made is sent, if it may be."""
    prompt: Literal["optional", "none"] = "none"
    """Whether a prompt may be given; without one, that of the parent applies."""
    result: Literal["single", "grid"] = "single"
    """One image, or four images and a sheet that shows them."""
    credits: Decimal | None = None
    usd: Decimal | None = None
    expires_after_s: int | None = None
    """Lifetime of the result links."""
    usual_duration_s: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    """Contradictions and quirks, for maintainers of the registry."""
    sources: tuple[str, ...]
    checked: date

    @property
    def price(self) -> str:
        """The list price in words."""
        return _price(self.credits, self.usd)

    def offer_for(self, model: str) -> Offer:
        """Return the action as an offer: it runs, costs and ends as one. `model` is that of the parent."""
        return Offer(
            model=model,
            provider=self.provider,
            wire_id=self.id,
            endpoint=self.endpoint,
            prompt=self.prompt,
            synchronous=False,
            result=self.result,
            credits=self.credits,
            usd=self.usd,
            images=self.images,
            constants=self.constants,
            expires_after_s=self.expires_after_s,
            usual_duration_s=self.usual_duration_s,
            sources=self.sources,
            checked=self.checked,
        )


@dataclass(frozen=True, kw_only=True)
class Model:
    """An image model as callers name it, independent of providers."""

    id: str
    name: str | None = None
    aliases: tuple[str, ...] = ()
    """Other names that callers use."""
    maker: str
    family: str
    best_at: str
    """What the model is best at, in a few words."""
    recommended_for: Mapping[ModelTool, str] = field(default_factory=dict)
    """By tool: the purpose for which the tool description recommends the model, in its words."""
    advice: tuple[str, ...] = ()
    """How to write prompts for the model."""
    sources: tuple[str, ...]
    checked: date


@dataclass(frozen=True, kw_only=True)
class OtherModels:
    """Models that callers ask for and that may not be offered here, with the nearest models in the registry."""

    names: tuple[str, ...]
    """Beginnings of model names, in lower-case letters and digits only; the longest match wins."""
    nearest: tuple[str, ...]
    """Model ids, the nearest by purpose first."""


@dataclass(frozen=True, kw_only=True)
class ProviderFacts:
    """A provider: an upstream service."""

    id: str
    title: str
    wire: str
    """The name of the adapter for its protocol."""
    base_url: str
    key_variable: str
    base_url_variable: str
    unit: Unit | None = None
    """The unit of charges for offers without a price; absent: the unit of its other offers."""
    console_url: str | None = None
    """The page with keys, balance and past tasks."""
    batch_limit: int = 1
    """The largest number of tasks in one poll."""
    features: tuple[Feature, ...] = ()
    """Protocol features besides creating and polling: `webhook` calls a URL when a task has ended, `hold` keeps a
    creating request open until the image is ready, `upload` takes files in advance, `cancel` cancels a task, `actions`
    has endpoints besides its usual one, for actions and for offers that name one."""
    webhook_retries_s: float | None = None
    """How long after the end of a task its webhook may still arrive; needs the feature `webhook`."""
    longest_run_s: float | None = None
    """The longest time until the provider ends a task, if it states one."""
    poll_url_variable: str | None = None
    """The setting of the base URL for polling, if it may differ from the one for creating."""
    sources: tuple[str, ...]
    checked: date

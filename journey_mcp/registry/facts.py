"""The shape of the registry's facts: models as callers name them, and who offers them on what terms.

Absent means: the source does not say. That is not "no": where a source says no, the fact says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from journey_mcp.core.money import Unit
from journey_mcp.core.requests import Tool

Support = Literal["none", "optional", "required", "unstated"]
Encoding = Literal["url", "base64", "data_uri"]
Format = Literal["png", "jpeg", "webp", "gif"]
Feature = Literal["webhook", "hold", "upload", "cancel"]
_SOON_S = 86400
Plain = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument beyond prompt and pictures, as one offer takes it."""

    wire_name: str | None = None
    """The name on the wire, where it differs from ours."""
    values: tuple[str, ...] | None = None
    """All that is allowed, in our words; absent: a range or free text."""
    wire_values: Mapping[str, Plain] = field(default_factory=dict)
    """Values that the wire spells differently, by ours."""
    minimum: Plain | None = None
    """The least number, or for aspect ratios the narrowest `W:H`."""
    maximum: Plain | None = None
    maximum_with_images: Plain | None = None
    """The greatest number once a picture is given."""
    multiple_of: int | None = None
    max_length: int | None = None
    """In characters."""
    along: Mapping[str, Plain] = field(default_factory=dict)
    """Further fields that the wire needs with it, by their wire names."""
    default: Plain | None = None
    """What the provider takes when nothing is sent."""
    notice: str | None = None
    """Told to the caller whenever the parameter is sent."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A switch that may stand in a prompt, such as `--chaos 20`."""

    aliases: tuple[str, ...] = ()
    """Its other names."""
    follows: Literal["nothing", "number", "ratio", "reference", "text", "word"] = "nothing"
    """What stands behind it; a reference is a URL or a number."""
    minimum: float | None = None
    """The least number that is documented."""
    maximum: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """Pictures that go into a request."""

    support: Support
    minimum: int = 1
    """How many there must be, once there is one."""
    maximum: int = 1
    """How many pictures in all; counts only where some are taken."""
    fields: tuple[str, ...] = ()
    """Wire names, one per picture; a single name with `as_array` takes them all."""
    as_array: bool = False
    encodings: tuple[Encoding, ...] = ("url",)
    """The forms a picture may be sent in; with both kinds of data the first one is used."""
    formats: tuple[Format, ...] | None = None
    max_bytes: int | None = None
    """Of one picture, before it is encoded."""
    max_pixels: int | None = None
    min_side: int | None = None
    """In pixels, of the shorter side."""
    mask_field: str | None = None
    """The wire name of a mask, where one is taken."""

    @property
    def is_taken(self) -> bool:
        """A picture may be sent."""
        return self.support in {"optional", "required"}

    @property
    def takes_data(self) -> bool:
        """A picture may be sent itself, not only its URL."""
        return any(encoding != "url" for encoding in self.encodings)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model at a provider: wire id, terms, and what it takes."""

    model: str
    provider: str
    wire_id: str
    synchronous: bool
    """The creating request is answered with the finished picture (a hint: both answers are understood)."""
    result: Literal["single", "grid"] = "single"
    """One picture, or four and a sheet that shows them."""
    credits: Decimal | None = None
    usd: Decimal | None = None
    further_megapixel: Decimal | None = None
    """What each megapixel of the result beyond the first adds to the cost, in the same unit."""
    images: ImageInput
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """By our names, those of `journey_mcp.core.requests.OPTIONS`."""
    constants: Mapping[str, Plain] = field(default_factory=dict)
    """Wire fields that are sent with every request."""
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Sets of parameters of which only one may be given."""
    size_field: str | None = None
    """The wire name that takes width and height together, as `WxH`."""
    min_pixels: int | None = None
    """Of width times height, as `max_pixels`."""
    max_pixels: int | None = None
    ratio_pixels: int | None = None
    """The wire has no aspect ratio: it becomes a width and height of about so many pixels in all."""
    ratio_switch: bool = False
    """`--ar W:H` in the prompt sets the aspect ratio, beyond the list too."""
    switches: Mapping[str, Switch] = field(default_factory=dict)
    """All switches that its prompts are known to take, by name; without any, nothing is said of what looks like one."""
    prompt_max_length: int | None = None
    """In characters; absent: what is taken of any model, `journey_mcp.core.requests.LONGEST_PROMPT`."""
    english_only: bool | None = None
    expires_after_s: int | None = None
    """How long the result's links live."""
    usual_duration_s: tuple[int, int] | None = None
    notices: tuple[str, ...] = ()
    """Told to the caller with every task."""
    notes: tuple[str, ...] = ()
    """Contradictions and quirks, for those who keep the registry."""
    sources: tuple[str, ...]
    checked: date

    @property
    def unit(self) -> Unit | None:
        """The unit of its price; `None` when no price is stated."""
        if self.credits is not None:
            return "credits"
        return None if self.usd is None else "usd"

    @property
    def is_edit_only(self) -> bool:
        """Nothing can be made without a picture."""
        return self.images.support == "required"

    @property
    def links_die_soon(self) -> bool:
        """Within a day: somebody has to copy the result meanwhile."""
        return self.expires_after_s is not None and self.expires_after_s <= _SOON_S


@dataclass(frozen=True, kw_only=True)
class Model:
    """An image model as callers name it, whoever runs it."""

    id: str
    name: str | None = None
    aliases: tuple[str, ...] = ()
    """Other names by which callers know it."""
    maker: str
    family: str
    best_at: str
    """What to choose it for, in a few words."""
    choose_for: Mapping[Tool, str] = field(default_factory=dict)
    """Where a tool's description recommends the model for a purpose: the purpose, in its words."""
    advice: tuple[str, ...] = ()
    """How to write prompts for it."""
    sources: tuple[str, ...]
    checked: date


@dataclass(frozen=True, kw_only=True)
class OtherModels:
    """Models that callers ask for though perhaps nobody here offers them, and those of ours that come nearest."""

    names: tuple[str, ...]
    """Beginnings of their names, in small letters and digits alone; the longest that fits counts."""
    nearest: tuple[str, ...]
    """Ids of models, the nearest by purpose first."""


@dataclass(frozen=True, kw_only=True)
class ProviderFacts:
    """An upstream service."""

    id: str
    title: str
    wire: str
    """The name of the adapter that speaks its protocol."""
    base_url: str
    key_variable: str
    base_url_variable: str
    unit: Unit | None = None
    """What it charges in, for offers without a price; absent: what its other offers are priced in."""
    console_url: str | None = None
    """Where a person sees keys, balance and past tasks."""
    batch_limit: int = 1
    """How many tasks one question may ask for."""
    features: tuple[Feature, ...] = ()
    """What its protocol has beyond creating and asking: `webhook` tells an address when a task has ended, `hold`
    keeps a creating request open until the picture is there, `upload` takes files beforehand, `cancel` ends a task."""
    webhook_retries_s: float | None = None
    """How long after a task has ended its webhook may still come, with the feature `webhook`."""
    longest_run_s: float | None = None
    """When it ends a task by itself at the latest, as far as it says so."""
    poll_url_variable: str | None = None
    """The setting of the address to ask at, where it may differ from the one to create at."""
    sources: tuple[str, ...]
    checked: date

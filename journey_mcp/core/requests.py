"""What a caller wants, in our words. Knows no provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from journey_mcp.core.images import InputImage
from journey_mcp.core.plain import without_empty

Tool = Literal["imagine", "edit_image"]

OPTIONS = (
    "aspect_ratio",
    "width",
    "height",
    "resolution",
    "output_format",
    "negative_prompt",
    "seed",
    "prompt_upsampling",
    "safety_tolerance",
    "guidance",
    "steps",
)
"""The arguments beyond prompt and pictures that an offer may or may not take."""

LONGEST_PROMPT = 32_000
"""Characters of a prompt that are taken at all; an offer may take fewer."""
LONGEST_NEGATIVE_PROMPT = 4_000
"""The same of a negative prompt; no provider states more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """One wish for a picture: made new by `imagine`, or from a given one by `edit_image`."""

    tool: Tool
    prompt: str
    model: str
    image: str | None = None
    """The picture to edit: a URL, a data URI, a local file, or the id of an earlier output image."""
    reference_images: tuple[str, ...] = ()
    """Pictures that guide, in the same forms."""
    mask: str | None = None
    """Same size as `image`; white is redrawn."""
    aspect_ratio: str | None = None
    """`W:H`, or a word that an offer takes in its place."""
    width: int | None = None
    """In pixels, as `height`."""
    height: int | None = None
    resolution: str | None = None
    output_format: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    prompt_upsampling: bool | None = None
    """The provider may enrich the prompt."""
    safety_tolerance: int | None = None
    """0 is strictest."""
    guidance: float | None = None
    """How closely the picture follows the prompt."""
    steps: int | None = None
    webhook_url: str | None = None
    provider: str | None = None
    """The only one that may run it."""

    @property
    def given_images(self) -> tuple[str, ...]:
        """All pictures given, the one to edit first; the mask is none of them."""
        return ((self.image,) if self.image is not None else ()) + self.reference_images

    @property
    def options(self) -> dict[str, Any]:
        """The given ones among `OPTIONS`."""
        return without_empty({name: getattr(self, name) for name in OPTIONS})

    def as_plain(self) -> dict[str, Any]:
        """Plain data for storage: absent means not given."""
        plain = {fact.name: getattr(self, fact.name) for fact in fields(self)}
        plain["reference_images"] = list(self.reference_images)
        return without_empty(plain)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ImageRequest":
        """The opposite of `as_plain`."""
        return cls(**{**plain, "reference_images": tuple(plain.get("reference_images", ()))})


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """Where a provider tells us of one task, besides being asked."""

    url: str
    secret: str = field(repr=False)
    """For this task alone; sent back, or used to sign, where the protocol has a field for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRequest:
    """A request as one offer takes it: every argument is known to fit, every picture is there."""

    prompt: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of `OPTIONS` that are sent."""
    images: tuple[InputImage, ...] = ()
    """The one to edit first."""
    mask: InputImage | None = None
    webhook: Webhook | None = None

"""Requests: what a caller wants, in our terms, independent of providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal

from journey_mcp.core.images import InputImage
from journey_mcp.core.plain import without_empty

ModelTool = Literal["imagine", "edit_image"]
"""The tools that run a model; `refine_image` runs an action."""
Tool = ModelTool | Literal["refine_image"]

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
"""The arguments besides prompt and images that an offer may or may not take."""

LONGEST_PROMPT = 32_000
"""The most characters in a prompt; an offer may take fewer."""
LONGEST_NEGATIVE_PROMPT = 4_000
"""The most characters in a negative prompt; no provider states a higher limit."""
LONGEST_DATA = 900_000
"""The most characters of an image that a person adds: hosts of apps limit messages to about a megabyte."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """One request: a new image with `imagine`, an edited one with `edit_image`, or a follow-up with `refine_image`."""

    tool: Tool
    action: str | None = None
    """The action of `refine_image`; an image has it as its kind."""
    prompt: str = ""
    """What to make or change. Of a follow-up without one it is the prompt of the image."""
    model: str
    image: str | None = None
    """The image to edit or refine: a URL, a data URI, a local file, or the id of an earlier output image."""
    reference_images: tuple[str, ...] = ()
    """Images that guide the model, in the same forms."""
    mask: str | None = None
    """An image of the same size as `image`; white areas are redrawn."""
    aspect_ratio: str | None = None
    """`W:H`, or a word that an offer takes instead."""
    width: int | None = None
    """In pixels, like `height`."""
    height: int | None = None
    resolution: str | None = None
    output_format: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    prompt_upsampling: bool | None = None
    """Whether the provider may extend the prompt."""
    safety_tolerance: int | None = None
    """0 is strictest."""
    guidance: float | None = None
    """How closely the image follows the prompt."""
    steps: int | None = None
    webhook_url: str | None = None
    provider: str | None = None
    """The only provider that may run it."""

    @property
    def given_images(self) -> tuple[str, ...]:
        """All given images except the mask; the image to edit comes first."""
        return ((self.image,) if self.image is not None else ()) + self.reference_images

    @property
    def kind(self) -> str:
        """What makes the image: the action, or the model if there is none."""
        return self.action or self.model

    @property
    def label(self) -> str:
        """The model, or the action with the model that made the image: `vary_strong (midjourney)`."""
        return self.kind if self.action in {None, self.model} else f"{self.action} ({self.model})"

    @property
    def options(self) -> dict[str, Any]:
        """The given arguments among `OPTIONS`."""
        return {name: value for name, value in zip(OPTIONS, _option_values(self), strict=True) if value is not None}

    def as_plain(self) -> dict[str, Any]:
        """Return plain data for storage, without arguments that were not given."""
        plain = dict(zip(_ARGUMENTS, _argument_values(self), strict=True))
        plain["reference_images"] = list(self.reference_images)
        return without_empty(plain)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ImageRequest":
        """Return the request of such data."""
        return cls(**{**plain, "reference_images": tuple(plain.get("reference_images", ()))})


_ARGUMENTS = tuple(argument.name for argument in fields(ImageRequest))
_argument_values = attrgetter(*_ARGUMENTS)
_option_values = attrgetter(*OPTIONS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """A callback URL for one task; the provider is polled as well."""

    url: str
    secret: str = field(repr=False)
    """For this task only; the provider returns it or signs with it, if the protocol has a field for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """The provider's run that made the image to refine."""

    prediction_id: str
    number: int | None = None
    """Which of its images, from 1; `None` if the action does not ask for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRequest:
    """A request that one offer takes: all arguments are validated, all images are loaded."""

    prompt: str
    """Empty if none is sent."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options that are sent."""
    images: tuple[InputImage, ...] = ()
    """The image to edit comes first."""
    mask: InputImage | None = None
    parent: Parent | None = None
    webhook: Webhook | None = None

    @property
    def has_images(self) -> bool:
        """Whether there is an image or a mask."""
        return bool(self.images or self.mask)

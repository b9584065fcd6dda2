"""Black Forest Labs' models as far as their fake needs them. Durations are invented."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from journey_mcp.sandbox.parameters import Parameter

SizeRule = Literal["kontext", "ultra", "sides", "flux-2", "source"]
"""kontext, ultra: by aspect_ratio. sides: width and height, or their defaults. flux-2: the same, or the size of the
source. source: the size of the source plus the margins."""

Parameters = Mapping[str, Parameter]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The properties in which models differ."""

    model_id: str
    credits: float
    """The price of one image, or of its first megapixel."""
    parameters: Parameters
    size_rule: SizeRule
    credits_per_further_megapixel: float = 0
    takes_anything: bool = False
    """Whether further parameters are accepted."""
    default_format: Literal["png", "jpeg"] = "jpeg"
    """The default of output_format."""
    seconds: tuple[float, float] = (5, 10)

    @property
    def is_kontext(self) -> bool:
        """Whether the settings for Kontext apply."""
        return self.size_rule == "kontext"

    def cost(self, size: tuple[int, int]) -> float:
        """Return the credits of an image. The count of started megapixels of 1024 x 1024 is invented."""
        started = math.ceil(size[0] * size[1] / 1_048_576)
        return self.credits + self.credits_per_further_megapixel * (started - 1)


_TEXT = Parameter(kind="text")
# The vendor's client sends plain base64 without a data prefix; the schema says only "base64", so a data URI is
# accepted too.
_BASE64 = Parameter(kind="image", forms=("base64", "data_uri"))
_COMMON: Parameters = {
    "seed": Parameter(kind="integer"),
    "output_format": Parameter(kind="text", allowed=("jpeg", "png", "webp")),
    "webhook_url": Parameter(kind="text", pattern=r"https?://.+", shortest=1, longest=2083),
    "webhook_secret": _TEXT,
}
_PROMPT: Parameters = {"prompt": Parameter(kind="text", is_required=True)}
_UPSAMPLING: Parameters = {"prompt_upsampling": Parameter(kind="flag")}
_FLUX_1: Parameters = {
    **_COMMON,
    **_UPSAMPLING,
    "prompt": _TEXT,
    "safety_tolerance": Parameter(kind="integer", minimum=0, maximum=6),
}
_SIDE_1 = Parameter(kind="integer", minimum=256, maximum=1440, multiple_of=32)
_SIDE_2 = Parameter(kind="integer", minimum=64, multiple_of=16, also=(0,))
_FILL: Parameters = {
    **_FLUX_1,
    "image": Parameter(kind="image", is_required=True, forms=("base64", "data_uri")),
    "steps": Parameter(kind="integer", minimum=15, maximum=50),
    "guidance": Parameter(kind="number", minimum=1.5, maximum=100),
}
_MARGIN = Parameter(kind="integer", minimum=0, maximum=2048)


def _input_images(count: int) -> Parameters:
    names = ("input_image", *(f"input_image_{number}" for number in range(2, count + 1)))
    return {name: Parameter(kind="image") for name in names}


def _flux_2(images: int) -> Parameters:
    return {
        **_COMMON,
        **_PROMPT,
        **_input_images(images),
        "width": _SIDE_2,
        "height": _SIDE_2,
        "safety_tolerance": Parameter(kind="integer", minimum=0, maximum=5),
    }


_KONTEXT: Parameters = {
    **_FLUX_1,
    **_PROMPT,
    **_input_images(4),
    "aspect_ratio": Parameter(kind="ratio"),
}


def extra_model(model_id: str) -> Model:
    """Return a model that only the settings name: like Kontext, with any parameter."""
    return Model(model_id=model_id, credits=4, parameters=_KONTEXT, size_rule="kontext", takes_anything=True)


_ALL = (
    Model(model_id="flux-kontext-pro", credits=4, parameters=_KONTEXT, size_rule="kontext", default_format="png"),
    Model(model_id="flux-kontext-max", credits=8, parameters=_KONTEXT, size_rule="kontext", default_format="png"),
    Model(
        model_id="flux-pro-1.1",
        credits=4,
        parameters={**_FLUX_1, "image_prompt": _BASE64, "width": _SIDE_1, "height": _SIDE_1},
        size_rule="sides",
    ),
    Model(
        model_id="flux-pro-1.1-ultra",
        credits=6,
        parameters={
            **_FLUX_1,
            "aspect_ratio": Parameter(kind="ratio", widest=(21, 9)),
            "raw": Parameter(kind="flag"),
            "image_prompt": _BASE64,
            "image_prompt_strength": Parameter(kind="number", minimum=0, maximum=1),
        },
        size_rule="ultra",
    ),
    Model(
        model_id="flux-dev",
        credits=2.5,  # invented: no source states it
        parameters={
            **_FLUX_1,
            "image_prompt": _BASE64,
            "width": _SIDE_1,
            "height": _SIDE_1,
            "steps": Parameter(kind="integer", minimum=1, maximum=50),
            "guidance": Parameter(kind="number", minimum=1.5, maximum=5),
        },
        size_rule="sides",
    ),
    Model(
        model_id="flux-pro-1.0-fill",
        credits=5,
        parameters={**_FILL, "mask": _BASE64},
        size_rule="source",
    ),
    Model(
        model_id="flux-pro-1.0-expand",
        credits=5,  # invented: the price of its sibling
        parameters={**_FILL, **dict.fromkeys(("top", "bottom", "left", "right"), _MARGIN)},
        size_rule="source",
    ),
    Model(
        model_id="flux-2-pro",
        credits=3,
        credits_per_further_megapixel=1.5,
        parameters=_flux_2(8),
        size_rule="flux-2",
    ),
    Model(
        model_id="flux-2-pro-preview",
        credits=3,  # invented: the price of the previewed model
        credits_per_further_megapixel=1.5,
        parameters=_flux_2(8),
        size_rule="flux-2",
    ),
    Model(
        model_id="flux-2-max",
        credits=7,
        credits_per_further_megapixel=3,
        parameters=_flux_2(8),
        size_rule="flux-2",
    ),
    Model(
        model_id="flux-2-flex",
        credits=5,
        credits_per_further_megapixel=5,
        parameters={
            **_flux_2(8),
            **_UPSAMPLING,
            "guidance": Parameter(kind="number", minimum=1.5, maximum=10),
            "steps": Parameter(kind="integer", minimum=1, maximum=50),
        },
        size_rule="flux-2",
    ),
    Model(
        model_id="flux-2-klein-4b",
        credits=1.4,
        credits_per_further_megapixel=0.1,
        parameters=_flux_2(4),
        size_rule="flux-2",
        seconds=(1, 3),
    ),
    Model(
        model_id="flux-2-klein-9b",
        credits=1.5,
        credits_per_further_megapixel=0.2,
        parameters=_flux_2(4),
        size_rule="flux-2",
        seconds=(1, 3),
    ),
    Model(
        model_id="flux-2-klein-9b-preview",
        credits=1.5,  # invented: the price of the previewed model
        credits_per_further_megapixel=0.2,
        parameters=_flux_2(4),
        size_rule="flux-2",
        seconds=(1, 3),
    ),
)

MODELS: Mapping[str, Model] = {model.model_id: model for model in _ALL}
"""The documented models by id."""

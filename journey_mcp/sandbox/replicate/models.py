"""The models of both Replicate-like services as far as their fakes need them.

Parameters are those of the services' pages. Prices and durations are invented: no available source states them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from journey_mcp.sandbox.parameters import Parameter

KONTEXT_RATIOS = (
    *("match_input_image", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"),
    *("4:5", "5:4", "21:9", "9:21", "2:1", "1:2"),
)


@dataclass(frozen=True, kw_only=True)
class Input(Parameter):
    """One field of a model's `input`."""

    name: str
    default: Any = None
    is_contradicted: bool = False
    """One page of the model lists it and another does not."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The properties in which models differ."""

    name: str
    """As in `owner/name`."""
    version: str | None = None
    """Its id of 64 hex digits; None for an official model, whose version is `hidden`."""
    inputs: tuple[Input, ...]
    is_listed_whole: bool = True
    """Whether the page with its parameters is known; if not, it accepts further fields."""
    gives_list: bool = False
    """Whether `output` is an array of URLs, even for one image."""
    safety_limit_with_image: int | None = None
    """The largest `safety_tolerance` allowed with an input image."""
    seconds: tuple[float, float]
    """The minimum and maximum duration of a run."""
    price: float
    """The price of one image in US dollars."""


def extra_model(name: str) -> Model:
    """Return an official model that only the settings name: it accepts anything and returns one image."""
    return Model(name=name, inputs=(_PROMPT, *_USUAL), is_listed_whole=False, seconds=(4, 8), price=0.04)


def _choice(name: str, default: str, *others: str) -> Input:
    return Input(name=name, kind="text", default=default, allowed=(default, *others))


def _ratio(name: str, default: str) -> Input:
    return Input(name=name, kind="ratio", default=default, also=(default,))


def _integer(
    name: str, default: int | None, minimum: float = -math.inf, maximum: float = math.inf, multiple_of: int = 1
) -> Input:
    return Input(name=name, kind="integer", default=default, minimum=minimum, maximum=maximum, multiple_of=multiple_of)


def _number(name: str, default: float | None, minimum: float, maximum: float) -> Input:
    return Input(name=name, kind="number", default=default, minimum=minimum, maximum=maximum)


def _switch(name: str, *, default: bool = False) -> Input:
    return Input(name=name, kind="flag", default=default)


def _image(name: str, *, is_required: bool = False, is_contradicted: bool = False) -> Input:
    return Input(
        name=name,
        kind="image",
        forms=("url", "data_uri"),
        is_required=is_required,
        is_contradicted=is_contradicted,
    )


_PROMPT = Input(name="prompt", kind="text", shortest=1, is_required=True)
_SEED = _integer("seed", None)
_OPTIONAL_PROMPT = Input(name="prompt", kind="text")
# for models whose pages were not read: the parameters that most read pages share
_USUAL = (
    _image("image"),
    _image("input_image"),
    Input(name="aspect_ratio"),
    _choice("output_format", "png", "jpg", "webp"),
    _SEED,
)

_KONTEXT = (
    _PROMPT,
    _image("input_image"),
    _choice("aspect_ratio", *KONTEXT_RATIOS),
    # KKIAI's example has jpg and its page has no list; a copy of Replicate's schema lists both
    _choice("output_format", "png", "jpg"),
    _integer("safety_tolerance", 2, 0, 6),
    _switch("prompt_upsampling"),
    # on Replicate's page of kontext-pro, on no page of KKIAI's
    Input(name="seed", kind="integer", is_contradicted=True),
)
_KONTEXT_DEV = (
    _PROMPT,
    _image("input_image", is_required=True),
    _ratio("aspect_ratio", "match_input_image"),
    _switch("go_fast", default=True),
    _number("guidance", 2.5, 0, 10),
    _integer("num_inference_steps", 28, 4, 50),
    _choice("output_format", "webp", "jpg", "png"),
    _integer("output_quality", 80, 0, 100),
)
_FLUX_1_1_PRO = (
    _PROMPT,
    _image("image_prompt"),
    _choice("aspect_ratio", "1:1", "custom", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3"),
    _integer("width", None, 256, 1440),
    _integer("height", None, 256, 1440),
    _integer("safety_tolerance", 2, 1, 6),
    _SEED,
    _switch("prompt_upsampling"),
    _choice("output_format", "webp", "jpg", "png"),
    _integer("output_quality", 80, maximum=100),
)
_FLUX_1_1_PRO_ULTRA = (
    _PROMPT,
    _switch("raw"),
    _ratio("aspect_ratio", "1:1"),
    _choice("output_format", "jpg", "png"),
    _integer("safety_tolerance", 2, 1, 6),
    _number("image_prompt_strength", None, 0, 1),
    # the page lists the strength of an image that it does not list
    _image("image_prompt", is_contradicted=True),
)
_IMAGEN_4_REST = (
    _choice("output_format", "jpg", "png"),
    _choice("safety_filter_level", "block_only_high", "block_medium_and_above", "block_low_and_above"),
)
_IMAGEN_4 = (_PROMPT, _choice("aspect_ratio", "1:1", "9:16", "16:9", "3:4", "4:3"), *_IMAGEN_4_REST)
_IMAGEN_4_SISTERS = (_PROMPT, _ratio("aspect_ratio", "1:1"), *_IMAGEN_4_REST)
_RECRAFT = (
    _PROMPT,
    Input(name="size", kind="text", default="1024x1024", pattern=r"[1-9]\d{2,3}x[1-9]\d{2,3}"),
    Input(name="style", kind="text", default="any"),
    _ratio("aspect_ratio", "Not set"),
)
_STABLE_DIFFUSION = (
    _OPTIONAL_PROMPT,
    _integer("width", 768, 64, multiple_of=64),
    _integer("height", 768, 64, multiple_of=64),
    Input(name="scheduler", kind="text", default="DPMSolverMultistep"),
    _integer("num_outputs", 1, 1, 4),
    # the page calls these two required and states their defaults
    _number("guidance_scale", 7.5, 1, 20),
    _integer("num_inference_steps", 50, 1, 500),
)
_UNREAD = (_OPTIONAL_PROMPT, _integer("num_outputs", 1, 1, 4), *_USUAL)

_OFFICIAL = (
    Model(
        name="black-forest-labs/flux-kontext-pro",
        inputs=_KONTEXT,
        safety_limit_with_image=2,
        seconds=(6, 12),
        price=0.04,
    ),
    Model(
        name="black-forest-labs/flux-kontext-max",
        inputs=_KONTEXT,
        safety_limit_with_image=2,
        seconds=(8, 16),
        price=0.08,
    ),
    Model(name="black-forest-labs/flux-kontext-dev", inputs=_KONTEXT_DEV, seconds=(4, 8), price=0.025),
    Model(name="black-forest-labs/flux-1.1-pro", inputs=_FLUX_1_1_PRO, seconds=(5, 9), price=0.04),
    Model(name="black-forest-labs/flux-1.1-pro-ultra", inputs=_FLUX_1_1_PRO_ULTRA, seconds=(8, 14), price=0.06),
    Model(
        name="black-forest-labs/flux-schnell",
        inputs=(_PROMPT, *_UNREAD[1:]),
        is_listed_whole=False,
        gives_list=True,
        seconds=(1, 3),
        price=0.003,
    ),
    Model(name="google/imagen-4", inputs=_IMAGEN_4, seconds=(6, 12), price=0.04),
    Model(name="google/imagen-4-fast", inputs=_IMAGEN_4_SISTERS, seconds=(3, 6), price=0.02),
    Model(name="google/imagen-4-ultra", inputs=_IMAGEN_4_SISTERS, seconds=(8, 16), price=0.06),
    Model(name="recraft-ai/recraft-v3", inputs=_RECRAFT, seconds=(6, 12), price=0.04),
)

STABLE_DIFFUSION = "stability-ai/stable-diffusion"

_VERSIONS: tuple[tuple[str, str], ...] = (
    (STABLE_DIFFUSION, "ac732df83cea7fff18b8472768c88ad041fa750ff7682a21affe81863cbe77e4"),
    ("stability-ai/sdxl", "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"),
    ("stability-ai/stable-diffusion-inpainting", "95b7223104132402a9ae91cc677285bc5eb997834bd2349fa486f53910fd68b3"),
    ("stability-ai/stable-diffusion-img2img", "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"),
    ("lucataco/flux-schnell-lora", "2a6b576af31790b470f0a8442e1e9791213fa13799cbb65a9fc1436e96389574"),
    ("lucataco/flux-dev-lora", "091495765fa5ef2725a175a57b276ec30dc9d39c22d30410f2ede68a3eab66b3"),
)

_BY_VERSION = tuple(
    Model(
        name=name,
        version=version,
        inputs=_STABLE_DIFFUSION if name == STABLE_DIFFUSION else _UNREAD,
        is_listed_whole=name == STABLE_DIFFUSION,
        gives_list=True,
        seconds=(3, 7),
        price=0.01,
    )
    for name, version in _VERSIONS
)

MODELS: Mapping[str, Model] = {model.name: model for model in (*_OFFICIAL, *_BY_VERSION)}
"""The documented models by name."""
VERSIONS: Mapping[str, Model] = {model.version: model for model in _BY_VERSION if model.version}
"""The models that are run by version, by its id."""

"""Vtrix's image models as far as its fake needs them.

No source states a price of Vtrix: all prices here are invented, as are the durations.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from journey_mcp.sandbox.parameters import Parameter
from journey_mcp.sandbox.vtrix.parameters import (
    ANY,
    FORMAT,
    PROMPT,
    SEED,
    UPSAMPLING,
    Parameters,
    anything,
    choice,
    input_images,
    safety,
    short_prompt,
    sides,
    size,
)

MEGABYTE = 1_000_000
_WIDEST = (21, 9)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The properties in which models differ."""

    model_id: str
    price_usd: Decimal
    """The price of one image; invented."""
    parameters: Parameters
    takes_anything: bool = False
    """Whether further parameters are accepted: the documents state no values, or there are no documents."""
    size: tuple[int, int] = (1024, 1024)
    """The default size, or the default of one side."""
    pixels: tuple[int, int] = (1, 16_777_216)
    """The minimum and maximum of a result, if width and height are given."""
    images_limit_bytes: int | None = None
    """The limit of each input image; None where no source states one."""
    shortest_side_px: int = 1
    """The minimum short side of each input image."""
    longest_shape: float = math.inf
    """The maximum ratio of long side to short side of each input image."""
    one_of: tuple[str, ...] = ()
    """At least one of these parameters is required."""
    seconds: tuple[float, float] = (6, 12)


_KONTEXT: Parameters = {
    **PROMPT,
    **input_images(4),
    **SEED,
    "aspect_ratio": Parameter(kind="ratio", widest=_WIDEST),
    **FORMAT,
    **UPSAMPLING,
}
_KIRIN_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_COUNT: Parameters = {"n": Parameter(kind="integer", minimum=1, maximum=9)}
# The webhooks to callback_url and their signature are not documented: the parameter is accepted, nothing is posted.
_CALLBACK: Parameters = {"callback_url": Parameter(kind="text"), "external_task_id": Parameter(kind="text")}
_KIRIN_IMAGES = Parameter(kind="image objects", most=10)
_DREAM: Parameters = {
    **PROMPT,
    "image": Parameter(kind="image or images", most=14, forms=("url", "data_uri")),
    **anything("n", "seed", "response_format", "sequential_image_generation_options"),
    **anything("sequential_image_generation", "optimize_prompt_options", "tools"),
}
_EDIT_URLS = Parameter(kind="images", is_required=True, fewest=1, forms=("url",))
_GPT: Parameters = {**PROMPT, **anything("n", "size", "quality")}
_GPT_EDIT: Parameters = {**_GPT, "image": Parameter(kind="image", is_required=True), "mask": ANY}
_MESSAGES: Parameters = {"input": Parameter(is_required=True), "parameters": ANY}
_BANANA: Parameters = {
    **PROMPT,
    "image_urls": Parameter(kind="images", most=14),
    "resolution": Parameter(kind="text"),
    "aspect_ratio": Parameter(kind="ratio"),
    "watermark": Parameter(kind="flag"),
}


def extra_model(model_id: str) -> Model:
    """Return a model that only the settings name."""
    return Model(model_id=model_id, price_usd=Decimal("0.04"), parameters=_KONTEXT, takes_anything=True)


_FLUX = (
    Model(
        model_id="flux_kontext_pro",
        price_usd=Decimal("0.04"),
        parameters={**_KONTEXT, **safety(0)},
        images_limit_bytes=20 * MEGABYTE,
    ),
    Model(
        model_id="flux_kontext_max",
        price_usd=Decimal("0.08"),
        parameters={
            **_KONTEXT,
            **safety(0),
            "steps": Parameter(kind="integer", minimum=1, maximum=50),
            "guidance_scale": Parameter(kind="number", minimum=1, maximum=10),
            "negative_prompt": Parameter(kind="text"),
        },
    ),
    Model(
        model_id="flux_2_pro",
        price_usd=Decimal("0.05"),
        parameters={
            **PROMPT,
            **input_images(8),
            **SEED,
            **sides(64, 4096, 32),
            # typed as a text on this page and as a number on all others: both are accepted
            "safety_tolerance": Parameter(kind="digits", minimum=0, maximum=6),
            **FORMAT,
        },
    ),
    Model(
        model_id="flux_pro_11",
        price_usd=Decimal("0.04"),
        parameters={
            **PROMPT,
            "image_prompt": Parameter(kind="image", forms=("base64", "data_uri")),
            **sides(256, 1440, 32),
            **UPSAMPLING,
            **SEED,
            **safety(0),
            **FORMAT,
        },
    ),
)
_VTRIX = (
    Model(
        model_id="vtrix_image_4_0",
        price_usd=Decimal("0.03"),
        parameters={
            **PROMPT,
            "image": Parameter(kind="image"),
            **size("1K", "2K", "4K"),
            "mode": Parameter(kind="text"),
            "response_format": Parameter(kind="text"),
            "sequential_image_generation": Parameter(kind="text"),
            **anything("sequential_image_generation_options", "optimize_prompt_options"),
        },
    ),
    Model(
        model_id="vtrix_image_4_5_blend",
        price_usd=Decimal("0.05"),
        parameters={
            **PROMPT,
            "image": Parameter(kind="images", is_required=True, fewest=2, most=14),
            **size("1K", "2K", "4K"),
            "watermark": Parameter(kind="flag"),
            "response_format": choice("url", "b64_json"),
            **anything("optimize_prompt_options"),
        },
    ),
    Model(
        model_id="vtrix_edit_style",
        price_usd=Decimal("0.03"),
        parameters={
            "template_id": Parameter(kind="text", is_required=True),
            "image_input1": Parameter(kind="image", is_required=True, forms=("url",)),
            **sides(512, 2048),
        },
        size=(1328, 1328),
    ),
    Model(
        model_id="vtrix_edit_3d",
        price_usd=Decimal("0.05"),
        parameters={
            "req_key": Parameter(kind="text", is_required=True),
            "sub_req_key": Parameter(kind="text"),
            "logo_text_content": Parameter(kind="text"),
            "image_urls": _EDIT_URLS,
        },
        images_limit_bytes=5 * MEGABYTE,
        shortest_side_px=600,
    ),
    Model(
        model_id="vtrix_edit_transform",
        price_usd=Decimal("0.03"),
        parameters={
            **short_prompt(800),
            "image_urls": _EDIT_URLS,
            **SEED,
            "scale": Parameter(kind="number", minimum=0, maximum=1),
            "return_url": Parameter(kind="flag"),
            **anything("logo_info"),
        },
    ),
)
_SPARK = (
    Model(
        model_id="spark_dream_3_0",
        price_usd=Decimal("0.03"),
        parameters={
            **PROMPT,
            "use_pre_llm": Parameter(kind="flag"),
            **SEED,
            "scale": Parameter(kind="number", minimum=1, maximum=10),
            **sides(64, 4096),
        },
        size=(1328, 1328),
        pixels=(1, 4_194_303),
    ),
    Model(
        model_id="spark_dream_4_0",
        price_usd=Decimal("0.03"),
        parameters={**_DREAM, **size("1K", "2K", "4K")},
        pixels=(921_600, 16_777_216),
        images_limit_bytes=10 * MEGABYTE,
        shortest_side_px=15,
        longest_shape=16,
    ),
    Model(
        model_id="spark_dream_4_5",
        price_usd=Decimal("0.04"),
        parameters={**_DREAM, **size("2K", "4K")},
        pixels=(3_686_400, 16_777_216),
        images_limit_bytes=10 * MEGABYTE,
        shortest_side_px=15,
        longest_shape=16,
    ),
    Model(
        model_id="spark_dream_5_0",
        price_usd=Decimal("0.04"),
        # the values are truncated in the stored text
        parameters={**_DREAM, **size("1K", "2K", "3K", "4K")},
        images_limit_bytes=10 * MEGABYTE,
        shortest_side_px=15,
        longest_shape=16,
    ),
    Model(
        model_id="spark_multi_dreamo",
        price_usd=Decimal("0.04"),
        parameters={
            **PROMPT,
            "image_urls": Parameter(kind="images", most=5, forms=("url",)),
            "binary_data_base64": Parameter(kind="images", most=5, forms=("base64",)),
            "ref_type_list": ANY,
            "guidance_scale1": Parameter(kind="number", minimum=1, maximum=7),
            "guidance_scale2": Parameter(kind="number"),
        },
        images_limit_bytes=4_700_000,
        one_of=("image_urls", "binary_data_base64"),
    ),
)
_KIRIN = (
    Model(
        model_id="kirin_v2_image",
        price_usd=Decimal("0.03"),
        parameters={
            **short_prompt(2500),
            "negative_prompt": Parameter(kind="text", longest=2500),
            "image": Parameter(kind="image", forms=("url", "base64")),
            **_COUNT,
            "aspect_ratio": choice(*_KIRIN_RATIOS),
            **_CALLBACK,
        },
        images_limit_bytes=10 * MEGABYTE,
        shortest_side_px=300,
        longest_shape=2.5,
    ),
    Model(
        model_id="kirin_image_omni",
        price_usd=Decimal("0.04"),
        parameters={
            **short_prompt(2500),
            "image_list": _KIRIN_IMAGES,
            "resolution": choice("1k", "2k"),
            **_COUNT,
            "aspect_ratio": choice(*_KIRIN_RATIOS, "auto"),
            **anything("watermark_info", "element_list"),
            **_CALLBACK,
        },
        images_limit_bytes=10 * MEGABYTE,
        shortest_side_px=300,
        longest_shape=2.5,
    ),
    Model(
        model_id="kirin_v3_omni_image",
        price_usd=Decimal("0.05"),
        parameters={
            **short_prompt(2500),
            "image_list": _KIRIN_IMAGES,
            "resolution": choice("1k", "2k", "4k"),
            "result_type": choice("single", "series"),
            **_COUNT,
            "series_amount": Parameter(kind="integer", minimum=2, maximum=9),
            "aspect_ratio": choice(*_KIRIN_RATIOS, "auto"),
            **anything("element_list"),
        },
        images_limit_bytes=10 * MEGABYTE,
        shortest_side_px=300,
        longest_shape=2.5,
    ),
    Model(
        model_id="kirin_v3_image",
        price_usd=Decimal("0.04"),
        parameters={
            **PROMPT,
            "image": Parameter(kind="image"),
            **anything("negative_prompt", "image_reference", "image_fidelity", "human_fidelity"),
            **anything("element_list", "watermark_info"),
        },
    ),
)
_OTHERS = (
    Model(
        model_id="viduq2_reference2image",
        price_usd=Decimal("0.04"),
        parameters={
            **short_prompt(2000),
            "images": Parameter(kind="images", most=7, forms=("url", "data_uri")),
            "resolution": choice("1080p", "2K", "4K"),
            "aspect_ratio": choice("auto", "16:9", "9:16", "1:1", "3:4", "4:3", "21:9", "2:3", "3:2"),
            **SEED,
            "payload": Parameter(kind="text", longest=1_048_576),
            "callback_url": Parameter(kind="text"),
        },
        images_limit_bytes=50 * MEGABYTE,
        shortest_side_px=128,
        longest_shape=4,
    ),
    Model(
        model_id="gpt_image_1",
        price_usd=Decimal("0.05"),
        parameters={**_GPT, **anything("background", "output_format")},
    ),
    Model(
        model_id="gpt_image_1_5",
        price_usd=Decimal("0.05"),
        parameters={**_GPT, **anything("background", "output_format")},
    ),
    Model(model_id="gpt_image_1_edit", price_usd=Decimal("0.05"), parameters=_GPT_EDIT),
    Model(model_id="gpt_image_1_5_edit", price_usd=Decimal("0.05"), parameters=_GPT_EDIT),
    Model(model_id="qwen_image_edit_plus", price_usd=Decimal("0.03"), parameters=_MESSAGES),
    Model(model_id="wan27_image", price_usd=Decimal("0.03"), parameters=_MESSAGES),
    Model(model_id="wan27_image_pro", price_usd=Decimal("0.06"), parameters=_MESSAGES),
    Model(model_id="vtrix_nano_banana", price_usd=Decimal("0.04"), parameters=_BANANA, takes_anything=True),
    Model(model_id="vtrix_nano_banana_pro", price_usd=Decimal("0.12"), parameters=_BANANA, takes_anything=True),
    Model(
        model_id="midjourney_diffusion",
        price_usd=Decimal("0.08"),
        parameters={"text": Parameter(kind="text", is_required=True)},
        takes_anything=True,
    ),
)

MODELS: Mapping[str, Model] = {model.model_id: model for model in (*_FLUX, *_VTRIX, *_SPARK, *_KIRIN, *_OTHERS)}
"""The documented models by id."""

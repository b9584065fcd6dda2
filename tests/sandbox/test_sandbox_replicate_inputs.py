"""The inputs of the models of Replicate and KKIAI: tables without a server."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import base64
from typing import Any

import pytest

from journey_mcp.sandbox import KkiaiSettings, ReplicateSettings
from journey_mcp.sandbox.replicate.inputs import input_errors, read_request
from journey_mcp.sandbox.replicate.models import MODELS, VERSIONS

URL = "https://files.example.test/snowman.png"
PRO = "black-forest-labs/flux-kontext-pro"
MAX = "black-forest-labs/flux-kontext-max"
DEV = "black-forest-labs/flux-kontext-dev"
FLUX = "black-forest-labs/flux-1.1-pro"
ULTRA = "black-forest-labs/flux-1.1-pro-ultra"
SCHNELL = "black-forest-labs/flux-schnell"
IMAGEN = "google/imagen-4"
FAST = "google/imagen-4-fast"
RECRAFT = "recraft-ai/recraft-v3"
DIFFUSION = "stability-ai/stable-diffusion"
SDXL = "stability-ai/sdxl"


def errors_of(model: str, inputs: dict[str, Any], settings: ReplicateSettings | None = None) -> list[str]:
    return input_errors({"prompt": "a boat", **inputs}, MODELS[model], settings or ReplicateSettings())


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (PRO, {}),
        (
            PRO,
            {
                "input_image": URL,
                "aspect_ratio": "match_input_image",
                "output_format": "jpg",
                "safety_tolerance": 2,
                "prompt_upsampling": True,
                "seed": 7,
            },
        ),
        (PRO, {"safety_tolerance": 6}),
        (MAX, {"aspect_ratio": "9:21"}),
        (DEV, {"input_image": URL, "go_fast": False, "guidance": 0, "num_inference_steps": 50, "output_quality": 100}),
        (DEV, {"input_image": URL, "aspect_ratio": "16:9", "output_format": "webp"}),
        (FLUX, {"image_prompt": URL, "aspect_ratio": "custom", "width": 256, "height": 1440, "output_quality": 100}),
        (FLUX, {"safety_tolerance": 6, "image_prompt": URL}),
        (ULTRA, {"raw": True, "aspect_ratio": "21:9", "image_prompt_strength": 0.5, "image_prompt": URL}),
        (SCHNELL, {"num_outputs": 4, "what_no_page_tells": "anything", "aspect_ratio": "16:9"}),
        (IMAGEN, {"aspect_ratio": "4:3", "safety_filter_level": "block_low_and_above", "output_format": "png"}),
        (FAST, {"aspect_ratio": "16:9"}),
        (RECRAFT, {"size": "1024x1536", "style": "digital_illustration", "aspect_ratio": "Not set"}),
        (DIFFUSION, {"width": 512, "height": 1024, "num_outputs": 2, "guidance_scale": 20, "scheduler": "DDIM"}),
        (SDXL, {"image": URL, "prompt_strength": 0.8}),
    ],
)
def test_documented_inputs_are_accepted(model: str, inputs: dict[str, Any]) -> None:
    assert errors_of(model, inputs) == []


@pytest.mark.parametrize(
    ("model", "inputs", "error"),
    [
        (PRO, {"image_url": URL}, "input.image_url: Extra inputs are not permitted"),
        (PRO, {"prompt": ""}, "input.prompt: String should have at least 1 characters"),
        (PRO, {"prompt": None}, "input.prompt: Field required"),
        (PRO, {"output_format": "jpeg"}, "input.output_format: Input should be 'png' or 'jpg'"),
        (PRO, {"seed": "7"}, "input.seed: Input should be a valid integer"),
        (PRO, {"seed": True}, "input.seed: Input should be a valid integer"),
        (PRO, {"seed": 1.5}, "input.seed: Input should be a valid integer"),
        (PRO, {"prompt_upsampling": 1}, "input.prompt_upsampling: Input should be a valid boolean"),
        (PRO, {"safety_tolerance": 7}, "input.safety_tolerance: Input should be less than or equal to 6"),
        (PRO, {"safety_tolerance": -1}, "input.safety_tolerance: Input should be greater than or equal to 0"),
        (
            PRO,
            {"safety_tolerance": 3, "input_image": URL},
            "input.safety_tolerance: With an input image at most 2 is allowed",
        ),
        (PRO, {"input_image": "aGk="}, "input.input_image: Value error, an image comes as url or data_uri"),
        (
            PRO,
            {"input_image": "data:image/png;base64,***"},
            "input.input_image: this is not base64",
        ),
        (PRO, {"input_image": [URL]}, "input.input_image: Input should be a valid string"),
        (DEV, {}, "input.input_image: Field required"),
        (DEV, {"input_image": URL, "safety_tolerance": 2}, "input.safety_tolerance: Extra inputs are not permitted"),
        (
            DEV,
            {"input_image": URL, "aspect_ratio": "wide"},
            "input.aspect_ratio: Value error, aspect_ratio should read W:H",
        ),
        (FLUX, {"input_image": URL}, "input.input_image: Extra inputs are not permitted"),
        (FLUX, {"safety_tolerance": 0}, "input.safety_tolerance: Input should be greater than or equal to 1"),
        (FLUX, {"width": 1441}, "input.width: Input should be less than or equal to 1440"),
        (ULTRA, {"image_prompt_strength": 1.1}, "input.image_prompt_strength: Input should be less than or equal to 1"),
        (SCHNELL, {"num_outputs": 5}, "input.num_outputs: Input should be less than or equal to 4"),
        (IMAGEN, {"aspect_ratio": "3:2"}, "input.aspect_ratio: Input should be '1:1' or '9:16'"),
        (IMAGEN, {"seed": 1}, "input.seed: Extra inputs are not permitted"),
        (RECRAFT, {"size": "big"}, "input.size: String should match pattern"),
        (RECRAFT, {"output_format": "png"}, "input.output_format: Extra inputs are not permitted"),
        (DIFFUSION, {"width": 500}, "input.width: Input should be a multiple of 64"),
        (DIFFUSION, {"image": URL}, "input.image: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_input_is_reported(model: str, inputs: dict[str, Any], error: str) -> None:
    (found,) = errors_of(model, inputs)
    assert found.startswith(error)


def test_all_input_errors_are_reported_together() -> None:
    assert errors_of(DEV, {"foo": 1, "guidance": 11}) == [
        "input.input_image: Field required",
        "input.guidance: Input should be less than or equal to 10",
        "input.foo: Extra inputs are not permitted",
    ]


@pytest.mark.parametrize("name", ["seed", "input_image", "safety_tolerance"])
def test_null_is_not_a_value(name: str) -> None:
    assert errors_of(PRO, {name: None}) == [f"input.{name}: Input should not be null"]


@pytest.mark.parametrize(("settings", "limit"), [(ReplicateSettings(), 256_000), (KkiaiSettings(), 1_000_000)])
def test_a_data_uri_has_a_small_size_limit(settings: ReplicateSettings, limit: int) -> None:
    fitting, larger = (
        {"input_image": f"data:image/png;base64,{base64.b64encode(bytes(size)).decode()}"}
        for size in (limit, limit + 1)
    )
    assert errors_of(PRO, fitting, settings) == []
    assert errors_of(PRO, larger, settings) == [
        f"input.input_image: A data URI holds at most {limit} bytes, this one {limit + 1}"
    ]


@pytest.mark.parametrize(("model", "inputs"), [(PRO, {"seed": 1}), (MAX, {"seed": 1}), (ULTRA, {"image_prompt": URL})])
def test_contradictory_inputs_are_accepted_by_setting(model: str, inputs: dict[str, Any]) -> None:
    assert errors_of(model, inputs, ReplicateSettings()) == []
    assert errors_of(model, inputs, KkiaiSettings()) == []
    assert len(errors_of(model, inputs, KkiaiSettings(takes_contradicted_inputs=False))) == 1
    assert len(errors_of(model, inputs, ReplicateSettings(takes_contradicted_inputs=False))) == 1


@pytest.mark.parametrize(
    ("model", "inputs", "size", "image_format"),
    [
        (PRO, {}, (1024, 1024), "png"),
        (PRO, {"aspect_ratio": "16:9", "output_format": "jpg"}, (1024, 576), "jpg"),
        (FLUX, {}, (1024, 1024), "webp"),
        (FLUX, {"aspect_ratio": "custom", "width": 512, "height": 256}, (512, 256), "webp"),
        (FLUX, {"aspect_ratio": "custom"}, (1024, 1024), "webp"),
        (FLUX, {"aspect_ratio": "3:2", "width": 512, "height": 256}, (1024, 682), "webp"),
        (ULTRA, {"aspect_ratio": "2:1"}, (1024, 512), "jpg"),
        (SCHNELL, {"aspect_ratio": "16:9"}, (1024, 576), "png"),
        (SCHNELL, {"aspect_ratio": "as wide as it gets"}, (1024, 1024), "png"),
        (IMAGEN, {"aspect_ratio": "3:4"}, (768, 1024), "jpg"),
        (RECRAFT, {"size": "1280x768"}, (1280, 768), "png"),
        (RECRAFT, {"size": "9999x5000"}, (2048, 1024), "png"),
        (RECRAFT, {"size": "1280x768", "aspect_ratio": "1:1"}, (1024, 1024), "png"),
        (DIFFUSION, {}, (768, 768), "png"),
        (DIFFUSION, {"width": 640, "height": 64}, (640, 64), "png"),
    ],
)
def test_a_generated_image_has_the_requested_size_and_format(
    model: str, inputs: dict[str, Any], size: tuple[int, int], image_format: str
) -> None:
    request = read_request({"prompt": "a boat", **inputs}, MODELS[model])
    assert (request.size, request.image_format) == (size, image_format)


@pytest.mark.parametrize(
    ("inputs", "ratio"), [({}, None), ({"aspect_ratio": "match_input_image"}, None), ({"aspect_ratio": "4:3"}, (4, 3))]
)
def test_an_edit_keeps_the_shape_of_its_source_by_default(inputs: dict[str, Any], ratio: Any) -> None:
    request = read_request({"prompt": "a boat", "input_image": URL, **inputs}, MODELS[PRO])
    assert (request.ratio, request.source, request.count, request.seed) == (ratio, URL, 1, None)


def test_models_and_versions_with_a_list_of_outputs_are_the_documented_ones() -> None:
    assert {model.name for model in MODELS.values() if model.gives_list} == {
        *("black-forest-labs/flux-schnell", "stability-ai/stable-diffusion", "stability-ai/sdxl"),
        *("stability-ai/stable-diffusion-inpainting", "stability-ai/stable-diffusion-img2img"),
        *("lucataco/flux-schnell-lora", "lucataco/flux-dev-lora"),
    }
    assert all(len(version) == 64 and model.version == version for version, model in VERSIONS.items())

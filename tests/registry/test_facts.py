"""Registry facts: which field is sent under which name; mistakes cost money."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from journey_mcp import registry
from journey_mcp.core.images import AspectRatio
from journey_mcp.registry import Offer

_NUMBERED = "input_image input_image_2 input_image_3 input_image_4"
_EIGHT = f"{_NUMBERED} input_image_5 input_image_6 input_image_7 input_image_8"
_USUAL = "output_format seed safety_tolerance"
_KONTEXT = f"aspect_ratio {_USUAL} prompt_upsampling"
_SIZED = "aspect_ratio width height"
_SIZE_FIELD = "aspect_ratio width>size height>size"

_WIRE = [
    # provider, wire id, largest number of images, their fields, our parameters (`ours>wire` if the names differ)
    ("vtrix", "flux_kontext_pro", 4, _NUMBERED, _KONTEXT),
    ("vtrix", "flux_kontext_max", 4, _NUMBERED, f"{_KONTEXT} negative_prompt guidance>guidance_scale steps"),
    ("vtrix", "flux_2_pro", 8, _EIGHT, f"{_SIZED} {_USUAL}"),
    ("vtrix", "flux_pro_11", 1, "image_prompt", f"{_SIZED} {_USUAL} prompt_upsampling"),
    ("vtrix", "spark_dream_3_0", 0, "", f"{_SIZED} seed prompt_upsampling>use_pre_llm guidance>scale"),
    ("vtrix", "spark_dream_4_0", 14, "image[]", f"{_SIZE_FIELD} resolution>size"),
    ("vtrix", "spark_dream_4_5", 14, "image[]", f"{_SIZE_FIELD} resolution>size"),
    ("vtrix", "spark_dream_5_0", 14, "image[]", ""),
    ("vtrix", "vtrix_image_4_0", 1, "image", f"{_SIZE_FIELD} resolution>size"),
    ("vtrix", "vtrix_image_4_5_blend", 14, "image[]", f"{_SIZE_FIELD} resolution>size"),
    ("vtrix", "vtrix_edit_transform", 1, "image_urls[]", "seed guidance>scale"),
    ("vtrix", "kirin_v2_image", 1, "image", "aspect_ratio negative_prompt"),
    ("vtrix", "kirin_image_omni", 0, "", "aspect_ratio resolution"),
    ("vtrix", "viduq2_reference2image", 7, "images[]", "aspect_ratio resolution seed"),
    ("kkiai", "black-forest-labs/flux-kontext-pro", 1, "input_image", _KONTEXT),
    ("kkiai", "black-forest-labs/flux-kontext-max", 1, "input_image", _KONTEXT),
    (
        *("kkiai", "black-forest-labs/flux-kontext-dev", 1, "input_image"),
        "aspect_ratio output_format guidance steps>num_inference_steps",
    ),
    ("kkiai", "black-forest-labs/flux-1.1-pro-ultra", 0, "", "aspect_ratio output_format safety_tolerance"),
    ("kkiai", "google/imagen-4", 0, "", "aspect_ratio output_format"),
    ("kkiai", "google/imagen-4-fast", 0, "", "aspect_ratio output_format"),
    ("kkiai", "google/imagen-4-ultra", 0, "", "aspect_ratio output_format"),
    ("kkiai", "recraft-ai/recraft-v3", 0, "", _SIZE_FIELD),
    (
        "kkiai",
        "stability-ai/stable-diffusion:ac732df83cea7fff18b8472768c88ad041fa750ff7682a21affe81863cbe77e4",
        *(0, "", f"{_SIZED} guidance>guidance_scale steps>num_inference_steps"),
    ),
    ("replicate", "black-forest-labs/flux-kontext-pro", 1, "input_image", _KONTEXT),
    ("replicate", "black-forest-labs/flux-1.1-pro", 1, "image_prompt", f"{_SIZED} {_USUAL} prompt_upsampling"),
    ("replicate", "black-forest-labs/flux-schnell", 0, "", ""),
    ("bfl", "flux-kontext-pro", 4, _NUMBERED, _KONTEXT),
    ("bfl", "flux-kontext-max", 4, _NUMBERED, _KONTEXT),
    ("bfl", "flux-pro-1.1", 1, "image_prompt", f"{_SIZED} {_USUAL} prompt_upsampling"),
    ("bfl", "flux-pro-1.1-ultra", 1, "image_prompt", f"aspect_ratio {_USUAL} prompt_upsampling"),
    ("bfl", "flux-dev", 1, "image_prompt", f"{_SIZED} {_USUAL} prompt_upsampling guidance steps"),
    ("bfl", "flux-pro-1.0-fill", 1, "image mask", f"{_USUAL} prompt_upsampling guidance steps"),
    ("bfl", "flux-2-pro", 8, _EIGHT, f"{_SIZED} {_USUAL}"),
    ("bfl", "flux-2-pro-preview", 8, _EIGHT, f"{_SIZED} {_USUAL}"),
    ("bfl", "flux-2-max", 8, _EIGHT, f"{_SIZED} {_USUAL}"),
    ("bfl", "flux-2-flex", 8, _EIGHT, f"{_SIZED} {_USUAL} prompt_upsampling guidance steps"),
    ("bfl", "flux-2-klein-4b", 4, _NUMBERED, f"{_SIZED} {_USUAL}"),
    ("bfl", "flux-2-klein-9b", 4, _NUMBERED, f"{_SIZED} {_USUAL}"),
    ("bfl", "flux-2-klein-9b-preview", 4, _NUMBERED, f"{_SIZED} {_USUAL}"),
]
_OFFERS = registry.load().offers
_EVERY_OFFER = pytest.mark.parametrize("offer", _OFFERS, ids=[f"{o.model}@{o.provider}" for o in _OFFERS])
_BY_RATIO = [offer for offer in _OFFERS if offer.ratio_pixels]


def _offer(provider: str, wire_id: str) -> Offer:
    (found,) = [offer for offer in _OFFERS if (offer.provider, offer.wire_id) == (provider, wire_id)]
    return found


def test_the_table_has_every_offer_but_those_of_journeyapi() -> None:
    """And no other offer."""
    pinned = Counter((provider, wire_id) for provider, wire_id, *_ in _WIRE)
    assert pinned == Counter((o.provider, o.wire_id) for o in _OFFERS if o.provider != "journeyapi")


@pytest.mark.parametrize(("provider", "wire_id", "most", "images", "parameters"), _WIRE)
def test_fields_have_the_names_of_the_sources(
    provider: str, wire_id: str, most: int, images: str, parameters: str
) -> None:
    """Images and parameters, under the names of the provider's pages."""
    offer = _offer(provider, wire_id)
    taken = offer.images
    named = [f"{name}[]" if taken.as_array else name for name in taken.fields]
    named += [taken.mask_field] if taken.mask_field else []
    assert " ".join(named) == images
    assert (taken.maximum if taken.is_taken else 0) == most
    assert {_told(offer, name) for name in offer.parameters} == set(parameters.split())


def _told(offer: Offer, name: str) -> str:
    wire_name = offer.parameters[name].wire_name
    if name in {"width", "height"}:
        wire_name = offer.size_field
    return f"{name}>{wire_name}" if wire_name else name


@pytest.mark.parametrize(
    ("model", "offers"),
    [
        (
            "flux-kontext-pro",
            {
                "journeyapi": "flux-kontext-pro",
                "vtrix": "flux_kontext_pro",
                "kkiai": "black-forest-labs/flux-kontext-pro",
                "replicate": "black-forest-labs/flux-kontext-pro",
                "bfl": "flux-kontext-pro",
            },
        ),
        (
            "flux-kontext-max",
            {
                "journeyapi": "flux-kontext-max",
                "vtrix": "flux_kontext_max",
                "kkiai": "black-forest-labs/flux-kontext-max",
                "bfl": "flux-kontext-max",
            },
        ),
        (
            "flux-1.1-pro",
            {"vtrix": "flux_pro_11", "replicate": "black-forest-labs/flux-1.1-pro", "bfl": "flux-pro-1.1"},
        ),
        ("flux-1.1-pro-ultra", {"kkiai": "black-forest-labs/flux-1.1-pro-ultra", "bfl": "flux-pro-1.1-ultra"}),
        ("flux-2-pro", {"vtrix": "flux_2_pro", "bfl": "flux-2-pro"}),
        ("flux-pro", {"journeyapi": "flux-pro"}),
        ("seedream-4.5", {"journeyapi": "seedream-4.5", "vtrix": "spark_dream_4_5"}),
        ("seedream-5", {"vtrix": "spark_dream_5_0"}),
        ("recraft", {"journeyapi": "recraft", "kkiai": "recraft-ai/recraft-v3"}),
    ],
)
def test_one_image_model_is_one_model_with_several_offers(model: str, offers: dict[str, str]) -> None:
    """Under every wire id; models with an unstated version stay separate."""
    assert {offer.provider: offer.wire_id for offer in _OFFERS if offer.model == model} == offers


def test_each_provider_has_a_wire_id_once() -> None:
    """Two models under one wire id would be one model."""
    assert set(Counter((offer.provider, offer.wire_id) for offer in _OFFERS).values()) == {1}


def test_every_model_has_a_short_id_and_an_offer() -> None:
    """Each id costs tokens in every conversation."""
    models = registry.load().models
    assert {offer.model for offer in _OFFERS} == set(models)
    for id_, model in models.items():
        assert len(id_) <= 24
        assert id_ == id_.lower().replace("_", "-")
        assert model.sources


def test_the_models_of_journeyapi_stay_first() -> None:
    """Callers know their order."""
    journeyapi = [offer.model for offer in _OFFERS if offer.provider == "journeyapi"]
    assert list(registry.load().models)[: len(journeyapi)] == journeyapi


@_EVERY_OFFER
def test_every_offer_has_sources(offer: Offer) -> None:
    """They are URLs."""
    assert offer.sources
    assert all(source.startswith("https://") for source in offer.sources)


@_EVERY_OFFER
def test_every_image_has_a_field(offer: Offer) -> None:
    """One field for each image, or one for all."""
    taken = offer.images
    assert bool(taken.fields) is taken.is_taken
    assert taken.as_array or len(taken.fields) == (taken.maximum if taken.is_taken else 0)
    assert len(taken.fields) == 1 or not taken.as_array
    assert taken.minimum <= taken.maximum


@_EVERY_OFFER
def test_parameters_that_exclude_each_other_are_parameters(offer: Offer) -> None:
    """No field is written twice."""
    assert {name for names in offer.exclusive for name in names} <= set(offer.parameters)
    assert ("width" in offer.parameters) is ("height" in offer.parameters)
    wire_names = Counter(parameter.wire_name or name for name, parameter in offer.parameters.items())
    assert set(wire_names.values()) <= {1}
    assert not offer.size_field or {"width", "height"} <= set(offer.parameters)


@pytest.mark.parametrize("offer", _BY_RATIO, ids=[f"{o.model}@{o.provider}" for o in _BY_RATIO])
def test_an_aspect_ratio_becomes_a_size_within_the_limits(offer: Offer) -> None:
    """At both ends of the range: the sides, rounded to their steps, and their product."""
    assert ("aspect_ratio", "width") in [names[-2:] for names in offer.exclusive]
    assert ("aspect_ratio", "height") in [names[-2:] for names in offer.exclusive]
    ratio = offer.parameters["aspect_ratio"]
    assert offer.ratio_pixels is not None
    assert (offer.min_pixels or 0) < offer.ratio_pixels <= (offer.max_pixels or offer.ratio_pixels)
    for bound in (ratio.minimum, ratio.maximum):
        shape = AspectRatio.parse(str(bound))
        assert shape is not None
        wide = Fraction(shape.width, shape.height)
        for name, square in (("width", offer.ratio_pixels * wide), ("height", offer.ratio_pixels / wide)):
            side = offer.parameters[name]
            step = side.multiple_of or 1
            length = round(float(square) ** 0.5 / step) * step
            assert float(side.minimum or 1) <= length <= float(side.maximum or length)


@pytest.mark.parametrize(
    ("provider", "wire_id", "unit", "cost", "further"),
    [
        ("bfl", "flux-kontext-pro", "usd", "0.04", None),
        ("bfl", "flux-kontext-max", "usd", "0.08", None),
        ("bfl", "flux-pro-1.1", "usd", "0.04", None),
        ("bfl", "flux-pro-1.1-ultra", "usd", "0.06", None),
        ("bfl", "flux-pro-1.0-fill", "usd", "0.05", None),
        ("bfl", "flux-2-pro", "usd", "0.03", "0.015"),
        ("bfl", "flux-2-max", "usd", "0.07", "0.03"),
        ("bfl", "flux-2-flex", "usd", "0.05", "0.05"),
        ("bfl", "flux-2-klein-4b", "usd", "0.014", "0.001"),
        ("bfl", "flux-2-klein-9b", "usd", "0.015", "0.002"),
    ],
)
def test_the_price_of_an_image_is_that_of_the_source(
    provider: str, wire_id: str, unit: str, cost: str, further: str | None
) -> None:
    """Exactly: without binary fractions."""
    offer = _offer(provider, wire_id)
    assert {"usd": offer.usd, "credits": offer.credits} == {"usd": None, "credits": None, unit: Decimal(cost)}
    assert offer.further_megapixel == (Decimal(further) if further else None)


def test_the_unit_of_charges_follows_from_prices_or_facts() -> None:
    """If neither states it, it is unknown."""
    units = {name: facts.unit for name, facts in registry.load().providers.items()}
    assert units == {"journeyapi": "credits", "vtrix": "usd", "kkiai": None, "replicate": None, "bfl": "usd"}
    for name, stated in units.items():
        assert len({stated, *(offer.unit for offer in _OFFERS if offer.provider == name)} - {None}) <= 1


def test_an_unstated_cost_stays_unstated() -> None:
    """It is neither zero nor the maker's price."""
    costly = {(o.provider, o.wire_id) for o in _OFFERS if o.usd is not None or o.credits is not None}
    assert {provider for provider, _ in costly} == {"journeyapi", "bfl"}
    assert not {("bfl", "flux-dev"), ("bfl", "flux-2-pro-preview"), ("bfl", "flux-2-klein-9b-preview")} & costly


@pytest.mark.parametrize(
    ("provider", "wire_id", "name", "ours", "sent"),
    [
        ("kkiai", "black-forest-labs/flux-kontext-pro", "output_format", "jpeg", "jpg"),
        ("kkiai", "black-forest-labs/flux-1.1-pro-ultra", "output_format", "jpeg", "jpg"),
        ("kkiai", "google/imagen-4", "output_format", "jpeg", "jpg"),
        ("replicate", "black-forest-labs/flux-1.1-pro", "output_format", "jpeg", "jpg"),
        ("vtrix", "flux_kontext_pro", "output_format", "jpeg", "jpeg"),
        ("bfl", "flux-2-pro", "output_format", "jpeg", "jpeg"),
        ("vtrix", "flux_2_pro", "safety_tolerance", "2", "2"),
        ("vtrix", "kirin_image_omni", "resolution", "2K", "2k"),
        ("vtrix", "spark_dream_4_5", "resolution", "2K", "2K"),
    ],
)
def test_values_have_the_provider_s_spelling(provider: str, wire_id: str, name: str, ours: str, sent: str) -> None:
    """Our spelling is the same everywhere."""
    assert _offer(provider, wire_id).parameters[name].wire_values.get(ours, ours) == sent


@pytest.mark.parametrize("provider", ["kkiai", "replicate"])
def test_the_maximum_of_safety_tolerance_is_lower_with_an_image_at_replicate(provider: str) -> None:
    """2 instead of 6, also at KKIAI."""
    tolerance = _offer(provider, "black-forest-labs/flux-kontext-pro").parameters["safety_tolerance"]
    assert (tolerance.minimum, tolerance.maximum, tolerance.maximum_with_images) == (0, 6, 2)


@pytest.mark.parametrize(
    ("provider", "wire_id", "encodings"),
    [
        ("vtrix", "flux_pro_11", ("base64",)),
        ("vtrix", "flux_kontext_pro", ("url", "base64")),
        ("vtrix", "spark_dream_4_5", ("url", "data_uri")),
        ("vtrix", "kirin_v2_image", ("url", "base64")),
        ("vtrix", "viduq2_reference2image", ("url", "data_uri")),
        ("vtrix", "vtrix_edit_transform", ("url",)),
        ("kkiai", "black-forest-labs/flux-kontext-dev", ("url", "data_uri")),
        ("replicate", "black-forest-labs/flux-1.1-pro", ("url", "data_uri")),
        ("bfl", "flux-2-pro", ("url", "base64")),
        ("bfl", "flux-pro-1.1-ultra", ("base64",)),
        ("bfl", "flux-pro-1.0-fill", ("base64",)),
    ],
)
def test_images_are_sent_in_the_forms_of_the_sources(provider: str, wire_id: str, encodings: tuple[str, ...]) -> None:
    """A data prefix is sent only if it is required."""
    assert _offer(provider, wire_id).images.encodings == encodings


def test_the_lifetime_of_links_is_stated() -> None:
    """Ten minutes at BFL, an hour at Replicate and at KKIAI on its hosts; Vtrix does not state it."""
    reported = {(offer.provider, offer.expires_after_s) for offer in _OFFERS if offer.provider != "journeyapi"}
    assert reported == {("bfl", 600), ("replicate", 3600), ("kkiai", 3600), ("vtrix", None)}


_GRIDS = "midjourney reroll vary vary_subtle vary_strong"
_FOLLOW_UPS = (
    "midjourney midjourney-blend reroll vary vary_subtle vary_strong single upscale_subtle upscale_creative "
    "pan_left pan_right pan_up pan_down"
)
_ACTIONS: list[tuple[Any, ...]] = [
    # id, endpoint, fields, parents, whether the number is sent, credits, result
    ("single", "/upscale-1x", {}, _GRIDS, True, 2, "single"),
    ("upscale_2x", "/upscale-2x-4x", {"type": "2x"}, _FOLLOW_UPS, True, 2, "single"),
    ("upscale_4x", "/upscale-2x-4x", {"type": "4x"}, _FOLLOW_UPS, True, 2, "single"),
    ("vary", "/variations", {}, _GRIDS, True, 4, "grid"),
    ("reroll", "/reroll", {}, "midjourney", False, 4, "grid"),
    ("upscale_subtle", "/upscale-alt", {"type": "subtle"}, "single", False, 4, "single"),
    ("upscale_creative", "/upscale-alt", {"type": "creative"}, "single", False, 4, "single"),
    ("vary_subtle", "/variations", {"index": "subtle"}, "single", False, 4, "grid"),
    ("vary_strong", "/variations", {"index": "strong"}, "single", False, 4, "grid"),
    ("pan_left", "/pan", {"direction": "left"}, "single", False, 4, "grid"),
    ("pan_right", "/pan", {"direction": "right"}, "single", False, 4, "grid"),
    ("pan_up", "/pan", {"direction": "up"}, "single", False, 4, "grid"),
    ("pan_down", "/pan", {"direction": "down"}, "single", False, 4, "grid"),
]


def test_actions_are_those_of_the_source() -> None:
    """Endpoint, fields, parents, price and result; only an upscale takes any URL, only a reroll a prompt."""
    actions = registry.load().actions
    assert [
        (a.id, a.endpoint, dict(a.constants), " ".join(a.parents), a.sends_number, int(a.credits or 0), str(a.result))
        for a in actions
    ] == _ACTIONS
    assert {a.id: a.images.fields for a in actions if a.images.is_taken} == {
        "upscale_2x": ("image_url",),
        "upscale_4x": ("image_url",),
    }
    assert [a.id for a in actions if a.prompt == "optional"] == ["reroll"]
    assert {a.provider for a in actions} == {"journeyapi"}

"""Model names as callers write them, and the errors for unknown ones."""

import pytest
from support import SERVICES, make_request

from journey_mcp import registry
from journey_mcp.core.errors import UnknownModel
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import Tool
from journey_mcp.registry import Catalog
from journey_mcp.routing import model_names, validation

CATALOG = registry.load().catalog(["journeyapi"])
EVERYTHING = registry.load().catalog(list(SERVICES))


@pytest.mark.parametrize(
    ("model", "near"),
    [("flux-kontext", "flux-"), ("mid-journey", "midjourney"), ("Flux-Pro", "flux-pro"), ("xyzzy-000", "one of these")],
)
def test_the_error_of_an_unknown_model_names_the_nearest(model: str, near: str) -> None:
    """And all available models."""
    with pytest.raises(UnknownModel) as raised:
        validation.offers_of(make_request(model=model), CATALOG)
    assert near in (raised.value.failure.next_step or "")
    assert "z-image" in raised.value.failure.message


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("black-forest-labs/flux-kontext-pro", "flux-kontext-pro"),
        ("FLUX.1 Kontext [pro]", "flux-kontext-pro"),
        ("flux kontext pro", "flux-kontext-pro"),
        ("flux_kontext_pro", "flux-kontext-pro"),
        ("Kontext Flux Pro", "flux-kontext-pro"),
        ("midjourney v7", "midjourney"),
        ("Midjourney V7", "midjourney"),
        ("midjourney/v7", "midjourney"),
        ("Midjourney 7", "midjourney"),
        ("MJ", "midjourney"),
        ("mj v7", "midjourney"),
        ("flux-pro@latest", "flux-pro"),
        ("FLUX.1 [dev]", "flux-dev"),
        ("MidJourney", "midjourney"),
        ("google/nano banana 2", "nano-banana-2"),
        ("nano.banana", "nano-banana"),
        ("nanobanana2", "nano-banana-2"),
        ("black-forest-labs/flux-kontext-pro:0f1e2d", "flux-kontext-pro"),
    ],
)
def test_a_model_is_resolved_from_its_name_as_people_write_it(name: str, model: str) -> None:
    """With a notice."""
    request, notices = model_names.with_resolved_model(make_request(model=name), CATALOG)
    assert (request.model, notices) == (model, (Notice.of("model_read", given=name, taken=model),))
    assert model_names.with_resolved_model(make_request(model=model), CATALOG) == (make_request(model=model), ())


@pytest.mark.parametrize(
    "name",
    [
        "flux",
        "nano banana 3",
        "nano-banana v2",
        "midjourney v6",
        "flux-1.1-pro",
        "flux-pro-1.1",
        "recraft v3",
        "dall-e-3",
        "pro",
        "",
        "midjourney niji",
        "v7",
    ],
)
def test_a_name_that_means_no_model_or_several_stays(name: str) -> None:
    """No guess is paid."""
    assert model_names.with_resolved_model(make_request(model=name), CATALOG) == (make_request(model=name), ())


def test_the_near_name_of_a_model_of_the_other_tool_names_that_tool() -> None:
    """It stays unknown to this tool."""
    with pytest.raises(UnknownModel, match=r"Did you mean flux-kontext-pro\? That is a model of edit_image") as raised:
        validation.offers_of(make_request(model="flux-kontxt-pro"), CATALOG)
    assert raised.value.failure.next_step == (
        "Call edit_image with model='flux-kontext-pro', or imagine with one of its own models."
    )


@pytest.mark.parametrize(
    ("name", "catalog", "tool", "nearest"),
    [
        ("dall-e-3", CATALOG, "imagine", "gpt-image-1.5"),
        ("DALL·E 3", CATALOG, "imagine", "gpt-image-1.5"),
        ("openai/dall-e-2", CATALOG, "edit_image", "gpt-image-1.5"),
        ("gpt-image-2", CATALOG, "imagine", "gpt-image-1.5"),
        ("imagen-3", CATALOG, "imagine", "nano-banana-2"),
        ("imagen-3", EVERYTHING, "imagine", "imagen-4"),
        ("sdxl", CATALOG, "imagine", "flux-2-dev"),
        ("stability-ai/sdxl:39ed52f2", EVERYTHING, "imagine", "stable-diffusion"),
        ("sd3.5", EVERYTHING, "imagine", "stable-diffusion"),
        ("gemini-2.5-flash-image", CATALOG, "edit_image", "nano-banana-2"),
        ("seedream", CATALOG, "imagine", "seedream-4.5"),
        ("ideogram-v2", CATALOG, "imagine", "ideogram-v3"),
        ("flux", CATALOG, "edit_image", "flux-kontext-pro"),
        ("firefly-3", CATALOG, "imagine", "recraft"),
        ("dall-e-3", registry.load().catalog(["replicate"]), "imagine", "flux-schnell"),
    ],
)
def test_the_error_of_a_model_of_other_services_names_the_nearest_by_purpose(
    name: str, catalog: Catalog, tool: Tool, nearest: str
) -> None:
    """A configured model of the tool, for the next call."""
    with pytest.raises(UnknownModel) as raised:
        validation.offers_of(make_request(model=name, tool=tool), catalog)
    assert f"The nearest by purpose is {nearest} ({catalog.models[nearest].best_at})." in str(raised.value)
    assert raised.value.failure.next_step == f"Call again with model={nearest!r} or another of these."
    assert nearest in catalog.offers_for(tool)


@pytest.mark.parametrize("name", ["imagen-4", "google/imagen-4", "Imagen 4"])
def test_the_error_of_a_model_without_a_key_names_a_model_and_the_key(name: str) -> None:
    """A model that works now, and the key that adds the requested one."""
    with pytest.raises(UnknownModel, match="No configured provider offers imagen-4; KKIAI would") as raised:
        validation.offers_of(make_request(model=name), CATALOG)
    assert raised.value.failure.next_step == (
        "Call again with model='nano-banana-2' or another of these; or ask the person to set KKIAI_API_KEY."
    )

"""The texts of prompts: models are resolved, and some are chosen."""

import pytest

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.settings import read_settings
from journey_mcp.tools.prompts import PROMPTS, models_of, render
from journey_mcp.tools.tool_set import read_tool_set

ALL = read_tool_set(read_settings({"JOURNEYAPI_API_KEY": "k"}))
EDITS = read_tool_set(read_settings({"BFL_API_KEY": "k", "JOURNEY_MCP_DEFAULT_EDIT_MODEL": "flux-fill-pro"}))
BY_NAME = {prompt.name: prompt for prompt in PROMPTS}


def text_of(name: str, **given: str) -> str:
    """Return the text of a prompt."""
    return render(BY_NAME[name], given, ALL.catalog, ALL.defaults)


def test_models_are_compared_in_the_given_order() -> None:
    """Each once, in any spelling."""
    assert "Models: flux-2-dev, midjourney\n" in text_of(
        "compare_models", prompt="a kite", models="Flux 2 Dev, MJ, midjourney,"
    )


def test_three_families_are_compared_by_default() -> None:
    """The default model is the first."""
    models = text_of("compare_models", prompt="a kite").partition("Models: ")[2].partition("\n")[0].split(", ")
    assert models[0] == "midjourney"
    assert len({ALL.catalog.models[model].family for model in models}) == 3


def test_a_prompt_with_one_image_takes_no_model_that_needs_two() -> None:
    """Neither is such a model completed."""
    models = models_of(BY_NAME["product_photo"], ALL.catalog)
    assert "midjourney-blend" not in models
    assert {"midjourney", "seededit"} < set(models)


def test_at_most_six_models_are_compared() -> None:
    """Each of them costs money."""
    many = ", ".join(models_of(BY_NAME["compare_models"], ALL.catalog)[:7])
    with pytest.raises(InvalidArguments, match="must be two to 6 models"):
        text_of("compare_models", prompt="a kite", models=many)


def test_the_default_models_are_named() -> None:
    """Those of both tools, each once."""
    assert "Leave out model: the default (midjourney or flux-kontext-pro) fits." in text_of(
        "styled_portrait", person="a sailor", style="linocut"
    )
    said = render(BY_NAME["product_photo"], {"product": "x"}, EDITS.catalog, EDITS.defaults)
    assert f"({EDITS.defaults.imagine} or flux-fill-pro)" in said

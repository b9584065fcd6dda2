"""The facts about models as resources have them."""

import json

from support import SERVICES

from journey_mcp.settings import read_settings
from journey_mcp.tools.model_facts import list_object, model_object
from journey_mcp.tools.tool_set import read_tool_set

CATALOG = read_tool_set(read_settings(dict.fromkeys((key for key, _ in SERVICES.values()), "k"))).catalog


def test_the_list_has_every_model_with_its_prices() -> None:
    """In the order of the registry; a price that is not stated says so."""
    models = {model["id"]: model for model in list_object(CATALOG)["models"]}
    assert list(models) == list(CATALOG.models)
    assert models["midjourney"] == {
        "id": "midjourney",
        "name": "Midjourney",
        "maker": "Midjourney",
        "best_at": "art, mood and style; four candidates to choose from",
        "tools": ["imagine"],
        "prices": {"journeyapi": "4 credits"},
    }
    assert models["flux-2-max"]["prices"] == {
        "journeyapi": "4 credits",
        "bfl": "0.07 usd, plus 0.03 for each further megapixel",
    }
    assert models["kling-v2"]["prices"] == {"vtrix": "not stated"}


def test_a_model_has_what_a_caller_needs() -> None:
    """Advice, limits, values and input images of each offer, in our names."""
    plain = model_object(CATALOG.models["midjourney"], CATALOG.offers["midjourney"])
    assert plain["prompt_advice"][0] == "Lead with the subject, then style, light and mood."
    (offer,) = plain["offers"]
    assert (offer["result"], offer["input_images"]) == ("four candidates", {"support": "none"})
    assert "16:9" in offer["arguments"]["aspect_ratio"]["values"]
    fill = model_object(CATALOG.models["flux-fill-pro"], CATALOG.offers["flux-fill-pro"])["offers"][0]
    assert (fill["tools"], fill["input_images"]["mask"], fill["input_images"]["as_data"]) == (
        ["edit_image"],
        True,
        True,
    )
    assert {"minimum", "maximum"} <= fill["arguments"]["guidance"].keys()


def test_every_model_is_json_without_unknown_values() -> None:
    """An absent fact is not stated."""
    for model in CATALOG.models.values():
        text = json.dumps(model_object(model, CATALOG.offers[model.id]))
        assert "null" not in text
        assert "wire" not in text
        assert len(text) < 20_000

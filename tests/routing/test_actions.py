"""Names of actions, and which must come first."""

from dataclasses import replace

import pytest

from journey_mcp import registry
from journey_mcp.core.errors import UnknownAction
from journey_mcp.core.requests import ImageRequest
from journey_mcp.registry import Catalog
from journey_mcp.routing.actions import required_first, takes, with_resolved_action

CATALOG = registry.load().catalog(["journeyapi"])


def resolved(name: str, catalog: Catalog = CATALOG) -> str | None:
    """Return the action that a name means."""
    request = ImageRequest(tool="refine_image", action=name, model=name)
    return with_resolved_action(request, catalog)[0].action


@pytest.mark.parametrize("action", CATALOG.actions)
def test_an_action_is_known_by_its_id_title_and_other_names(action: str) -> None:
    """In any case, with any signs, in any order of words."""
    (facts,) = CATALOG.actions[action]
    for name in (action, facts.title, *facts.aliases):
        for spelled in (name, name.upper(), name.replace("_", "-"), " ".join(reversed(name.split("_")))):
            assert resolved(spelled) == action, spelled


@pytest.mark.parametrize("name", ["", "upscale", "pan", "zoom out", "vary region", "describe", "_" * 200])
def test_an_unknown_name(name: str) -> None:
    """The error lists all actions, and quotes little."""
    with pytest.raises(UnknownAction, match="refine_image takes: single, upscale_2x") as raised:
        resolved(name)
    assert len(str(raised.value)) < 500


def test_a_name_that_two_actions_have() -> None:
    """It means neither."""
    (vary,), (reroll,) = CATALOG.actions["vary"], CATALOG.actions["reroll"]
    actions = {"vary": (replace(vary, aliases=("again",)),), "reroll": (reroll,)}
    with pytest.raises(UnknownAction):
        resolved("again", replace(CATALOG, actions=actions))


@pytest.mark.parametrize(
    ("action", "kind", "first"),
    [
        ("pan_left", "midjourney", "single"),
        ("pan_left", "vary_strong", "single"),
        ("pan_left", "pan_left", None),
        ("pan_left", "z-image", None),
        ("vary", "single", None),
        ("reroll", "vary", None),
        ("upscale_2x", "z-image", None),
    ],
)
def test_the_action_that_must_come_first(action: str, kind: str, first: str | None) -> None:
    """Only one that takes a single image out of a grid: no detour over another image."""
    (facts,) = CATALOG.actions[action]
    assert not takes(facts, kind)
    found = required_first(facts, kind, CATALOG)
    assert (found and found.id) == first

"""What can be done with an image: the entries of `actions_of`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support import (
    Environment,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment_without_copies,
    running_studio,
)

from journey_mcp.core.predictions import Status
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.settings import read_settings
from journey_mcp.tools.defaults import Defaults, defaults_within, read_defaults

GRID = "midjourney"
NEEDS = "single (2 credits)"


def defaults_of(env: Environment) -> Defaults:
    """Return the defaults of the studio's settings."""
    return read_defaults(env.studio.settings, env.studio.catalog, takes_files=True)


def entries(env: Environment, task: Task, number: int = 1) -> Sequence[dict[str, Any]]:
    """Return what can be done with an image."""
    return env.studio.actions_of(task, defaults_of(env))[f"{task.id}.{number}"]


def short(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the action or the tool and model of each entry."""
    return [entry.get("action") or f"{entry['tool']} {entry['model']}" for entry in found]


async def refined(env: Environment, image: str, action: str) -> Task:
    """Run an action."""
    request = ImageRequest(tool="refine_image", action=action, model=action, image=image)
    return await env.studio.wait_for_new(await created(env.studio, request), 900)


async def test_a_candidate_of_a_grid(tmp_path: Path) -> None:
    """What needs a single image first says so, with its price; the four directions do not fit."""
    async with make_environment_without_copies(tmp_path) as env:
        task = await env.made(model=GRID)
        every = env.studio.actions_of(task, defaults_of(env))
        assert list(every) == [f"{task.id}.{number}" for number in (1, 2, 3, 4)]
        found = entries(env, task, 2)
        assert found[0] == {"tool": "refine_image", "action": "single", "title": "Single image", "cost": "2 credits"}
        assert {
            "tool": "edit_image",
            "model": "flux-kontext-pro",
            "title": "Edit",
            "cost": "4 credits",
            "takes_mask": False,
        } in found
        assert short(found) == [
            *("single", "upscale_2x", "upscale_4x", "vary", "reroll", "edit_image flux-kontext-pro"),
            *("upscale_subtle", "upscale_creative", "vary_subtle", "vary_strong"),
            *("imagine nano-banana-2", "imagine seedream-4.5"),
        ]
        assert {entry.get("action") for entry in found if entry.get("needs") == NEEDS} == {
            *("upscale_subtle", "upscale_creative", "vary_subtle", "vary_strong")
        }


async def test_a_single_image(tmp_path: Path) -> None:
    """Everything that takes it, with all four directions."""
    async with make_environment_without_copies(tmp_path) as env:
        single = await refined(env, f"{(await env.made(model=GRID)).id}.2", "single")
        found = entries(env, single)
        assert short(found)[:10] == [
            *("upscale_2x", "upscale_4x", "upscale_subtle", "upscale_creative", "vary_subtle", "vary_strong"),
            *("pan_left", "pan_right", "pan_up", "pan_down"),
        ]
        assert len(found) == 12
        assert not [entry for entry in found if "needs" in entry]


async def test_an_image_of_another_model_or_provider(tmp_path: Path) -> None:
    """Upscales by its link, an edit, one with a mask, and the same prompt with other models."""
    async with make_wide_environment_without_copies(tmp_path) as env:
        for model, provider in (("z-image", "journeyapi"), ("flux-2-pro", "bfl")):
            found = entries(env, await env.made(model=model, provider=provider))
            assert short(found)[:4] == [
                *("upscale_2x", "upscale_4x", "edit_image flux-kontext-pro", "edit_image flux-fill-pro")
            ]
            assert [entry.get("takes_mask") for entry in found[2:4]] == [False, True]
            assert found[4] == {
                "tool": "imagine",
                "model": "midjourney",
                "title": "Same prompt, Midjourney",
                "cost": "4 credits",
            }


async def test_an_upscaled_url_has_no_prompt_to_repeat(tmp_path: Path) -> None:
    """Nor a model."""
    async with make_environment_without_copies(tmp_path) as env:
        other = await env.made()
        upscaled = await refined(env, other.images[0].url, "upscale_2x")
        assert "imagine midjourney" in short(entries(env, upscaled))


async def test_without_a_model_that_edits_no_edit_is_offered(tmp_path: Path) -> None:
    """As the tool is not."""
    async with make_environment_without_copies(tmp_path) as env:
        task = await env.made()
        found = env.studio.actions_of(task, replace(defaults_of(env), edit_image=""))
        assert {entry["tool"] for entry in found[f"{task.id}.1"]} == {"refine_image", "imagine"}


async def test_only_what_a_caller_may_use_is_offered(tmp_path: Path) -> None:
    """A caller for whom one provider is allowed, with an image that another one made before."""
    async with make_wide_environment_without_copies(tmp_path) as env:
        task = await env.made(model=GRID)
        part = env.studio.catalog.only(["bfl"])
        offered = env.studio.actions_of(task, defaults_within(defaults_of(env), part), part)[f"{task.id}.1"]
        assert {entry["tool"] for entry in offered} == {"edit_image", "imagine"}
        assert {entry["model"] for entry in offered} <= part.models.keys()


async def test_nothing_can_be_done_with_a_task_without_images(tmp_path: Path) -> None:
    """Running, or failed."""
    async with make_environment_without_copies(tmp_path, "submit:hang", "submit:fail_task=no,after=1") as env:
        running = await env.accepted(model=GRID)
        failed = await env.made(model=GRID, prompt="another")
        assert failed.status is Status.FAILED
        for task in (running, failed):
            assert env.studio.actions_of(task, defaults_of(env)) == {}


async def test_a_tool_that_is_not_listed_is_not_offered(tmp_path: Path) -> None:
    """It could not be called."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_TOOLS="imagine,fetch_task,edit_image") as env:
        found = entries(env, await env.made(model=GRID))
        assert {entry["tool"] for entry in found} == {"edit_image", "imagine"}


async def test_an_image_of_a_sandbox_that_has_ended(tmp_path: Path) -> None:
    """Only the actions that take an image reach it: the next sandbox hosts its copy."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})
    async with running_studio(settings) as studio:
        task = await studio.wait_for_new(await created(studio, make_request(model=GRID)), 900)
        defaults = read_defaults(settings, studio.catalog, takes_files=True)
        assert "vary" in short(studio.actions_of(task, defaults)[f"{task.id}.1"])
    async with running_studio(settings) as studio:
        found = short(studio.actions_of(task, defaults)[f"{task.id}.1"])
        assert found[:3] == ["upscale_2x", "upscale_4x", "edit_image flux-kontext-pro"]

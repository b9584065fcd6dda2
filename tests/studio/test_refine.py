"""Refining images: which action runs on which parent, what is sent, and what is refused before anything is paid."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import (
    Environment,
    coarse,
    created,
    make_environment_without_copies,
    make_request,
    make_wide_environment,
    make_wide_environment_without_copies,
    running_studio,
    settings_for,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import (
    ActionRequired,
    DataNotTaken,
    Declined,
    ImageNotRefinable,
    ImageRequired,
    InvalidRequest,
    InvalidWebhook,
    MalformedUrl,
    NotConfirmed,
    OverBudget,
    UnknownAction,
    UnknownImage,
    UnreadablePrompt,
    UnsupportedOption,
    UnsupportedValue,
)
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.budget import Confirm, ConfirmationRequest
from journey_mcp.settings import Settings, read_settings
from journey_mcp.studio import Studio

PUBLIC = "https://images.example.com/boat.png"
GRID_ACTIONS = ("single", "upscale_2x", "upscale_4x", "vary", "reroll")
SINGLE_ACTIONS = (
    *("upscale_subtle", "upscale_creative", "vary_subtle", "vary_strong"),
    *("pan_left", "pan_right", "pan_up", "pan_down"),
)


def refine(image: str | None, action: str, **more: Any) -> ImageRequest:
    """Return a request that refines an image."""
    return ImageRequest(tool="refine_image", action=action, model=action, image=image, **more)


async def refined(env: Environment, image: object, action: str, **more: Any) -> Task:
    """Run an action, and return its task when it has ended."""
    return await env.studio.wait_for_new(await created(env.studio, refine(str(image), action, **more)), 900)


async def grid(env: Environment, **more: Any) -> Task:
    """Return a finished task with four images."""
    return await env.made(model="midjourney", **more)


async def refusal(studio: Studio, request: ImageRequest, principal: Principal = LOCAL, **more: Any) -> InvalidRequest:
    """Return why a call is refused."""
    with pytest.raises(InvalidRequest) as raised:
        await studio.create(request, principal, **more)
    assert raised.value.failure.next_step
    return raised.value


def endpoints(env: Environment) -> list[str]:
    """Return the endpoints of the creating requests, in order."""
    return [entry.endpoint for entry in env.upstream.sandbox.request_log.submissions]


def charged(env: Environment) -> float:
    """Return what the sandbox has charged."""
    return sum(entry.charged for entry in env.upstream.sandbox.request_log.submissions)


def parent_id(task: Task) -> str:
    """Return the provider's id of a parent."""
    return str(task.prediction_id)


WIRE: Mapping[str, tuple[str, dict[str, str], int, int]] = {
    # endpoint in the request log, fields besides the parent, images, credits
    "single": ("upscale_1x", {"index": "3"}, 1, 2),
    "upscale_2x": ("upscale_2x_4x", {"index": "3", "type": "2x"}, 1, 2),
    "upscale_4x": ("upscale_2x_4x", {"index": "3", "type": "4x"}, 1, 2),
    "vary": ("variations", {"index": "3"}, 4, 4),
    "reroll": ("reroll", {}, 4, 4),
    "upscale_subtle": ("upscale_alt", {"type": "subtle"}, 1, 4),
    "upscale_creative": ("upscale_alt", {"type": "creative"}, 1, 4),
    "vary_subtle": ("variations", {"index": "subtle"}, 4, 4),
    "vary_strong": ("variations", {"index": "strong"}, 4, 4),
    "pan_left": ("pan", {"direction": "left"}, 4, 4),
    "pan_right": ("pan", {"direction": "right"}, 4, 4),
    "pan_up": ("pan", {"direction": "up"}, 4, 4),
    "pan_down": ("pan", {"direction": "down"}, 4, 4),
}


async def test_every_action(tmp_path: Path) -> None:
    """Each is sent to its endpoint with the documented fields, and has the documented result and price."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        single = await refined(env, f"{first.id}.3", "single")
        assert set(WIRE) == set(env.studio.catalog.actions)
        for action, (endpoint, fields, images, price) in WIRE.items():
            parent = first if action in GRID_ACTIONS else single
            number = 3 if action in GRID_ACTIONS else 1
            before = charged(env)
            task = await refined(env, f"{parent.id}.{number}", action)
            assert (task.status, len(task.images)) == (Status.SUCCEEDED, images), action
            assert env.sent[-1] == {**fields, "parent_task_id": parent_id(parent)}
            assert endpoints(env)[-1] == endpoint
            assert task.cost is not None
            assert task.cost.amount == price
            assert charged(env) - before == price
            assert task.charges == {"credits": Decimal(price)}
            assert (task.request.action, task.request.model) == (action, "midjourney")
            assert task.request.image == f"{parent.id}.{number}"
            assert task.request.prompt == first.request.prompt
            assert not task.notices


async def test_an_upscale_takes_a_single_image_without_a_number(tmp_path: Path) -> None:
    """`index` is for grids."""
    async with make_environment_without_copies(tmp_path) as env:
        single = await refined(env, f"{(await grid(env)).id}.1", "single")
        await refined(env, f"{single.id}.1", "upscale_4x")
        assert env.sent[-1] == {"type": "4x", "parent_task_id": parent_id(single)}


async def test_refined_images_are_refined_again(tmp_path: Path) -> None:
    """Grid, single, variation, single of it, pan, upscale of a pan."""
    async with make_environment_without_copies(tmp_path) as env:
        image = f"{(await grid(env)).id}.4"
        for action in ("vary", "single", "vary_strong", "single", "pan_up", "upscale_2x"):
            task = await refined(env, image, action)
            assert task.status is Status.SUCCEEDED
            image = f"{task.id}.1"
        assert env.sent[-1]["index"] == "1"


async def test_a_reroll_takes_a_prompt(tmp_path: Path) -> None:
    """Without one the old one applies, and none is sent; with one the prompt's switches are read."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        again = await refined(env, f"{first.id}.1", "reroll", prompt="a boat —ar 16:9")
        assert env.sent[-1] == {"prompt": "a boat --ar 16:9", "parent_task_id": parent_id(first)}
        assert again.request.prompt == "a boat --ar 16:9"
        assert [notice.code for notice in again.notices] == ["switch_dash"]
        more = [refine(f"{first.id}.1", "reroll", prompt=text) for text in ("a boat --stylise 5", "a bo\ufffdt")]
        assert isinstance(await refusal(env.studio, more[0]), UnsupportedValue)
        assert isinstance(await refusal(env.studio, more[1]), UnreadablePrompt)


async def test_a_reroll_needs_no_number(tmp_path: Path) -> None:
    """The others do."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        assert (await refined(env, first.id, "reroll")).request.image == f"{first.id}.1"
        error = await refusal(env.studio, refine(first.id, "vary"))
        assert isinstance(error, UnknownImage)
        assert f"{first.id}.4" in str(error.failure.next_step)


async def test_an_image_may_be_named_by_its_url(tmp_path: Path) -> None:
    """It is an image of ours all the same, and refined on its parent."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        task = await refined(env, first.images[1].url, "vary")
        assert env.sent[-1] == {"index": "2", "parent_task_id": parent_id(first)}
        assert task.request.image == f"{first.id}.2"


@pytest.mark.parametrize("action", ["upscale_2x", "upscale_4x"])
async def test_an_upscale_takes_any_public_url(tmp_path: Path, action: str) -> None:
    """And has no model then."""
    async with make_environment_without_copies(tmp_path) as env:
        task = await until_accepted(env.studio, await created(env.studio, refine(PUBLIC, action)))
        assert env.sent == [{"type": action[-2:], "image_url": PUBLIC}]
        assert (task.request.model, task.request.image, task.request.prompt) == (action, PUBLIC, "")
        assert task.request.label == action


async def test_an_upscale_takes_images_of_other_models_and_providers(tmp_path: Path) -> None:
    """By their live link; a copy alone cannot be fetched."""
    async with make_wide_environment(tmp_path) as env:
        for model, provider in (("z-image", "journeyapi"), ("flux-2-pro", "bfl")):
            other = await env.made(model=model, provider=provider)
            task = await refined(env, f"{other.id}.1", "upscale_2x")
            assert env.sent[-1] == {"type": "2x", "image_url": other.images[0].url}
            assert (task.status, task.provider) == (Status.SUCCEEDED, "journeyapi")
            assert (task.request.model, task.request.prompt) == ("upscale_2x", other.request.prompt)
            assert task.request.image == f"{other.id}.1"
        env.clock.advance(900)  # links of Black Forest Labs expire after ten minutes
        error = await refusal(env.studio, refine(f"{other.id}.1", "upscale_2x"))
        assert isinstance(error, DataNotTaken)
        assert "whose link has expired" in str(error)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("https://192.168.0.1/a.png", MalformedUrl),
        ("http://images.example.com/a.png", MalformedUrl),
        (
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhV",
            DataNotTaken,
        ),
        ("[Image #1]", InvalidRequest),
    ],
)
async def test_an_upscale_takes_nothing_that_the_provider_cannot_fetch(
    tmp_path: Path, image: str, kind: type[InvalidRequest]
) -> None:
    """Before anything is sent."""
    async with make_environment_without_copies(tmp_path) as env:
        assert isinstance(await refusal(env.studio, refine(image, "upscale_2x")), kind)
        assert not env.sent


async def test_nothing_is_bought_that_was_not_asked_for(tmp_path: Path) -> None:
    """An action that needs a `single` names it with its price."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        for action in SINGLE_ACTIONS:
            error = await refusal(env.studio, refine(f"{first.id}.2", action))
            assert isinstance(error, ActionRequired), action
            assert "single costs 2 credits" in str(error), action
            assert f'"{first.id}.2" and action single (2 credits)' in str(error.failure.next_step), action
            assert endpoints(env) == ["imagine"], action


async def test_a_single_that_was_paid_for_is_used(tmp_path: Path) -> None:
    """With a notice; that of another candidate, of another caller or a failed one is not."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        await refined(env, f"{first.id}.1", "single")
        env.faults("submit:fail_task=no")
        await refined(env, f"{first.id}.2", "single")
        assert isinstance(await refusal(env.studio, refine(f"{first.id}.2", "pan_up")), ActionRequired)
        single = await refined(env, f"{first.id}.2", "single")
        task = await refined(env, f"{first.id}.2", "pan_up")
        assert env.sent[-1] == {"direction": "up", "parent_task_id": parent_id(single)}
        assert task.request.image == f"{single.id}.1"
        (notice,) = task.notices
        assert str(notice) == (
            f"pan_up takes only images made by single. {single.id}.1, which single made from {first.id}.2 before, "
            "was used; nothing more was paid for it."
        )


async def test_the_newest_of_two_singles_is_used(tmp_path: Path) -> None:
    """The provider may have forgotten the other one."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        await refined(env, f"{first.id}.2", "single")
        env.clock.advance(60)
        newest = await refined(env, f"{first.id}.2", "single")
        await refined(env, f"{first.id}.2", "vary_subtle")
        assert env.sent[-1]["parent_task_id"] == parent_id(newest)


async def test_a_single_on_its_way_is_not_bought_again(tmp_path: Path) -> None:
    """Its task is named."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        env.faults("submit:hang")
        single = await until_accepted(env.studio, await created(env.studio, refine(f"{first.id}.2", "single")))
        error = await refusal(env.studio, refine(f"{first.id}.2", "pan_up"))
        assert isinstance(error, ActionRequired)
        assert f"Call fetch_task with {single.id}" in str(error.failure.next_step)


@pytest.mark.parametrize(
    ("maker", "action", "takes"),
    [
        ("vary", "reroll", "vary"),
        ("single", "single", "pan_left"),
        ("single", "vary", "vary_subtle"),
        ("single", "reroll", "upscale_subtle"),
        ("reroll", "reroll", "vary"),
    ],
)
async def test_an_image_of_the_wrong_kind(tmp_path: Path, maker: str, action: str, takes: str) -> None:
    """The error says what the action takes, and which actions take the image."""
    async with make_environment_without_copies(tmp_path) as env:
        made = await refined(env, f"{(await grid(env)).id}.2", maker)
        error = await refusal(env.studio, refine(f"{made.id}.1", action))
        assert isinstance(error, ImageNotRefinable)
        assert f"{made.id}.1 was made by {maker}" in str(error)
        assert takes in str(error.failure.next_step)
        assert len(env.sent) == 2


async def test_a_single_of_a_pan_is_not_documented(tmp_path: Path) -> None:
    """So it is refused, as is an upscale that was upscaled."""
    async with make_environment_without_copies(tmp_path) as env:
        single = await refined(env, f"{(await grid(env)).id}.2", "single")
        for maker, action in (("pan_left", "single"), ("pan_left", "pan_left"), ("upscale_subtle", "upscale_subtle")):
            made = await refined(env, f"{single.id}.1", maker)
            assert isinstance(await refusal(env.studio, refine(f"{made.id}.1", action)), ImageNotRefinable)


async def test_an_image_of_another_model_or_provider(tmp_path: Path) -> None:
    """What else can be done with it is named."""
    async with make_wide_environment_without_copies(tmp_path) as env:
        for model, provider, says in (
            ("z-image", "journeyapi", "was made by z-image"),
            ("flux-2-pro", "bfl", "was made at bfl; this action takes only images made at journeyapi"),
        ):
            other = await env.made(model=model, provider=provider)
            error = await refusal(env.studio, refine(f"{other.id}.1", "vary"))
            assert isinstance(error, ImageNotRefinable)
            assert says in str(error)
            assert "It can be refined with upscale_2x, upscale_4x." in str(error.failure.next_step)


@pytest.mark.parametrize("image", [PUBLIC, "boat.png", "iVBORw0KGgo" * 30])
async def test_only_upscales_take_images_from_elsewhere(tmp_path: Path, image: str) -> None:
    """The others work on what the provider made."""
    async with make_environment_without_copies(tmp_path) as env:
        error = await refusal(env.studio, refine(image, "pan_left"))
        assert isinstance(error, ImageNotRefinable)
        assert "upscale_2x" in str(error.failure.next_step)


async def test_an_image_that_does_not_exist(tmp_path: Path) -> None:
    """Another principal's is answered exactly like an unknown one."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        unknown = "tsk_AAAAAAAAAAAAAAAAAAAAAA"
        mine, other = [
            await refusal(env.studio, refine(f"{id_}.1", "vary"), Principal("someone else"))
            for id_ in (first.id, unknown)
        ]
        assert isinstance(mine, UnknownImage)
        assert str(mine).replace(first.id, unknown) == str(other)
        assert mine.failure.next_step == other.failure.next_step
        assert isinstance(await refusal(env.studio, refine(f"{first.id}.5", "vary")), UnknownImage)
        assert isinstance(await refusal(env.studio, refine(None, "vary")), ImageRequired)
        assert len(env.sent) == 1


async def test_an_image_that_is_not_finished(tmp_path: Path) -> None:
    """Running, or failed."""
    async with make_environment_without_copies(tmp_path, "submit:hang", "submit:fail_task=no,after=1") as env:
        running = await env.accepted(model="midjourney")
        error = await refusal(env.studio, refine(f"{running.id}.1", "vary"))
        assert isinstance(error, UnknownImage)
        assert f"Call fetch_task with {running.id}" in str(error.failure.next_step)
        failed = await grid(env, prompt="another")
        assert failed.status is Status.FAILED
        assert isinstance(await refusal(env.studio, refine(f"{failed.id}.1", "vary")), UnknownImage)


async def test_an_incomplete_grid(tmp_path: Path) -> None:
    """The number of an image there is not known; an upscale takes its link."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        await _lose_image(env, first)
        async with running_studio(env.studio.settings, env.clock) as studio:
            error = await refusal(studio, refine(f"{first.id}.2", "vary"))
            assert isinstance(error, ImageNotRefinable)
            assert "only 3 usable images" in str(error)
            await until_accepted(studio, await created(studio, refine(f"{first.id}.2", "upscale_2x")))
        assert env.sent[-1] == {"type": "2x", "image_url": first.images[2].url}


async def _lose_image(env: Environment, task: Task) -> None:
    """Remove the second image of a stored task, as if its address had been unusable."""
    with sqlite3.connect(env.folder / "tasks.db") as connection:
        ((outcome,),) = connection.execute("SELECT outcome FROM tasks WHERE id = ?", (task.id,)).fetchall()
        plain = json.loads(outcome)
        del plain["images"][1]
        connection.execute("UPDATE tasks SET outcome = ? WHERE id = ?", (json.dumps(plain), task.id))
    connection.close()


async def test_images_of_a_sandbox_and_of_another_address(tmp_path: Path) -> None:
    """The provider does not know them: a sandbox's only by the copy, those of another address only by their link."""
    async with make_environment_without_copies(tmp_path / "one") as env:
        first = await grid(env)
        folder = tmp_path / "two"
        async with running_studio(_sandbox_settings(folder)) as studio:
            made = await studio.wait_for_new(await created(studio, make_request(model="midjourney")), 900)
            again = await studio.wait_for_new(await created(studio, refine(f"{made.id}.2", "vary")), 900)
            assert (again.status, again.provider) == (Status.SUCCEEDED, "sandbox")
        async with running_studio(_sandbox_settings(folder)) as studio:
            error = await refusal(studio, refine(f"{made.id}.2", "vary"))
            assert "was made in a sandbox that has ended: the one that runs now does not know it" in str(error)
            assert "refined with upscale_2x, upscale_4x. Nothing was charged." in (error.failure.next_step or "")
            assert "keep one running: `journey-mcp sandbox`" in (error.failure.next_step or "")
            larger = await studio.wait_for_new(await created(studio, refine(f"{made.id}.2", "upscale_2x")), 900)
            assert larger.status is Status.SUCCEEDED, larger.failure
        async with running_studio(settings_for(env.upstream.base_url, folder)) as studio:
            error = await refusal(studio, refine(f"{made.id}.2", "vary"))
            assert isinstance(error, ImageNotRefinable)
            assert "was made in a sandbox: journeyapi does not know it" in str(error)
            assert "keep one running" not in (error.failure.next_step or "")
            error = await refusal(studio, refine(f"{made.id}.2", "upscale_2x"))
            assert isinstance(error, DataNotTaken)
            assert "an earlier image of a sandbox that has ended: only its copy is left" in str(error)
            assert "JOURNEY_MCP_STORE" in (error.failure.next_step or "")
        async with sandbox.running(coarse(speed=0)) as other:
            async with running_studio(settings_for(other.base_url, tmp_path / "one")) as studio:
                error = await refusal(studio, refine(f"{first.id}.2", "vary"))
                assert f"was made at journeyapi ({env.upstream.base_url}), which this server does not use" in str(error)
                await until_accepted(studio, await created(studio, refine(f"{first.id}.2", "upscale_2x")))
            (entry,) = other.sandbox.request_log.submissions
            assert entry.request == {"type": "2x", "image_url": first.images[1].url}


def _sandbox_settings(folder: Path) -> Settings:
    return read_settings({"JOURNEY_MCP_DATA_DIR": str(folder)})


async def test_a_parent_that_the_provider_does_not_know(tmp_path: Path) -> None:
    """Refused there, and nothing is charged; no other provider is tried."""
    async with make_environment_without_copies(tmp_path, "submit:status=400,after=1") as env:
        first = await grid(env)
        task = await refined(env, f"{first.id}.2", "vary")
        assert (task.status, task.submission) == (Status.FAILED, Submission.REFUSED)
        assert task.charges == {}
        assert task.failure is not None
        assert task.failure.code == "refused"
        assert "make the image again and refine that one" in str(task.failure.next_step)


SPELLINGS = {
    "Vary (Strong)": "vary_strong",
    "strong vary": "vary_strong",
    "upscale 2x": "upscale_2x",
    "Upscale2×": "upscale_2x",
    "panLeft": "pan_left",
    "PAN-UP": "pan_up",
    "re-roll": "reroll",
    "2x": "upscale_2x",
    "variations": "vary",
}


async def test_actions_in_other_spellings(tmp_path: Path) -> None:
    """Case, signs and the order of words do not count; another name causes a notice."""
    async with make_environment_without_copies(tmp_path) as env:
        single = await refined(env, f"{(await grid(env)).id}.2", "single")
        for given, meant in SPELLINGS.items():
            image = single.request.image if meant in GRID_ACTIONS else f"{single.id}.1"
            task = await refined(env, image, given)
            assert task.request.action == meant, given
            is_other = given in {"2x", "variations"}
            assert task.notices == ((Notice.of("action_read", given=given, taken=meant),) if is_other else ())


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("upscale", "Did you mean upscale_2x or upscale_4x or upscale_subtle or upscale_creative?"),
        ("pan", "Did you mean pan_left or pan_right or pan_up or pan_down?"),
        ("rerol", "Did you mean reroll?"),
        ("describe", "refine_image takes: single, upscale_2x"),
        ("", "refine_image takes: single, upscale_2x"),
    ],
)
async def test_an_unknown_action(tmp_path: Path, given: str, near: str) -> None:
    """The error names the choices, the nearest first."""
    async with make_environment_without_copies(tmp_path) as env:
        error = await refusal(env.studio, refine(PUBLIC, given))
        assert isinstance(error, UnknownAction)
        assert near in str(error)


async def test_an_action_without_a_prompt_takes_none(tmp_path: Path) -> None:
    """It would be ignored."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        error = await refusal(env.studio, refine(f"{first.id}.2", "vary", prompt="at night"))
        assert isinstance(error, UnsupportedOption)


async def test_images_are_blended(tmp_path: Path) -> None:
    """Of two to five images, without a prompt; a blend is upscaled, but no single image is taken out of it."""
    async with make_environment_without_copies(tmp_path) as env:
        one, other = await env.made(), await env.made(prompt="another kite")
        blend = await env.made(
            tool="edit_image",
            model="midjourney-blend",
            prompt="",
            image=f"{one.id}.1",
            reference_images=(f"{other.id}.1",),
            aspect_ratio="3:2",
        )
        assert (blend.status, len(blend.images)) == (Status.SUCCEEDED, 4)
        urls = [one.images[0].url, other.images[0].url]
        assert env.sent[-1] == {"image_urls": urls, "dimension": "landscape"}
        assert endpoints(env)[-1] == "blend"
        assert (await refined(env, f"{blend.id}.4", "upscale_2x")).status is Status.SUCCEEDED
        assert env.sent[-1] == {"index": "4", "type": "2x", "parent_task_id": parent_id(blend)}
        assert isinstance(await refusal(env.studio, refine(f"{blend.id}.1", "single")), ImageNotRefinable)


# what holds for every request that creates an image


async def test_a_duplicate_call_is_paid_for_once(tmp_path: Path) -> None:
    """Another action, another candidate or `fresh` is another call; a spelling is not."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="1000credits/day") as env:
        first = await grid(env)
        calls = [("vary", 2), ("Vary", 2), ("vary", 3), ("reroll", 2), ("vary", 2)]
        made = [await env.studio.create(refine(f"{first.id}.{n}", action), LOCAL) for action, n in calls]
        ids = [one.task.id for one in made]
        assert ids[0] == ids[1] == ids[4]
        assert len(set(ids)) == 3
        assert made[1].notice is not None
        again = await env.studio.create(refine(f"{first.id}.2", "vary"), LOCAL, fresh=True)
        assert again.task.id not in ids
        await env.studio.wait_for_new(again.task, 900)
        assert endpoints(env).count("variations") == 3


async def test_a_duplicate_call_that_used_a_single(tmp_path: Path) -> None:
    """Naming the candidate and naming its single is the same call."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        single = await refined(env, f"{first.id}.2", "single")
        one, other = [
            await env.studio.create(refine(image, "pan_left"), LOCAL) for image in (f"{first.id}.2", f"{single.id}.1")
        ]
        assert one.task.id == other.task.id


async def test_a_refinement_obeys_the_budget(tmp_path: Path) -> None:
    """Per call and per period; the message names the action."""
    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_BUDGET="9credits/day") as env:
        first = await grid(env)
        await refined(env, f"{first.id}.2", "vary")
        with pytest.raises(OverBudget, match=r"vary \(midjourney\) at journeyapi counts 4 credits"):
            await env.studio.create(refine(f"{first.id}.3", "vary"), LOCAL)
        assert len(env.sent) == 2


async def test_a_person_confirms_the_cost(tmp_path: Path) -> None:
    """Before anything is sent."""
    asked: list[str] = []

    async def decline(question: ConfirmationRequest) -> bool:
        asked.append(str(question))
        return False

    async def agree(_question: ConfirmationRequest) -> bool:
        return True

    async with make_environment_without_copies(tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="3credits") as env:
        z_image = await env.made()
        assert z_image.status is Status.SUCCEEDED
        first = await env.studio.wait_for_new(
            await created(env.studio, make_request(model="midjourney"), confirm=Confirm(agree)), 900
        )
        with pytest.raises(NotConfirmed):
            await env.studio.create(refine(f"{first.id}.3", "vary"), LOCAL)
        with pytest.raises(Declined):
            await env.studio.create(refine(f"{first.id}.3", "vary"), LOCAL, confirm=Confirm(decline))
        assert asked == ["vary (midjourney) at journeyapi for about 4 credits"]
        assert (await refined(env, f"{first.id}.3", "single")).status is Status.SUCCEEDED


async def test_a_refinement_waits_in_the_queue_and_can_be_canceled(tmp_path: Path) -> None:
    """Free while it is queued."""
    async with make_environment_without_copies(tmp_path, "submit:hang,after=1", JOURNEY_MCP_MAX_CONCURRENT="1") as env:
        first = await grid(env)
        await env.accepted(prompt="another", model="midjourney")
        queued = await created(env.studio, refine(f"{first.id}.2", "vary"))
        assert queued.submission is Submission.PREPARED
        ((task, said),) = (await env.studio.cancel([queued.id], LOCAL)).values()
        assert (task.status, said.code) == (Status.CANCELED, "canceled_unsent")
        assert endpoints(env) == ["imagine", "imagine"]


async def test_a_refinement_is_stored_as_sent_at_once(tmp_path: Path) -> None:
    """As any request that nothing delays."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        made = await env.studio.create(refine(f"{first.id}.2", "vary"), LOCAL)
        assert made.task.submission is Submission.SENT


async def test_a_limit_of_the_provider_is_waited_for(tmp_path: Path) -> None:
    """429, then accepted; one task."""
    async with make_environment_without_copies(tmp_path, "submit:status=429,after=1") as env:
        task = await refined(env, f"{(await grid(env)).id}.2", "vary")
        assert task.status is Status.SUCCEEDED
        assert [entry.outcome for entry in env.upstream.sandbox.request_log.submissions] == [
            "created",
            "refused 429",
            "created",
        ]


async def test_a_lost_answer_is_not_sent_again(tmp_path: Path) -> None:
    """It may have been paid; a repeated call is refused for a while."""
    async with make_environment_without_copies(tmp_path, "submit:reset_after,after=1") as env:
        first = await grid(env)
        task = await refined(env, f"{first.id}.2", "vary")
        assert task.failure is not None
        assert task.failure.code == "submission_unconfirmed"
        assert "vary (midjourney)" in str(task.failure.next_step)
        assert len(env.sent) == 2
        with pytest.raises(Exception, match="may have been charged"):
            await env.studio.create(refine(f"{first.id}.2", "vary"), LOCAL)


async def test_a_webhook_is_checked_and_stored(tmp_path: Path) -> None:
    """As for any other tool."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env)
        with pytest.raises(InvalidWebhook):
            await env.studio.create(refine(f"{first.id}.2", "vary", webhook_url="ftp://x"), LOCAL)


async def test_a_refinement_is_read_again_after_a_restart(tmp_path: Path) -> None:
    """Task, action and parent, also in a listing, and the single that was paid for."""
    async with make_environment_without_copies(tmp_path) as env:
        first = await grid(env, prompt="a red kite " + "over the dunes " * 300)
        single = await refined(env, f"{first.id}.2", "single")
        async with running_studio(env.studio.settings, env.clock) as studio:
            (again,) = (await studio.fetch([single.id], LOCAL)).values()
            assert again.request == single.request
            listed = {task.id: task for task in await studio.newest(LOCAL)}
            assert listed[single.id].request.action == "single"
            task = await studio.wait_for_new(await created(studio, refine(f"{first.id}.2", "pan_down")), 900)
            assert task.request.image == f"{single.id}.1"


async def test_a_refinement_that_hangs_is_polled_after_a_restart(tmp_path: Path) -> None:
    """Its offer is the action."""
    async with make_environment_without_copies(tmp_path, "submit:hang,after=1") as env:
        first = await grid(env)
        task = await until_accepted(env.studio, await created(env.studio, refine(f"{first.id}.2", "vary")))
        held = env.upstream.sandbox.tasks.find(parent_id(task))
        assert held is not None
        env.upstream.sandbox.tasks.put(replace(held, is_held=False))
        ended = await env.studio.wait_for_new(task, 900)
        assert (ended.status, len(ended.images)) == (Status.SUCCEEDED, 4)

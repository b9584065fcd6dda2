"""Links that have died, and the links that a provider gives when it is asked for the task again."""

from pathlib import Path

import pytest
from studio.test_image_sources import refusal
from studio.test_inputs import KONTEXT, sent_image
from studio.test_views import look
from support import Environment, make_wide_environment

from journey_mcp import sandbox
from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task

SIGNED = sandbox.JourneyApiSettings(link_lifetime_s=3600)
"""Each answer to a fetch has new links."""
DAYS_S = 2 * 86400.0


async def image_with_dead_link(here: Environment) -> ImageId:
    """Return an image of JourneyAPI with a copy, whose link does not work any more."""
    made = await here.made(model="z-image")
    await here.studio.wait_for_copies({made.id: made}, 60)
    here.clock.advance(DAYS_S)
    return ImageId(made.id, 1)


async def edited(here: Environment, image: ImageId, **more: str) -> Task:
    """Return an edit of the image, which succeeds."""
    task = await here.made(**{**KONTEXT, "image": str(image), **more})
    assert task.status is Status.SUCCEEDED, task.failure
    return task


async def test_a_provider_that_takes_urls_gets_a_new_link(tmp_path: Path) -> None:
    """The task is fetched for it once in five minutes, which is free; the stored task stays as it was."""
    async with make_wide_environment(tmp_path, services=["journeyapi"], journeyapi=SIGNED) as here:
        image = await image_with_dead_link(here)
        for prompt in ("make it blue", "make it red"):
            await edited(here, image, prompt=prompt)
            stored = (await here.studio.fetch([image.task_id], LOCAL))[image.task_id].images[0].url
            sent = here.sent_to("journeyapi")[-1]["image_url"]
            assert (sent.partition("?")[0], sent != stored) == (stored.partition("?")[0], True)
        assert here.asked["fetch"] == 1
        assert here.created == ["journeyapi"] * 3
        here.clock.advance(301)
        await edited(here, image, prompt="make it green")
        assert here.asked["fetch"] == 2


async def test_a_provider_that_takes_data_gets_the_copy(tmp_path: Path) -> None:
    """Nobody is asked."""
    async with make_wide_environment(tmp_path, services=["journeyapi", "bfl"], journeyapi=SIGNED) as here:
        image = await image_with_dead_link(here)
        await edited(here, image, model="flux-2-pro")
        assert sent_image(here.sent_to("bfl")[-1]).format
        assert here.asked["fetch"] == 0


async def test_an_image_without_a_copy_is_found_again(tmp_path: Path) -> None:
    """It is edited and looked at; its provider has it still."""
    async with make_wide_environment(tmp_path, services=["journeyapi", "bfl"], journeyapi=SIGNED) as here:
        image = await image_with_dead_link(here)
        (copy,) = (tmp_path / "pictures").glob(f"{image}.*")
        copy.unlink()
        assert (await look(here, str(image), size=320)).jpegs
        await edited(here, image, provider="bfl", model="flux-2-pro")
        assert here.asked["fetch"] == 1


@pytest.mark.parametrize(
    "fault", ["fetch:status=404", "fetch:status=500", "fetch:delay=60", "fetch:cut_body", "image:dead_image"]
)
async def test_without_a_new_link_the_call_is_refused_as_before(tmp_path: Path, fault: str) -> None:
    """In seconds, and the provider is not asked again for a while."""
    async with make_wide_environment(tmp_path, services=["journeyapi"], journeyapi=SIGNED) as here:
        image = await image_with_dead_link(here)
        here.faults(f"{fault},times=always")
        began = here.clock.elapsed()
        for _ in range(2):
            error = await refusal(here, **KONTEXT, image=str(image))
            assert str(error).endswith("whose link has expired: only its copy is left.")
        assert here.clock.elapsed() - began < 10
        assert here.asked["fetch"] == 1


async def test_an_image_that_is_nowhere_any_more_is_refused(tmp_path: Path) -> None:
    """Before a provider that takes data is given the dead link, and charges for it."""
    async with make_wide_environment(tmp_path, services=["journeyapi", "bfl"], journeyapi=SIGNED) as here:
        image = await image_with_dead_link(here)
        (copy,) = (tmp_path / "pictures").glob(f"{image}.*")
        copy.unlink()
        here.faults("fetch:status=404,times=always")
        error = await refusal(here, **{**KONTEXT, "model": "flux-2-pro"}, image=str(image))
        assert (error.failure.code, "no copy of the image is stored" in str(error)) == ("unknown_image", True)
        (unseen,) = (await look(here, str(image))).unseen
        assert unseen.id == str(image)


async def test_the_images_of_a_grid_need_one_answer(tmp_path: Path) -> None:
    """They are looked for at the same time."""
    more = {"JOURNEY_MCP_KEEP_IMAGES": "off"}
    async with make_wide_environment(tmp_path, services=["journeyapi"], journeyapi=SIGNED, **more) as here:
        grid = await here.made(model="midjourney")
        here.clock.advance(DAYS_S)
        asked = here.asked["fetch"]
        assert len((await look(here, grid.id)).seen) == 4
        assert here.asked["fetch"] == asked + 1

"""JourneyAPI's follow-ups and /blend: parents, fields, errors, credits and images, as its documents state them."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import json
from typing import Any

import pytest
from httpx2 import Response
from manual_clock import until
from support import coarse

from journey_mcp.sandbox import JourneyApiSettings, Settings

from .upstream import Upstream, difference, http, listening, opened, photo, upstream

INSTANT = coarse(speed=0, seed=1)


def errors(*messages: str) -> dict[str, Any]:
    return {"errors": [{"msg": message} for message in messages]}


def instant(**journeyapi: Any) -> Settings:
    return coarse(speed=0, seed=1, journeyapi=JourneyApiSettings(**journeyapi))


async def post(up: Upstream, path: str, **body: Any) -> Response:
    return await up.client.post(f"/{path}", json=body)


async def made(up: Upstream, path: str, **body: Any) -> Any:
    """Create a task and return it finished."""
    response = await post(up, path, **body)
    assert (response.status_code, list(response.json())) == (200, ["task_id"]), response.text
    task = await up.fetch(response.json()["task_id"])
    assert task["status"] == "finished"
    return task


async def grid(up: Upstream, **body: Any) -> str:
    return await up.made(model="midjourney", **body)


async def single(up: Upstream) -> str:
    return str((await made(up, "upscale-1x", parent_task_id=await grid(up), index="2"))["task_id"])


async def refused(up: Upstream, path: str, *messages: str, **body: Any) -> None:
    before = (await up.account())["credits"]
    response = await post(up, path, **body)
    assert (response.status_code, response.json()) == (400, errors(*messages))
    assert (await up.account())["credits"] == before


@pytest.mark.parametrize(
    ("path", "body", "task_type", "images", "price"),
    [
        ("reroll", {}, "reroll", 4, 4),
        ("reroll", {"prompt": "another"}, "reroll", 4, 4),
        ("upscale-1x", {"index": "4"}, "upscale#1", 1, 2),
        ("upscale-2x-4x", {"index": "1", "type": "2x"}, "upscale-2x", 1, 2),
        ("upscale-2x-4x", {"index": "1", "type": "4x"}, "upscale-4x", 1, 2),
        ("variations", {"index": "3"}, "variation-3", 4, 4),
    ],
)
async def test_what_a_grid_takes(path: str, body: dict[str, Any], task_type: str, images: int, price: int) -> None:
    async with upstream(INSTANT) as up:
        parent = await grid(up)
        before = (await up.account())["credits"]
        task = await made(up, path, parent_task_id=parent, **body)
        assert (task["task_type"], task["model"]) == (task_type, "midjourney")
        assert len(task.get("image_urls", [task.get("image_url")])) == images
        assert ("original_image_url" in task) == (images == 4)
        assert before - (await up.account())["credits"] == price
        entry = up.running.sandbox.request_log.submissions[-1]
        assert (entry.endpoint, entry.outcome, entry.charged) == (path.replace("-", "_"), "created", price)
        assert entry.request == {"parent_task_id": parent, **body}


@pytest.mark.parametrize(
    ("path", "body", "task_type", "images", "price"),
    [
        ("upscale-alt", {"type": "subtle"}, "upscale-subtle", 1, 4),
        ("upscale-alt", {"type": "creative"}, "upscale-creative", 1, 4),
        ("upscale-2x-4x", {"type": "4x"}, "upscale-4x", 1, 2),
        ("variations", {"index": "strong"}, "variation-strong", 4, 4),
        ("variations", {"index": "subtle"}, "variation-subtle", 4, 4),
        *(("pan", {"direction": way}, f"pan-{way}", 4, 4) for way in ("up", "down", "left", "right")),
    ],
)
async def test_what_a_single_image_takes(
    path: str, body: dict[str, Any], task_type: str, images: int, price: int
) -> None:
    async with upstream(INSTANT) as up:
        parent = await single(up)
        before = (await up.account())["credits"]
        task = await made(up, path, parent_task_id=parent, **body)
        assert task["task_type"] == task_type
        assert len(task.get("image_urls", [task.get("image_url")])) == images
        assert before - (await up.account())["credits"] == price


@pytest.mark.parametrize("path", ["reroll", "upscale-1x", "upscale-alt", "variations", "pan"])
async def test_a_parent_is_required_known_and_finished(path: str) -> None:
    body = {"type": "subtle", "index": "1", "direction": "up"}
    async with upstream(instant()) as up:
        await refused(up, path, "parent_task_id is required", **body)
        await refused(up, path, "parent_task_id is required", parent_task_id=7, **body)
        await refused(up, path, "parent_task_id not found", parent_task_id="unknown", **body)
    async with upstream(Settings(speed=1, journeyapi=JourneyApiSettings())) as up:
        await refused(up, path, "parent task is not finished", parent_task_id=await grid(up), **body)


async def test_a_failed_parent_is_not_finished() -> None:
    async with upstream(INSTANT) as up:
        parent = await grid(up, prompt=up.running.sandbox.settings.blocked_word)
        await refused(up, "upscale-1x", "parent task is not finished", parent_task_id=parent, index="1")


@pytest.mark.parametrize("index", [None, "0", "5", 1, "strong", ["1"]])
async def test_an_index_is_a_position_as_text(index: Any) -> None:
    async with upstream(INSTANT) as up:
        parent = await grid(up)
        given = {"parent_task_id": parent, **({} if index is None else {"index": index})}
        await refused(up, "upscale-1x", "index must be 1, 2, 3, or 4", **given)
        await refused(up, "upscale-2x-4x", "index must be 1, 2, 3, or 4", type="2x", **given)
        if index != "strong":
            await refused(up, "variations", "index must be 1, 2, 3, or 4", **given)


async def test_only_documented_kinds_are_parents() -> None:
    async with upstream(INSTANT) as up:
        first, one, other = await grid(up), await single(up), await up.made(model="flux-pro")
        variation = (await made(up, "variations", parent_task_id=first, index="1"))["task_id"]
        pan = (await made(up, "pan", parent_task_id=one, direction="up"))["task_id"]
        upscaled = (await made(up, "upscale-alt", parent_task_id=one, type="subtle"))["task_id"]
        grids = "parent task must be one of: imagine, reroll, variations"
        singles = "parent task must be one of: upscale-1x"
        for parent in (variation, one, other):
            await refused(up, "reroll", "parent task must be one of: imagine", parent_task_id=parent)
        for parent in (one, pan, other):
            await refused(up, "upscale-1x", grids, parent_task_id=parent, index="1")
            await refused(up, "variations", grids, parent_task_id=parent, index="1")
        for parent in (first, variation, upscaled, pan, other):
            await refused(up, "pan", singles, parent_task_id=parent, direction="up")
            await refused(up, "upscale-alt", singles, parent_task_id=parent, type="subtle")
            await refused(up, "variations", singles, parent_task_id=parent, index="strong")
        await made(up, "upscale-1x", parent_task_id=variation, index="4")
        await made(up, "upscale-2x-4x", parent_task_id=pan, index="4", type="2x")


async def test_an_upscale_needs_one_image_and_a_type() -> None:
    async with upstream(INSTANT) as up:
        both = "exactly one of parent_task_id and image_url is required"
        url = "https://images.example.com/a.png"
        await refused(up, "upscale-2x-4x", both, type="2x")
        await refused(up, "upscale-2x-4x", both, type="2x", image_url=url, parent_task_id=await grid(up))
        await refused(up, "upscale-2x-4x", "type must be one of: 2x, 4x", image_url=url)
        await refused(up, "upscale-2x-4x", "image_url must be a public URL", type="4x", image_url="a.png")
        await refused(up, "upscale-alt", "type must be one of: subtle, creative", parent_task_id="x")
        await refused(up, "pan", "direction must be one of: left, up, right, down", direction="in")


async def test_an_upscale_of_a_url() -> None:
    async with (
        upstream(INSTANT) as up,
        listening(http(200, photo((100, 60)), "Content-Type: image/png\r\n")) as site,
    ):
        task = await made(up, "upscale-2x-4x", image_url=site.url, type="4x")
        assert "model" not in task
        assert opened((await up.image(task["image_url"])).content).size == (400, 240)


async def test_an_upscale_of_a_url_that_cannot_be_fetched_fails_later() -> None:
    async with upstream(INSTANT) as up, listening(http(404)) as site:
        response = await post(up, "upscale-2x-4x", image_url=site.url, type="2x")
        task = await up.fetch(response.json()["task_id"])
        assert (task["status"], "image_url" in task) == ("failed", False)


async def test_images_show_what_was_done() -> None:
    """A single image is its candidate, an upscale is larger, a variation resembles it, a pan extends it."""
    async with upstream(INSTANT) as up:
        first = await up.fetch(await grid(up))
        candidate = opened((await up.image(first["image_urls"][1])).content)
        one = await made(up, "upscale-1x", parent_task_id=first["task_id"], index="2")
        alone = opened((await up.image(one["image_url"])).content)
        assert alone.size == candidate.size
        assert difference(alone, candidate) < 5
        upscaled = await made(up, "upscale-2x-4x", parent_task_id=one["task_id"], type="2x")
        larger = opened((await up.image(upscaled["image_url"])).content)
        assert larger.size == (candidate.width * 2, candidate.height * 2)
        changes = []
        for index in ("subtle", "strong"):
            varied = await made(up, "variations", parent_task_id=one["task_id"], index=index)
            changes.append(difference(opened((await up.image(varied["image_urls"][0])).content), candidate))
        assert 0 < changes[0] < changes[1]
        pan = await made(up, "pan", parent_task_id=one["task_id"], direction="right")
        wide = opened((await up.image(pan["image_urls"][3])).content)
        assert wide.size == (candidate.width * 3 // 2, candidate.height)
        assert (
            difference(
                wide.crop((0, 0, candidate.width, candidate.height - 60)),
                candidate.crop((0, 0, candidate.width, candidate.height - 60)),
            )
            < 5
        )
        sheet = opened((await up.image(pan["original_image_url"])).content)
        assert sheet.size == wide.size


async def test_follow_ups_of_follow_ups_stay_quick() -> None:
    """An image is never drawn from more than a few others."""
    async with upstream(instant(credits=10_000)) as up:
        parent = await grid(up)
        for _ in range(30):
            parent = (await made(up, "variations", parent_task_id=parent, index="1"))["task_id"]
        url = (await up.fetch(parent))["image_urls"][0]
        assert (await up.image(url)).status_code == 200


async def test_a_reroll_keeps_the_shape() -> None:
    async with upstream(INSTANT) as up:
        first = await up.fetch(await grid(up, aspect_ratio="16:9"))
        again = await made(up, "reroll", parent_task_id=first["task_id"])
        before, after = [opened((await up.image(task["image_urls"][0])).content) for task in (first, again)]
        assert before.size == after.size
        assert difference(before, after) > 5
        await refused(up, "reroll", "prompt must be a text", parent_task_id=first["task_id"], prompt=" ")


@pytest.mark.parametrize(("dimension", "size"), [(None, (1, 1)), ("square", (1, 1)), ("portrait", (2, 3))])
async def test_a_blend(dimension: str | None, size: tuple[int, int]) -> None:
    async with (
        upstream(INSTANT) as up,
        listening(http(200, photo((300, 300)), "Content-Type: image/png\r\n")) as site,
    ):
        given = {"dimension": dimension} if dimension else {}
        task = await made(up, "blend", image_urls=[site.url, site.url], **given)
        assert (task["task_type"], len(task["image_urls"])) == ("blend", 4)
        image = opened((await up.image(task["image_urls"][0])).content)
        assert image.width * size[1] == image.height * size[0]
        assert (await up.image(task["original_image_url"])).status_code == 200


@pytest.mark.parametrize("urls", [None, [], ["https://a/b.png"], ["https://a/b.png"] * 6, "https://a/b.png"])
async def test_a_blend_takes_two_to_five_images(urls: Any) -> None:
    async with upstream(INSTANT) as up:
        await refused(up, "blend", "image_urls must contain 2-5 URLs", image_urls=urls)


async def test_a_blend_takes_urls_and_a_dimension() -> None:
    async with upstream(INSTANT) as up:
        await refused(up, "blend", "image_urls must be public URLs", image_urls=["https://a/b.png", 7])
        url = "https://images.example.com/a.png"
        message = "dimension must be one of: square, portrait, landscape"
        await refused(up, "blend", message, image_urls=[url, url], dimension="wide")


async def test_the_contradictory_readings() -> None:
    """C8: the type of a single image's task. C9: whether `strong` and `subtle` are indexes."""
    async with upstream(instant(single_task_type="upscale-1x", variation_index="numbers")) as up:
        one = await made(up, "upscale-1x", parent_task_id=await grid(up), index="1")
        assert one["task_type"] == "upscale-1x"
        grids = "parent task must be one of: imagine, reroll, variations"
        await refused(up, "variations", grids, parent_task_id=one["task_id"], index="strong")
        message = "index must be 1, 2, 3, or 4"
        await refused(up, "variations", message, parent_task_id=await grid(up), index="strong")


async def test_balance_plan_key_and_webhook_hold_for_every_endpoint() -> None:
    async with upstream(Settings(speed=0, seed=1, journeyapi=JourneyApiSettings(credits=5))) as up:
        parent = await grid(up)
        response = await post(up, "upscale-1x", parent_task_id=parent, index="1")
        assert (response.status_code, response.json()) == (402, errors("Insufficient credits"))
        await refused(up, "upscale-1x", "webhook_url must be an HTTPS URL", webhook_url="ftp://x")
        unauthorized = await up.client.post("/pan", json={}, headers={"Authorization": "Bearer x"})
        assert (unauthorized.status_code, unauthorized.json()) == (401, {})


async def test_the_webhook_of_a_follow_up() -> None:
    async with upstream(INSTANT) as up, listening(http(200)) as receiver:
        parent = await grid(up)
        task = await made(
            up, "upscale-1x", parent_task_id=parent, index="1", webhook_url=receiver.url, webhook_secret="s"
        )
        await until(lambda: bool(receiver.received))
        (request,) = receiver.received
        assert (json.loads(request.body), request.headers["x-webhook-secret"]) == (task, "s")

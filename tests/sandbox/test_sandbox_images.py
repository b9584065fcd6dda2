"""Images: rendering, edits and serving."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
import io
import zlib
from typing import Any

import pytest
from manual_clock import until
from PIL import Image, ImageChops, ImageStat

from journey_mcp.sandbox import Fault, Settings
from journey_mcp.sandbox.drawing import NotAnImageError, check, render
from journey_mcp.sandbox.image_cache import ImageCache
from journey_mcp.sandbox.render_specs import Edit, Scene, Sheet, fit

from .upstream import Upstream, http, listening, upstream

INSTANT = Settings(speed=0, seed=1)
MOTIF_PROMPTS = [
    "snow on the mountains",
    "a desert at dawn",
    "a boat on a lake",
    "a neon city",
    "a fox in the forest",
    "orbs without a name",
    "something without a motif",
    "",
]


def scene(**changes: Any) -> Scene:
    wanted = {"prompt": "a boat", "model": "flux-pro", "seed": 1, "size": (128, 96), "image_format": "png"}
    return Scene(**{**wanted, **changes})


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the average difference of two images, 0 to 255 per channel."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def photo(size: tuple[int, int] = (300, 200), image_format: str = "PNG") -> bytes:
    content = io.BytesIO()
    image = opened(render(scene(size=size)))
    image.save(content, image_format)
    return content.getvalue()


@pytest.mark.parametrize("image_format", ["png", "jpg"])
@pytest.mark.parametrize("prompt", MOTIF_PROMPTS)
def test_equal_scenes_render_to_equal_bytes(prompt: str, image_format: Any) -> None:
    wanted = scene(prompt=prompt, image_format=image_format)
    content = render(wanted)
    assert content == render(wanted)
    assert Image.open(io.BytesIO(content)).format == {"png": "PNG", "jpg": "JPEG"}[image_format]
    assert opened(content).size == (128, 96)


@pytest.mark.parametrize("prompt", MOTIF_PROMPTS)
def test_a_coarse_image_has_the_same_size(prompt: str) -> None:
    wanted = scene(prompt=prompt, size=(512, 64))
    coarse = render(wanted, 0.1)
    assert coarse == render(wanted, 0.1) != render(wanted)
    assert opened(coarse).size == (512, 64)


@pytest.mark.parametrize("change", [{"prompt": "two boats"}, {"model": "flux-dev"}, {"seed": 2}, {"variant": 1}])
def test_scenes_differ_by_prompt_model_seed_and_variant(change: dict[str, Any]) -> None:
    assert difference(opened(render(scene())), opened(render(scene(**change)))) > 2


def test_a_grid_image_shows_its_four_panels() -> None:
    one, two, three, four = (scene(variant=variant) for variant in range(4))
    sheet = opened(render(Sheet(panels=(one, two, three, four), image_format="png")))
    assert sheet.size == (128, 96)
    for index, panel in enumerate((one, two, three, four)):
        left, top = index % 2 * 64, index // 2 * 48
        quarter = sheet.crop((left, top, left + 64, top + 48))
        assert difference(quarter, opened(render(panel)).resize((64, 48), Image.Resampling.BOX)) == 0


def test_only_render_specs_can_be_rendered() -> None:
    with pytest.raises(TypeError, match="'a boat' is not a render spec"):
        render("a boat")


@pytest.mark.parametrize(
    ("ratio", "size"),
    [((1, 1), (1024, 1024)), ((16, 9), (1024, 576)), ((2, 3), (682, 1024)), ((999, 1), (1024, 64))],
)
def test_the_size_of_a_shape_is_derived_from_its_longer_side(ratio: tuple[int, int], size: tuple[int, int]) -> None:
    assert fit(ratio, 1024) == size


async def test_a_grid_task_has_four_different_images_and_their_grid() -> None:
    async with upstream(INSTANT) as up:
        payload = await up.fetch(await up.made(prompt="a lighthouse --ar 16:9", aspect_ratio="1:1"))
        responses = [await up.image(url) for url in (payload["original_image_url"], *payload["image_urls"])]
        assert {response.headers["content-type"] for response in responses} == {"image/png"}
        assert all(int(response.headers["content-length"]) == len(response.content) for response in responses)
        sheet, *panels = (opened(response.content) for response in responses)
        assert {panel.size for panel in panels} == {sheet.size} == {(1024, 576)}
        assert all(difference(panels[one], panels[two]) > 2 for one in range(4) for two in range(one))
        quarter = sheet.crop((512, 0, 1024, 288))
        assert difference(quarter, panels[1].resize((512, 288), Image.Resampling.BOX)) == 0


@pytest.mark.parametrize(
    ("body", "size", "media_type"),
    [
        ({"model": "flux-pro"}, (1024, 1024), "image/png"),
        ({"model": "flux-pro", "output_format": "jpg", "aspect_ratio": "3:4"}, (768, 1024), "image/jpeg"),
        ({"model": "flux-dev", "resolution": "2K", "aspect_ratio": "4:3"}, (1536, 1152), "image/png"),
        ({"model": "nano-banana-2", "resolution": "4K", "aspect_ratio": "16:9"}, (2048, 1152), "image/jpeg"),
        ({"model": "recraft", "resolution": "4K", "output_format": "png"}, (1024, 1024), "image/jpeg"),
    ],
)
async def test_an_image_has_the_requested_shape_and_format(
    body: dict[str, Any], size: tuple[int, int], media_type: str
) -> None:
    async with upstream(INSTANT) as up:
        task_id = await up.made(**body)
        response = await up.image((await up.fetch(task_id))["image_url"])
        assert response.headers["content-type"] == media_type
        assert opened(response.content).size == size


async def test_images_exist_only_under_their_names_and_after_the_task() -> None:
    async with upstream(Settings(speed=0, faults=(Fault(on="submit", kind="hang"),))) as up:
        hanging, finished = await up.made(), await up.made()
        names = [f"{hanging}/0_0.png", f"{finished}/0_9.png", "unknown/0.png", f"{finished}/0_0.png"]
        responses = [await up.image(f"{up.running.origin}/pictures/{name}") for name in names]
        assert [response.status_code for response in responses] == [404, 404, 404, 200]


async def edited(up: Upstream, url: str, **body: Any) -> Image.Image:
    payload = await up.fetch(await up.made(model="flux-kontext-pro", prompt="make it autumn", image_url=url, **body))
    assert payload["status"] == "finished", payload
    return opened((await up.image(payload["image_url"])).content)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_an_edit_changes_the_image_and_keeps_it_recognisable(image_format: str) -> None:
    content = photo(image_format=image_format)
    async with listening(http(200, content)) as source, upstream(INSTANT) as up:
        before, after = opened(content), await edited(up, source.url)
        assert source.received[0].line == "GET /hook HTTP/1.1"
        assert "authorization" not in source.received[0].headers
        assert after.size == before.size
        other = opened(render(scene(prompt="a neon city", seed=9, size=(300, 200))))
        assert 10 < difference(before, after) < difference(other, after)


@pytest.mark.parametrize(("ratio", "size"), [("1:1", (200, 200)), ("9:16", (112, 200)), ("16:9", (300, 169))])
async def test_an_edit_is_cropped_to_the_requested_shape(ratio: str, size: tuple[int, int]) -> None:
    async with listening(http(200, photo())) as source, upstream(INSTANT) as up:
        assert (await edited(up, source.url, aspect_ratio=ratio)).size == size


async def test_an_edit_can_use_an_image_of_the_sandbox() -> None:
    async with upstream(INSTANT) as up:
        grid = await up.fetch(await up.made())
        assert (await edited(up, grid["image_urls"][2])).size == (1024, 1024)


async def test_an_edit_follows_redirects() -> None:
    moved = http(302, headers="Location: /elsewhere\r\n")
    async with listening(moved, http(200, photo())) as source, upstream(INSTANT) as up:
        assert (await edited(up, source.url)).size == (300, 200)


def test_an_edit_applies_the_exif_rotation() -> None:
    content = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    opened(photo()).save(content, "JPEG", exif=turned)
    wanted = Edit(source=content.getvalue(), prompt="p", model="m", seed=1, image_format="jpg")
    assert opened(render(wanted)).size == (200, 300)


def png_of(width: int, height: int) -> bytes:
    """Return the start of a PNG that states a size."""
    head = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + head + zlib.crc32(head).to_bytes(4) + b"\0\0\0\0IDAT"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "this is not an image"),
        (b"", "this is not an image"),
        (photo()[:200], "this is not an image"),
        (png_of(8000, 8000), "8000 x 8000 pixels are too many"),
        (png_of(10_000, 10_000), "this is not an image"),
        (png_of(30_000, 30_000), "this is not an image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * 70_000, "this image has too many chunks"),
        (b"\xff\xd8" + b"\xff\xda\0\2" * 200 + b"\xff\xd9", "this image has too many chunks"),
    ],
)
def test_data_that_cannot_be_edited_is_rejected(content: bytes, message: str) -> None:
    with pytest.raises(NotAnImageError, match=message):
        check(content)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (http(404), "HTTP 404"),
        (http(200, b"<html>"), "this is not an image"),
        (http(200, b"x" * 60_000), "more than 50000 bytes"),
        (None, "no answer within 0.05 s"),
        (b"", "Server disconnected without sending a response."),
    ],
)
async def test_a_source_that_cannot_be_fetched_fails_the_task(response: bytes | None, error: str) -> None:
    settings = Settings(speed=0, source_timeout_s=5 if response is not None else 0.05, source_limit_bytes=50_000)
    async with listening(response) as source, upstream(settings) as up:
        answered = (await up.imagine(model="flux-kontext-pro", image_url=source.url)).json()
        assert answered["status"] == "failed"
        assert answered["error"] == f"Could not fetch image_url: {error}"
        assert await up.fetch(answered["task_id"]) == {
            "task_id": answered["task_id"],
            "task_type": "imagine",
            "model": "flux-kontext-pro",
            "status": "failed",
            "error": answered["error"],
        }


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "http://ü..test/c.png"])
async def test_a_url_without_a_server_fails_the_task(url: str) -> None:
    async with upstream(INSTANT) as up:
        answered = (await up.imagine(model="flux-kontext-pro", image_url=url)).json()
        assert answered["status"] == "failed"
        assert answered["error"].startswith("Could not fetch image_url: ")


async def test_an_edit_does_not_end_before_its_input_image_is_loaded() -> None:
    async with listening(None) as source, upstream(INSTANT) as up:
        request = asyncio.create_task(up.imagine(model="seededit", image_url=source.url))
        await until(lambda: bool(source.received))
        task_id = str(up.running.sandbox.request_log.submissions[0].task_id)
        assert (await up.fetch(task_id))["status"] == "processing"
        request.cancel()
        await asyncio.wait([request])


async def test_an_edit_can_hang_after_its_input_image_is_loaded() -> None:
    hang = Fault(on="submit", kind="hang")
    async with listening(http(200, photo())) as source, upstream(Settings(speed=0, faults=(hang,))) as up:
        request = asyncio.create_task(up.imagine(model="seededit", image_url=source.url))
        tasks, request_log = up.running.sandbox.tasks, up.running.sandbox.request_log
        await until(lambda: bool(request_log.submissions) and request_log.submissions[0].task_id is not None)
        task_id = str(request_log.submissions[0].task_id)
        await until(lambda: bool((task := tasks.find(task_id)) and task.kept_bytes))
        assert (await up.fetch(task_id))["status"] == "processing"
        request.cancel()
        await asyncio.wait([request])


async def test_the_image_cache_keeps_few_images_and_renders_the_others_again() -> None:
    content = render(scene())
    image_cache = ImageCache(kept_bytes=len(content) + 10)
    assert await image_cache.get("one", scene()) == content
    assert await image_cache.get("one", scene(seed=9)) == content  # kept under this name
    other = await image_cache.get("two", scene(seed=9))
    assert other != content
    assert await image_cache.get("one", scene()) == content


async def test_concurrent_requests_for_an_image_return_the_same_bytes() -> None:
    image_cache = ImageCache()
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(image_cache.get("one", scene())) for _ in range(2)]
    assert both[0].result() == both[1].result()

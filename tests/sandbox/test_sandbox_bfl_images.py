"""Black Forest Labs: sizes, prices and edits of images."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import io
from typing import Any

import pytest
from PIL import Image
from support import coarse

from journey_mcp.sandbox import BflSettings, Settings

from .upstream import base64_of, bfl, difference, http, listening, opened, photo

INSTANT = coarse(speed=0, seed=1)
IMAGE = base64_of(photo())


@pytest.mark.parametrize(
    ("model", "body", "size", "cost"),
    [
        ("flux-kontext-pro", {}, (1024, 1024), 4),
        ("flux-kontext-pro", {"aspect_ratio": "16:9"}, (1392, 752), 4),
        ("flux-kontext-max", {"aspect_ratio": "9:21"}, (672, 1568), 8),
        ("flux-kontext-pro", {"aspect_ratio": "5:4"}, (1136, 912), 4),
        ("flux-pro-1.1", {}, (1024, 768), 4),
        ("flux-pro-1.1", {"width": 256, "height": 320}, (256, 320), 4),
        ("flux-pro-1.1-ultra", {}, (2048, 1152), 6),
        ("flux-pro-1.1-ultra", {"aspect_ratio": "1:2"}, (1024, 2048), 6),
        ("flux-dev", {"guidance": 3, "steps": 28}, (1024, 768), 2.5),
        ("flux-2-pro", {}, (1024, 1024), 3),
        ("flux-2-pro", {"width": 0, "height": None}, (1024, 1024), 3),
        ("flux-2-pro", {"width": 1440, "height": 1440}, (1440, 1440), 4.5),
        ("flux-2-max", {"width": 2048, "height": 1024}, (2048, 1024), 10),
        ("flux-2-flex", {"width": 64, "height": 80, "guidance": 1.5}, (64, 80), 5),
        ("flux-2-klein-4b", {"width": 1040, "height": 1040}, (1040, 1040), 1.5),
    ],
)
async def test_an_image_has_its_size_and_its_price(
    model: str, body: dict[str, Any], size: tuple[int, int], cost: float
) -> None:
    async with bfl(INSTANT) as up:
        created = await up.made(model, **body)
        assert (created["cost"], created["output_mp"]) == (cost, round(size[0] * size[1] / 1e6, 2))
        assert await up.credits() == 1000 - cost
        image = await up.sample(model, **body)
        assert opened(image.content).size == size


@pytest.mark.parametrize(
    ("model", "body", "image_format"),
    [
        ("flux-kontext-pro", {}, "PNG"),
        ("flux-2-pro", {}, "JPEG"),
        ("flux-kontext-pro", {"output_format": "jpeg"}, "JPEG"),
        ("flux-kontext-pro", {"output_format": "webp"}, "WEBP"),
        ("flux-pro-1.1", {"output_format": "png"}, "PNG"),
    ],
)
async def test_an_image_has_the_requested_format(model: str, body: dict[str, Any], image_format: str) -> None:
    async with bfl(INSTANT) as up:
        image = await up.sample(model, **body)
        assert opened(image.content).format == image_format
        assert image.headers["content-type"] == f"image/{image_format.lower()}"


async def test_the_default_format_of_kontext_is_a_setting() -> None:
    async with bfl(Settings(speed=0, bfl=BflSettings(default_format="jpeg"))) as up:
        assert opened((await up.sample()).content).format == "JPEG"


@pytest.mark.parametrize(
    ("model", "field", "size"),
    [
        ("flux-kontext-pro", "input_image", (1248, 832)),
        ("flux-2-pro", "input_image_3", (288, 192)),
        ("flux-pro-1.1", "image_prompt", (1024, 768)),
        ("flux-pro-1.0-fill", "image", (300, 200)),
    ],
)
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
async def test_an_edit_changes_the_image_and_keeps_it_recognisable(
    model: str, field: str, size: tuple[int, int], prefix: str
) -> None:
    async with bfl(INSTANT) as up:
        created = await up.made(model, **{field: prefix + IMAGE})
        assert created["input_mp"] == 0.06
        after = opened((await up.sample(model, **{field: prefix + IMAGE})).content)
        assert after.size == size
        if size[0] * 2 == size[1] * 3:
            assert 10 < difference(opened(photo()).resize(size), after) < 60


async def test_a_large_input_image_is_scaled_down() -> None:
    async with bfl(INSTANT) as up:
        created = await up.made("flux-2-pro", input_image=base64_of(photo((3000, 2000), "JPEG")))
        assert (created["input_mp"], created["output_mp"]) == (6.0, 4.15)
        assert created["cost"] == 3 + 3 * 1.5


async def test_an_edit_loads_urls_elsewhere_and_in_the_sandbox() -> None:
    async with listening(http(200, photo((640, 640)))) as source, bfl(INSTANT) as up:
        first = await up.sample("flux-2-pro", input_image=source.url)
        assert opened(first.content).size == (640, 640)
        assert "x-key" not in source.received[0].headers
        again = await up.sample("flux-2-pro", input_image=str(first.url), width=64)
        assert opened(again.content).size == (64, 640)


async def test_a_fill_keeps_the_black_area_of_the_mask() -> None:
    mask = Image.new("L", (300, 200), 0)
    mask.paste(255, (0, 0, 150, 200))
    content = io.BytesIO()
    mask.save(content, "PNG")
    async with bfl(INSTANT) as up:
        filled = await up.sample(
            "flux-pro-1.0-fill", image=IMAGE, mask=base64_of(content.getvalue()), output_format="png"
        )
        before, after = opened(photo()), opened(filled.content)
        left, right = (0, 0, 150, 200), (150, 0, 300, 200)
        assert difference(before.crop(right), after.crop(right)) == 0
        assert difference(before.crop(left), after.crop(left)) > 10


async def test_an_expansion_adds_the_requested_margins() -> None:
    async with bfl(INSTANT) as up:
        body = {"image": IMAGE, "left": 100, "top": 20, "bottom": 30, "output_format": "png"}
        created = await up.made("flux-pro-1.0-expand", **body)
        assert created["output_mp"] == 0.1
        wide = opened((await up.sample("flux-pro-1.0-expand", **body)).content)
        assert wide.size == (400, 250)
        assert difference(wide.crop((100, 20, 400, 220)), opened(photo())) < 60

"""Masks are black and white, of a given size, and sharp."""

import io

import pytest
from drawn import drawn, exif, written
from PIL import Image

from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.masks import scaled_mask


def painted(mode: str = "L", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Return a mask whose left half is painted white: on black, or on nothing."""
    image = Image.new("RGBA", size, (0, 0, 0, 0 if mode == "RGBA" else 255))
    image.paste("white", (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def opened(content: bytes) -> Image.Image:
    """Return a mask, decoded."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
@pytest.mark.parametrize("size", [(40, 20), (400, 200), (37, 11), (8, 4)])
def test_a_mask_gets_the_size_of_its_image(mode: str, size: tuple[int, int]) -> None:
    """Enlarged or reduced, without a shade of grey at the edge."""
    mask = scaled_mask(written(painted(mode), "png"), *size)
    image = opened(mask.content)
    assert (image.format, image.mode, image.size) == ("PNG", "L", size)
    assert (mask.format, mask.width, mask.height) == ("png", *size)
    assert {colour for _, colour in image.getcolors() or ()} == {0, 255}
    assert image.getpixel((0, 0)) == 255
    assert image.getpixel((size[0] - 1, size[1] - 1)) == 0


def test_shades_become_black_or_white() -> None:
    """A soft brush has a hard edge."""
    image = opened(scaled_mask(written(Image.linear_gradient("L"), "png"), 256, 256).content)
    assert [count for count, _ in image.getcolors() or ()] == [128 * 256, 128 * 256]


def test_a_half_transparent_stroke_counts_by_its_strength() -> None:
    """As a person sees it on the image."""
    stroke = Image.new("RGBA", (2, 1))
    stroke.putdata([(255, 255, 255, 200), (255, 255, 255, 90)])
    image = opened(scaled_mask(written(stroke, "png"), 2, 1).content)
    assert list(image.tobytes()) == [255, 0]


def test_the_orientation_of_a_photo_is_applied() -> None:
    """A mask may come as JPEG."""
    content = written(painted("RGB"), "jpeg", exif=exif(3), quality=95)
    image = opened(scaled_mask(content, 40, 20).content)
    assert (image.getpixel((0, 0)), image.getpixel((39, 0))) == (0, 255)


@pytest.mark.parametrize(
    ("content", "size", "says"),
    [
        (b"<svg>", (10, 10), "SVG"),
        (written(drawn(), "png")[:60], (10, 10), "PNG"),
        (written(drawn(), "png"), (60_000, 60_000), "at most 89,478,485"),
    ],
)
def test_what_cannot_be_a_mask_is_refused(content: bytes, size: tuple[int, int], says: str) -> None:
    """Neither a hostile file nor a hostile size takes much memory."""
    with pytest.raises(NotAnImage, match=says):
        scaled_mask(content, *size)

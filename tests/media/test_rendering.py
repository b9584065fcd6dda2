"""Thumbnails and contact sheets: sizes, orientation, modes, colours, bytes, labels."""

import io
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from drawn import PROFILE, bomb, drawn, exif, is_red, opened, see_through, with_everything, written
from PIL import Image, ImageCms

from journey_mcp.core.views import RasterForm
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.rendering import captioned_sheet, contact_sheet, raster, thumbnail

CASES = Path(__file__).parents[1] / "cases"
AMPLE = 1_000_000


@cache
def noise() -> bytes:
    """Return an image that cannot be compressed; making it at import would delay every worker."""
    return written(Image.merge("RGB", [Image.effect_noise((800, 600), 200) for _ in range(3)]), "png", compress_level=0)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff", "avif"])
@pytest.mark.parametrize(
    ("size", "made"), [((1200, 800), (320, 213)), ((800, 1200), (213, 320)), ((200, 90), (200, 90))]
)
def test_the_longest_side_is_within_the_limit_and_small_images_keep_theirs(
    kind: str, size: tuple[int, int], made: tuple[int, int]
) -> None:
    """In every format; the size of the original is returned."""
    done = thumbnail(written(drawn(size=size), kind), size=320, max_bytes=AMPLE)
    image = opened(done.content)
    assert (image.format, image.size, image.info["progressive"]) == ("JPEG", made, 1)
    assert (done.width, done.height) == size
    assert is_red(image, 0, 0)
    assert not is_red(image, 1, 1)


@pytest.mark.parametrize("size", [(24, 16), (700, 420)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "avif"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (1, 0)), (3, (1, 1)), (4, (0, 1)), (5, (0, 0)), (6, (1, 0)), (7, (1, 1)), (8, (0, 1))],
)
def test_it_is_upright(size: tuple[int, int], kind: str, orientation: int, corner: tuple[int, int]) -> None:
    """Also a JPEG that is decoded at a fraction of its size."""
    done = thumbnail(written(drawn(size=size), kind, exif=exif(orientation)), size=320, max_bytes=AMPLE)
    image = opened(done.content)
    assert (done.width, done.height) == (size if orientation < 5 else size[::-1])
    assert (image.width > image.height) is (orientation < 5)
    assert is_red(image, *corner)


@pytest.mark.parametrize("name", ["cmyk.jpg", "gray16.png", "half_transparent.webp", "a.avif", "plain.png"])
def test_other_modes_become_8_bits(name: str) -> None:
    """CMYK, 16 bits, transparency."""
    done = thumbnail((CASES / name).read_bytes(), size=320, max_bytes=AMPLE)
    assert opened(done.content).mode in {"L", "RGB"}
    assert opened(done.content).size == (done.width, done.height) == (320, 240)


def test_transparent_parts_are_white() -> None:
    """They would be black otherwise."""
    image = opened(thumbnail(written(see_through(), "png"), size=320, max_bytes=AMPLE).content)
    assert image.getpixel((0, 0)) < (9, 9, 9)  # type: ignore[operator]  # RGB
    assert image.getpixel((47, 31)) > (246, 246, 246)  # type: ignore[operator]


def test_a_palette_and_16_bits_keep_their_colours() -> None:
    """Both are converted at full size."""
    for content in (written(drawn().convert("P"), "png"), written(drawn().quantize(200), "gif")):
        assert is_red(opened(thumbnail(content, size=320, max_bytes=AMPLE).content), 0, 0)
    grey = opened(thumbnail(written(drawn("I;16"), "png"), size=320, max_bytes=AMPLE).content)
    assert grey.mode == "L"
    assert grey.getpixel((47, 31)) > 240  # type: ignore[operator]  # L


def test_colours_become_srgb_and_the_profile_is_left_out() -> None:
    """Model APIs ignore profiles, so colours of a wider space would look pale."""
    wide = with_gamma(1.0)
    grey = Image.new("RGB", (64, 64), (55, 55, 55))
    half = Image.new("RGBA", (64, 64), (55, 55, 55, 255))
    half.paste((0, 0, 0, 0), (32, 0, 64, 64))
    for image in (grey, half):
        made = opened(thumbnail(written(image, "png", icc_profile=wide), size=320, max_bytes=AMPLE).content)
        assert "icc_profile" not in made.info
        assert made.getpixel((5, 5))[0] > 110  # type: ignore[index]  # RGB
    assert made.getpixel((60, 5)) == (255, 255, 255)
    same = opened(thumbnail(written(grey, "png", icc_profile=PROFILE), size=320, max_bytes=AMPLE).content)
    assert same.getpixel((5, 5)) == (55, 55, 55)


def with_gamma(gamma: float) -> bytes:
    """Return the profile sRGB with other tone curves: 2.2 becomes this."""
    profile = bytearray(PROFILE)
    for number in range(int.from_bytes(profile[128:132])):
        at = 132 + 12 * number
        if bytes(profile[at : at + 4]) in {b"rTRC", b"gTRC", b"bTRC"}:
            start = int.from_bytes(profile[at + 4 : at + 8])
            # a parametric curve of type 0: one s15Fixed16 number, the exponent
            profile[start : start + 16] = b"para\0\0\0\0\0\0\0\0" + int(gamma * 65536).to_bytes(4)
    ImageCms.ImageCmsProfile(io.BytesIO(bytes(profile)))
    return bytes(profile)


def test_a_damaged_profile_counts_as_none() -> None:
    """The image is shown."""
    broken = PROFILE[:128] + bytes(len(PROFILE) - 128)
    made = opened(thumbnail(written(drawn(), "png", icc_profile=broken), size=320, max_bytes=AMPLE).content)
    assert is_red(made, 0, 0)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_nothing_but_pixels_is_left(kind: str) -> None:
    """No camera, place, comment or profile."""
    assert opened(thumbnail(with_everything(kind), size=320, max_bytes=AMPLE).content).info.keys() <= {
        *("jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"),
    }


def test_fewer_bytes_lower_the_quality_and_then_the_size() -> None:
    """Whatever the image is."""
    limits = (AMPLE, 75_000, 25_000, 5_000, 1_500)
    made = [thumbnail(noise(), size=512, max_bytes=limit).content for limit in limits]
    assert all(len(content) <= limit for content, limit in zip(made, limits, strict=True))
    sizes = [opened(content).width for content in made]
    assert sizes[0] == sizes[1] == 512
    assert sizes[-1] < sizes[-2] < 512
    assert all(len(larger) > len(smaller) for larger, smaller in pairwise(made))


def test_one_pixel_is_the_end() -> None:
    """Fewer bytes than any JPEG has are not reached."""
    assert opened(thumbnail(noise(), size=512, max_bytes=1).content).size == (1, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<html>", "a web page"),
        (written(drawn(), "png")[:-20], "cut off"),
        (written(drawn(), "jpeg")[:-20], "cut off"),
        (bomb(30_000, 30_000), "at most"),
    ],
)
def test_other_bytes_are_refused(content: bytes, says: str) -> None:
    """As everywhere."""
    with pytest.raises(NotAnImage, match=says):
        thumbnail(content, size=320, max_bytes=AMPLE)


@pytest.mark.parametrize("form", ["rgb", "palette"])
@pytest.mark.parametrize("size", [(48, 32), (1200, 800), (20, 90)])
def test_a_raster_is_the_scaled_image_pixel_by_pixel(form: RasterForm, size: tuple[int, int]) -> None:
    """With its red corner; a smaller image keeps its size."""
    made = raster(written(drawn(size=size), "png"), size=96, form=form)
    assert (made.width, made.height) == ((96, 64) if size[0] > 96 else size)
    image = Image.frombytes("RGB" if form == "rgb" else "P", (made.width, made.height), made.content)
    if form == "palette":
        assert len(made.palette) == 3 * 256
        image.putpalette(made.palette)
    assert is_red(image, 0, 0)
    assert not is_red(image, 1, 1)


def test_a_raster_of_grey_and_transparent_pixels_has_three_channels() -> None:
    """Transparent parts are white."""
    assert raster(written(drawn("L"), "png"), size=4, form="rgb").content[-3:] > b"\xd0" * 3
    assert raster(written(see_through(), "png"), size=48, form="rgb").content[-3:] == b"\xff" * 3


def thumbnails(*sizes: tuple[int, int], colour: str = "white") -> list[bytes]:
    """Return thumbnails of one colour."""
    return [written(Image.new("RGB", size, colour), "jpeg") for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "sheet"),
    [
        ([(512, 512)] * 4, (516, 516)),
        ([(512, 288)] * 4, (516, 292)),
        ([(288, 512)] * 4, (292, 516)),
        ([(512, 288), (288, 512)] * 2, (516, 516)),
        ([(512, 512)] * 3, (516, 516)),
        ([(512, 512)] * 2, (516, 256)),
        ([(512, 256)] * 2, (512, 516)),
        ([(256, 512)] * 3, (521, 341)),
        ([(512, 512)], (512, 512)),
    ],
)
def test_a_sheet_has_cells_in_the_aspect_ratio_of_its_images(
    sizes: list[tuple[int, int]], sheet: tuple[int, int]
) -> None:
    """Four are 2x2; fewer are arranged so that they are largest."""
    done = contact_sheet(thumbnails(*sizes), [*"1234"][: len(sizes)], size=512, max_bytes=AMPLE)
    assert opened(done.content).size == (done.width, done.height) == sheet


def test_small_images_are_not_enlarged() -> None:
    """They are in the middle of their cells."""
    image = opened(contact_sheet(thumbnails((40, 40), (512, 512)), ["1", "2"], size=512, max_bytes=AMPLE).content)
    assert image.size == (516, 256)
    row = [image.convert("L").getpixel((x, 146)) > 128 for x in range(256)]  # type: ignore[operator]  # L
    assert 36 <= sum(row) <= 42
    assert row[108:148] == [True] * 40


@pytest.mark.parametrize("colour", ["white", "black", "#808080", "red"])
@pytest.mark.parametrize("size", [320, 512, 1024])
def test_labels_are_readable_on_every_image(colour: str, size: int) -> None:
    """White on black with a white edge: both occur in each corner."""
    made = contact_sheet(thumbnails(*[(1024, 1024)] * 4, colour=colour), [*"1234"], size=size, max_bytes=AMPLE)
    sheet = opened(made.content).convert("L")
    for left, top in ((0, 0), (size // 2 + 4, 0), (0, size // 2 + 4), (size // 2 + 4, size // 2 + 4)):
        low, high = sheet.crop((left, top, left + size // 12, top + size // 12)).getextrema()
        assert low < 40  # type: ignore[operator]  # L
        assert high > 215  # type: ignore[operator]


def test_labels_differ() -> None:
    """They are the given texts, in the order of the images."""
    first, second = (
        contact_sheet(thumbnails((512, 512), (512, 512)), labels, size=512, max_bytes=AMPLE).content
        for labels in (["1", "2"], ["1", "12"])
    )
    assert first != second
    left, right = ((0, 0, 256, 256), (260, 0, 516, 256))
    assert opened(first).crop(left).tobytes() == opened(second).crop(left).tobytes()
    assert opened(first).crop(right).tobytes() != opened(second).crop(right).tobytes()


def test_a_sheet_stays_within_its_bytes() -> None:
    """Also with noise, by a lower quality and a smaller size."""
    panels = [thumbnail(noise(), size=512, max_bytes=AMPLE).content] * 4
    for limit in (60_000, 5_000):
        done = contact_sheet(panels, [*"1234"], size=512, max_bytes=limit)
        assert len(done.content) <= limit


@pytest.mark.parametrize(("count", "size"), [(1, (100, 114)), (2, (204, 114)), (4, (204, 232)), (5, (308, 232))])
def test_a_captioned_sheet_has_square_cells_with_text_below(count: int, size: tuple[int, int]) -> None:
    """In rows that are at most one longer than there are rows."""
    captions = [["a model", "4 credits, 5 s"]] * count
    done = captioned_sheet(thumbnails(*[(100, 60)] * count), captions, cell=100, form="png")
    image = opened(done.content)
    assert image.format == "PNG"
    assert image.size == (done.width, done.height) == size
    below = image.convert("L").crop((0, 101, 100, 114))
    assert below.getextrema()[1] > 150  # type: ignore[operator]  # L


def test_an_image_is_in_the_middle_of_its_cell() -> None:
    """Not enlarged; a larger one is scaled down."""
    small, large = thumbnails((40, 40), (300, 100), colour="red")
    image = opened(captioned_sheet([small, large], [["a"], ["b"]], cell=100, form="png").content)
    red = [[image.getpixel((x, 50))[0] > 200 for x in columns] for columns in (range(100), range(104, 204))]  # type: ignore[index]  # RGB
    assert (red[0].index(True), sum(red[0])) == (30, 40)
    assert all(red[1])
    assert [image.getpixel((154, y))[0] > 200 for y in range(100)].count(True) in range(32, 36)  # type: ignore[index]


def test_without_bytes_a_cell_is_an_empty_frame() -> None:
    """With its text."""
    image = opened(
        captioned_sheet([b"", *thumbnails((10, 10))], [["a", "failed"], ["b"]], cell=100, form="png").content
    )
    assert image.getpixel((0, 0)) == image.getpixel((99, 99)) == (120, 120, 120)
    assert image.getpixel((50, 50)) == (40, 40, 40)
    assert image.convert("L").crop((0, 107, 100, 114)).getextrema()[1] > 150  # type: ignore[operator]  # L


def test_a_long_text_is_cut_to_its_cell() -> None:
    """It would run into its neighbour's."""
    long, short = (
        opened(captioned_sheet([b"", b""], [[text], [""]], cell=100, form="png").content)
        for text in ("m" * 500, "m" * 5)
    )
    assert short.crop((104, 101, 204, 107)).getcolors() == [(600, (40, 40, 40))]
    assert long.crop((104, 101, 204, 107)).getcolors() == [(600, (40, 40, 40))]
    assert long.crop((90, 101, 100, 107)).getcolors() != [(60, (40, 40, 40))]


def test_a_captioned_sheet_may_be_a_jpeg() -> None:
    """As its file is named."""
    assert opened(captioned_sheet(thumbnails((10, 10)), [["a"]], cell=100, form="jpeg").content).format == "JPEG"

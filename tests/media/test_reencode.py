"""Making images fit: real files, written by Pillow, some of them spoiled; and what is left in what is sent."""

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from drawn import (
    HIDDEN,
    PROFILE,
    SAMPLES,
    SIZE,
    animated,
    chunk,
    drawn,
    exif,
    is_red,
    opened,
    photo,
    see_through,
    with_everything,
    written,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import FORMATS, ImageData, Limits, probe
from journey_mcp.media.reencode import fit_to_limits


def fit(content: bytes, **limits: Any) -> tuple[ImageData, tuple[str, ...]]:
    """Within these limits."""
    made, notices = fit_to_limits(content, Limits(**limits))
    return made, tuple(str(notice.about("it")).removeprefix("it: ") for notice in notices)


def refusal(content: bytes, **limits: Any) -> str:
    """Return why it is refused."""
    with pytest.raises(NotAnImage) as caught:
        fit(content, **limits)
    return str(caught.value)


# --- damage


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("limits", [{}, {"max_pixels": 500}])
def test_truncated_files_are_refused(kind: str, limits: Mapping[str, int]) -> None:
    """Also when nothing would have to change."""
    content = written(photo(), kind)
    for length in (20, len(content) // 2, len(content) - 200):
        reason = refusal(content[:length], **limits)
        assert reason == f"it is a {NAMES[kind]} that is cut off" or f"it is a damaged {NAMES[kind]} (" in reason
        assert length < 100 or "cut off" in reason or kind == "webp"


def test_spoiled_pixels_are_found_before_anybody_pays() -> None:
    """Though the file is whole, and nothing would have to change."""
    content = bytearray(written(photo(), "png"))
    content[len(content) // 3 : len(content) // 3 + 500] = bytes(500)
    assert probe(bytes(content)).width == 200
    assert refusal(bytes(content)).startswith("it is a damaged PNG (")


def test_a_png_without_its_colours_is_refused() -> None:
    """Pillow would decode it."""
    content = written(drawn("P"), "png")
    start = content.index(b"PLTE") - 4
    size = struct.unpack(">I", content[start : start + 4])[0]
    assert refusal(content[:start] + content[start + 12 + size :]) == "it is a PNG whose colours are missing"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_corrupt_files_are_refused_or_repaired(data: st.DataObject) -> None:
    """Nothing but NotAnImage comes out of them, and what is taken can be taken again, a PNG with the same pixels."""
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)):
        content[at % len(content)] = byte
    cut = data.draw(st.integers(8, len(content)))
    limits = data.draw(st.sampled_from([Limits(), Limits(formats=("png",)), Limits(max_pixels=500)]))
    try:
        taken, _ = fit_to_limits(bytes(content[:cut]), limits)
    except NotAnImage:
        return
    again, _ = fit_to_limits(taken.content, limits)
    assert (again.format, again.width, again.height) == (taken.format, taken.width, taken.height)
    # Pillow may compress a profile otherwise than Python
    assert taken.format != "png" or difference(opened(again), opened(taken)) == 0


# --- what is left out


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two images, of 255 at most."""
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


@pytest.mark.parametrize(("kind", "becomes", "most"), [("png", "png", 0), ("jpeg", "jpeg", 1.5), ("webp", "webp", 2)])
def test_metadata_is_left_out_and_the_image_stays(kind: str, becomes: str, most: float) -> None:
    """No camera, place, comment, private piece or appended file; the colours stay as they are meant."""
    content = with_everything(kind)
    assert HIDDEN in content
    made, notices = fit(content, formats=(kind,))
    assert (made.format, notices) == (becomes, ())
    assert HIDDEN not in made.content
    assert b"Exif" not in made.content
    image = opened(made)
    assert not image.getexif()
    assert difference(image, opened(content)) <= most
    assert image.info.get("icc_profile") == PROFILE


def test_a_gif_becomes_a_png_of_the_same_pixels() -> None:
    """Every provider that takes one takes the other, and what a GIF can hide is manifold."""
    content = with_everything("gif")
    made, notices = fit(content, formats=FORMATS)
    assert (made.format, notices) == ("png", ("The image was converted from GIF to PNG.",))
    assert HIDDEN not in made.content
    assert difference(opened(made), opened(content)) == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_png_without_metadata_stays_byte_for_byte(mode: str) -> None:
    """Within the limits, at their very edge."""
    content = fit(written(see_through() if mode == "RGBA" else drawn(mode), "png", icc_profile=PROFILE))[0].content
    assert fit(content, formats=("png",), max_bytes=len(content), max_pixels=48 * 32, min_side=32) == (
        ImageData(content=content, format="png", width=48, height=32),
        (),
    )


def raw_png(
    *pieces: bytes,
    size: tuple[int, int] = (2, 2),
    colour: int = 2,
    depth: int = 8,
    channels: int = 3,
    extra: bytes = b"",
) -> bytes:
    """Return a PNG of black rows, with data after the last one, and these chunks before them."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    data = zlib.compress(bytes(1 + size[0] * channels * depth // 8) * size[1] + extra)
    rows = [chunk(b"IDAT", data[:5]), chunk(b"IDAT", data[5:])]
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *pieces, *rows, chunk(b"IEND")])


def inflated(content: bytes) -> bytes:
    """Return the rows of a PNG, and the data after them."""
    found = b""
    at = 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        found += content[at + 8 : at + 8 + length] if content[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(found)


@pytest.mark.parametrize(("colour", "channels", "key"), [(0, 1, 0), (2, 3, 0), (0, 1, 1), (2, 3, 1)])
def test_a_png_with_a_transparent_colour_shows_through(colour: int, channels: int, key: int) -> None:
    """It gets an alpha channel; where no pixel has that colour, none."""
    transparent = chunk(b"tRNS", bytes((0, key)) * channels)
    made = fit(raw_png(transparent, colour=colour, channels=channels))[0]
    assert opened(made).mode == ("RGB" if key else "RGBA")


@pytest.mark.parametrize("extra", [HIDDEN, bytes(7), bytes(100_000)])
def test_cropped_rows_are_not_sent(extra: bytes) -> None:
    """A program that crops may leave them after the last visible row."""
    made, notices = fit(raw_png(extra=extra))
    assert notices == ()
    assert opened(made).size == (2, 2)
    assert len(inflated(made.content)) == 2 * 7


def test_data_after_the_compressed_data_is_not_sent() -> None:
    """Neither in the last chunk of data, nor in one more, nor behind the end."""
    plain = raw_png()
    end = plain.index(b"IEND") - 4
    hidden = [
        plain[:end] + chunk(b"IDAT", HIDDEN) + plain[end:],
        plain + HIDDEN,
        plain + chunk(b"tEXt", HIDDEN),
        plain[:end] + chunk(b"IDAT", HIDDEN * 20_000) + plain[end:],
    ]
    for content in hidden:
        made = fit(content)[0].content
        assert HIDDEN not in made
        assert inflated(made) == bytes(14)


@pytest.mark.parametrize(
    "piece",
    [
        chunk(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1"),
        chunk(b"sBIT", b"\5\6\5"),
        chunk(b"bKGD", bytes(6)),
        chunk(b"gAMA", b"\0\0\xb1\x8f" + HIDDEN),
        chunk(b"sRGB", b"\0" + HIDDEN),
        chunk(b"cHRM", bytes(31)),
        chunk(b"cHRM", (HIDDEN * 3)[:32]),
        chunk(b"gAMA", HIDDEN[:4]),
        chunk(b"iCCP", HIDDEN + b"\0\0" + zlib.compress(HIDDEN)),
        chunk(b"iCCP", b"x\0\0" + HIDDEN),
        chunk(b"PLTE", bytes(9)),
        chunk(b"prVt", HIDDEN),
        b"\0\0\0\1sRGB\0" + HIDDEN[:4],
    ],
)
def test_only_the_colours_of_a_png_are_kept_and_of_exact_length(piece: bytes) -> None:
    """The rest can contain anything, and so can a checksum of nothing."""
    made = fit(raw_png(piece))[0].content
    assert made in {raw_without_chunks(), raw_without_chunks(chunk(b"sRGB", b"\0"))}


def raw_without_chunks(*pieces: bytes) -> bytes:
    """Return the image of `raw_png`, with its data in one chunk."""
    content = raw_png(*pieces)
    first = content.index(b"IDAT") - 4
    return content[:first] + chunk(b"IDAT", zlib.compress(bytes(14))) + chunk(b"IEND")


@pytest.mark.parametrize(
    "piece",
    [chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"sRGB", b"\1"), chunk(b"cHRM", bytes(32)), chunk(b"cICP", bytes(4))],
)
def test_chunks_with_colours_of_a_png_are_kept(piece: bytes) -> None:
    """Once: a second one could say anything."""
    assert fit(raw_png(piece, piece))[0].content == raw_without_chunks(piece)


def test_a_profile_is_kept_without_its_name_and_trailing_data() -> None:
    """It states its length."""
    body = HIDDEN[:20] + b"\0\0" + zlib.compress(PROFILE + HIDDEN)
    made = fit(raw_png(chunk(b"iCCP", body)))[0]
    assert opened(made).info["icc_profile"] == PROFILE
    assert HIDDEN[:20] not in made.content


def test_the_rows_below_a_cropped_jpeg_do_not_leave() -> None:
    """Its header says that it is lower than its data is."""
    whole = written(photo(), "jpeg")
    made = fit(whole.replace(struct.pack(">HH", 120, 200), struct.pack(">HH", 16, 200), 1))[0]
    assert (made.width, made.height) == (200, 16)
    assert len(made.content) < len(whole) / 4
    assert difference(opened(made), opened(whole).crop((0, 0, 200, 16))) < 3


@pytest.mark.parametrize(
    "options", [{"quality": 30, "subsampling": 0}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 95}]
)
def test_a_jpeg_loses_next_to_nothing(options: Mapping[str, Any]) -> None:
    """It is compressed again with the same quantization, and is not larger."""
    content = written(Image.blend(photo(), Image.new("RGB", (200, 120), "gray"), 0.5), "jpeg", **options)
    made, notices = fit(content)
    assert notices == ()
    assert difference(opened(made), opened(content)) < 1
    assert len(made.content) < len(content) * 1.02
    assert opened(made).info.get("progressive") == opened(content).info.get("progressive")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_quantization_that_no_channel_has_is_left_out(mode: str, number: int) -> None:
    """It could say anything, and must not become that of a channel."""
    content = written(drawn(mode), "jpeg", quality=90)
    start, hidden = content.index(b"\xff\xda"), (HIDDEN * 5)[:64]
    spoiled = content[:start] + b"\xff\xdb\0\x43" + bytes((number,)) + hidden + content[start:]
    is_used = mode == "RGB" and number == 1
    made = fit(spoiled)[0].content
    assert (made == fit(content)[0].content, hidden in made) == (not is_used, is_used)


@pytest.mark.parametrize("numbers", [b"\1\0\0", b"\0\1\0", b"\1\1\1"])
def test_each_channel_of_a_jpeg_keeps_its_quantization(numbers: bytes) -> None:
    """Whatever number it has in the file."""
    content = bytearray(written(photo(), "jpeg", qtables=[[1] * 64, [40] * 64]))
    frame = content.index(b"\xff\xc0")
    for channel, number in enumerate(numbers):
        content[frame + 12 + 3 * channel] = number
    before, made = opened(bytes(content)), opened(fit(bytes(content))[0])

    def of_channels(image: Any) -> list[int]:
        return [image.quantization[table][0] for *_, table in image.layer]

    assert of_channels(made) == of_channels(before) == [(1, 40)[number] for number in numbers]


def test_a_webp_without_loss_stays_so() -> None:
    """Every pixel."""
    content = written(photo(), "webp", lossless=True)
    assert difference(opened(fit(content, formats=("webp",))[0]), opened(content)) == 0


def test_thumbnails_are_left_out() -> None:
    """They may show what was cut away."""
    content = written(drawn(), "jpeg")
    header = content[: content.index(b"JFIF\0") + 12]
    thumbnail = bytes((2, 2)) + b"\xab\xcd\xef" * 4
    spoiled = header[:4] + (16 + 12).to_bytes(2) + header[6:] + thumbnail + content[20:]
    assert opened(spoiled).tobytes() == opened(content).tobytes()
    assert thumbnail not in fit(spoiled)[0].content


def test_further_images_of_a_telephone_are_left_out() -> None:
    """They append previews and depth maps, with separate metadata, and short films."""
    content = written(drawn(), "mpo", save_all=True, append_images=[photo()], exif=exif())
    bare, notices = fit(content)
    assert (bare.format, notices) == ("jpeg", ())
    assert bare.content.count(b"\xff\xd8\xff") == 1
    assert difference(opened(bare), opened(content)) < 1.5


# --- what has to change


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(2, (1, 0)), (3, (1, 1)), (4, (0, 1)), (5, (0, 0)), (6, (1, 0)), (7, (1, 1)), (8, (0, 1))],
)
def test_the_orientation_is_applied(kind: str, orientation: int, corner: tuple[int, int]) -> None:
    """Where the camera was turned, its pixels are."""
    turned, notices = fit(written(drawn(), kind, exif=exif(orientation)), formats=(kind,))
    image = opened(turned)
    assert notices == ()
    assert image.size == (turned.width, turned.height) == ((48, 32) if orientation < 5 else (32, 48))
    assert [place for place in ((0, 0), (1, 0), (0, 1), (1, 1)) if is_red(image, *place)] == [corner]
    assert not image.getexif()
    assert HIDDEN not in turned.content


@pytest.mark.parametrize("tiff", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", b"nonsense"])
def test_an_unreadable_orientation_is_upright(tiff: bytes) -> None:
    """As for everybody else."""
    content = written(drawn(), "jpeg", exif=b"Exif\0\0" + tiff)
    assert (probe(content).width, fit(content)[0].width) == (48, 48)
    assert probe(written(drawn(), "jpeg", exif=exif(9))).width == 48


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("kind", ["jpeg", "webp", "gif"])
def test_every_mode_of_png_becomes_every_other_format(mode: str, kind: str) -> None:
    """And looks the same; one whose alpha hides nothing has none."""
    made, notices = fit(written(drawn(mode), "png"), formats=(kind,))
    image = opened(made).convert("RGB")
    assert (made.format, image.size) == (kind, SIZE)
    deep = ("The image was converted to 8 bits per channel.",) if mode == "I;16" else ()
    change = f"The image was converted from PNG to {NAMES[kind]} for this provider, which takes {kind}."
    assert notices == (*deep, change)
    assert is_red(image, 0, 0) == (mode in {"P", "RGB", "RGBA"})
    expected = drawn(mode if mode in {"1", "L"} else "L" if mode in {"LA", "I;16"} else "RGB").convert("RGB")
    assert abs(middle(image) - middle(expected)) < 24


NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "gif": "GIF"}


def middle(image: Image.Image) -> int:
    """Return the mean of green over the image."""
    return image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))[1]  # type: ignore[index]  # an RGB pixel has three


def test_cmyk_becomes_rgb_without_the_profile_of_its_inks() -> None:
    """No provider says that it takes inks."""
    inks = PROFILE[:16] + b"CMYK" + PROFILE[20:]
    content = written(drawn("CMYK"), "jpeg", icc_profile=inks)
    for kind in ("jpeg", "png"):
        made, notices = fit(content, formats=(kind,))
        image = opened(made)
        assert (image.mode, image.info.get("icc_profile")) == ("RGB", None)
        assert is_red(image, 0, 0)
        assert notices[0] == "The image was converted from CMYK to RGB."


def test_the_colour_profile_survives_a_conversion() -> None:
    """As long as it describes the colours there are."""
    content = written(drawn(), "jpeg", icc_profile=PROFILE)
    for kind in ("png", "webp"):
        assert opened(fit(content, formats=(kind,))[0]).info["icc_profile"] == PROFILE


@pytest.mark.parametrize(
    ("formats", "kind", "mode"),
    [
        (("png", "jpeg"), "png", "RGBA"),
        (("jpeg", "png", "webp"), "png", "RGBA"),
        (("jpeg", "webp"), "webp", "RGBA"),
        (("jpeg",), "jpeg", "RGB"),
    ],
)
def test_transparency_decides_the_format(formats: tuple[str, ...], kind: str, mode: str) -> None:
    """Transparency is kept if possible, else becomes white, with a notice."""
    content = written(see_through().convert("P"), "gif", transparency=see_through().convert("P").getpixel((47, 0)))
    made, notices = fit(content, formats=formats)
    image = opened(made)
    assert (made.format, image.mode) == (kind, mode)
    ground = " on a white background" if kind == "jpeg" else ""
    assert notices == (f"The image was converted from GIF to {NAMES[kind]}{ground}.",)
    expected = (255, 255, 255) if kind == "jpeg" else 0
    right = image.getpixel((40, 16))
    assert (right if kind == "jpeg" else right[3]) == expected  # type: ignore[index]  # an RGBA pixel has four


@pytest.mark.parametrize("options", [{"transparency": 0}, {"transparency": bytes([0, 128])}])
def test_transparent_palettes_show_through(options: Mapping[str, Any]) -> None:
    """One colour of it, or some of each."""
    image = Image.new("P", SIZE, 0)
    image.putpalette([0, 0, 0, 9, 9, 9])
    made = opened(fit(written(image, "png", **options), formats=("jpeg",))[0])
    assert made.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["png", "webp", "gif"])
@pytest.mark.parametrize("wanted", [None, "jpeg"])
def test_of_an_animation_the_first_frame_is_used(kind: str, wanted: str | None) -> None:
    """In its format, or in another."""
    made, (notice, *_) = fit(animated(kind), formats=(wanted,) if wanted else FORMATS)
    assert notice == "Only the first frame of the animation is used."
    assert made.format == (wanted or {"gif": "png"}.get(kind, kind))
    image = opened(made)
    assert getattr(image, "n_frames", 1) == 1
    assert is_red(image, 0, 0)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_too_many_pixels_are_scaled_down(kind: str) -> None:
    """In proportion, with a notice."""
    made, notices = fit(written(drawn(size=(600, 400)), kind), max_pixels=24_000, formats=(kind,))
    assert (made.format, made.width, made.height) == (kind, 189, 126)
    assert notices == ("The image was scaled from 600x400 to 189x126 for this provider's limit of 24,000 pixels.",)
    assert opened(made).size == (189, 126)
    assert is_red(opened(made), 0, 0)


def test_a_very_long_image_keeps_a_pixel_of_its_height() -> None:
    """And stays within the limit."""
    made, _ = fit(written(drawn(size=(5000, 2)), "png"), max_pixels=900)
    assert (made.width, made.height) == (900, 1)


def test_see_through_edges_stay_clean_when_scaled() -> None:
    """What is invisible has a colour, too, and it must not bleed."""
    image = Image.new("RGBA", (60, 60), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 31, 60))
    scaled = opened(fit(written(image, "png"), max_pixels=100)[0])
    for x in range(10):
        red, green, _, alpha = scaled.getpixel((x, 5))  # type: ignore[misc]  # an RGBA pixel has four
        assert alpha < 20 or green < 20 < red


def test_too_many_bytes_are_compressed_then_scaled() -> None:
    """As little as possible of each."""
    jpeg, png = written(photo(), "jpeg", quality=98), written(photo(), "png")
    fewer = "for the limit of"
    assert fit(jpeg, max_bytes=20_000)[1] == (f"The image was compressed more strongly {fewer} 20,000 bytes.",)
    assert fit(png, max_bytes=40_000)[1] == (f"The image was converted from PNG to JPEG {fewer} 40,000 bytes.",)
    made, notices = fit(png, max_bytes=20_000, formats=("png",))
    assert notices == (f"The image was scaled from 200x120 to {made.width}x{made.height} {fewer} 20,000 bytes.",)
    for content in (jpeg, png):
        made, _ = fit(content, max_bytes=3000)
        assert len(made.content) <= 3000
        assert opened(made).size == (made.width, made.height)


def test_transparency_stays_when_there_are_too_many_bytes() -> None:
    """It is rather scaled."""
    image = photo()
    image.putalpha(Image.effect_noise(image.size, 80))
    content = written(image, "png")
    made, _ = fit(content, max_bytes=30_000)
    assert (made.format, opened(made).mode) == ("png", "RGBA")
    assert 0.6 * 30_000 < len(made.content) <= 30_000
    made, notices = fit(content, max_bytes=30_000, formats=("png", "webp"))
    assert (made.format, opened(made).mode) == ("webp", "RGBA")
    assert notices[0] == "The image was converted from PNG to WebP for the limit of 30,000 bytes."


def test_a_large_image_far_above_the_limit_is_scaled_without_trying_every_quality() -> None:
    """By an estimate, close to the limit; no WebP of so many pixels is written."""
    noise = written(Image.effect_noise((3000, 3000), 80), "png", compress_level=0)
    made, notices = fit(noise, max_bytes=400_000, formats=("png", "jpeg"))
    assert (made.format, len(notices)) == ("jpeg", 2)
    assert 200_000 < len(made.content) <= 400_000
    flat = written(Image.new("RGBA", (3000, 3000), (1, 2, 3, 4)), "png", compress_level=1)
    made, _ = fit(flat, max_bytes=len(flat) // 2, formats=("png", "webp"))
    assert (made.format, opened(made).mode) == ("webp", "RGBA")
    assert made.width * made.height <= 8_000_000


def test_a_large_webp_becomes_a_format_that_is_encoded_faster() -> None:
    """As far as the provider takes it."""
    content = written(Image.new("RGB", (3000, 3000), "teal"), "webp")
    made, notices = fit(content, formats=FORMATS)
    assert (made.format, made.width) == ("jpeg", 3000)
    assert notices == ("The image was converted from WebP to JPEG.",)
    assert fit(content, formats=("webp",))[0].format == "webp"


def test_an_image_that_cannot_be_brought_within_the_bytes() -> None:
    """It ends."""
    reason = refusal(written(photo(), "png"), max_bytes=30)
    assert reason == "it cannot be made as small as the limit of 30 bytes"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_side": 33}, "it has 48x32 pixels"),
        ({"min_side": 30, "max_pixels": 1000}, "scaled for this provider's other limits it would have 38x25 pixels"),
    ],
)
def test_too_small_cannot_be_corrected(limits: Mapping[str, int], reason: str) -> None:
    """Nor what would be too small afterwards."""
    taken = f"this provider takes at least {limits['min_side']} on each side"
    assert refusal(written(drawn(), "png"), **limits) == f"{reason}, and {taken}"


def test_the_smallest_side_is_that_of_the_upright_image() -> None:
    """A provider gets the upright image."""
    assert "it has 32x48 pixels" in refusal(written(drawn(), "jpeg", exif=exif(6)), min_side=40)


def test_a_size_that_a_format_cannot_have_is_an_error() -> None:
    """WebP ends at 16383 pixels."""
    reason = refusal(written(Image.new("RGB", (17_000, 2)), "png"), formats=("webp",))
    assert "it cannot be written as WebP of 17000x2 pixels" in reason

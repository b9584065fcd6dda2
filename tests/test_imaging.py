"""What the bytes of a picture are, and making them fit: real files, written by Pillow and then spoiled."""

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from journey_mcp.anatomy import NotAPicture
from journey_mcp.imaging import FORMATS, Limits, PictureData, check_same_size, look, made_fit

HIDDEN = b"51.5007 north"
"""What must not leave the machine: every piece of metadata of these tests says it."""
SIZE = (48, 32)


def drawn(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """A red corner at the top left on a gradient, so that every turn shows."""
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 3, size[1] // 3), fill="red")
    if mode == "I;16":
        return picture.convert("L").convert(mode).point(lambda value: value * 257)
    return picture.convert(mode)


def photo() -> Image.Image:
    """Something that does not compress well."""
    return Image.effect_noise((200, 120), 80).convert("RGB")


def see_through() -> Image.Image:
    """Black, and transparent in the right half."""
    picture = Image.new("RGBA", SIZE, "black")
    picture.paste((0, 0, 0, 0), (SIZE[0] // 2, 0, *SIZE))
    return picture


def written(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The file."""
    file = io.BytesIO()
    picture.save(file, kind.upper(), **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    """Three frames, of which the first is drawn()."""
    others = [Image.new("RGB", SIZE, colour) for colour in ("blue", "green")]
    frames = [frame.convert("P") if kind == "gif" else frame for frame in (drawn(), *others)]
    return written(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def exif(orientation: int = 1) -> Image.Exif:
    """A camera, a place, and how it was held."""
    made = Image.Exif()
    made[0x0112], made[0x010F] = orientation, HIDDEN.decode()
    place = made.get_ifd(0x8825)
    place[1], place[2], place[29] = "N", (51.0, 30.0, 2.5), HIDDEN.decode()
    return made


def opened(data: PictureData | bytes) -> Image.Image:
    """What another program sees, decoded."""
    picture = Image.open(io.BytesIO(data if isinstance(data, bytes) else data.content))
    picture.load()
    return picture


def is_red(picture: Image.Image, x: float, y: float) -> bool:
    """Whether the red corner lies there, in parts of width and height."""
    at = int(x * (picture.width - 1)), int(y * (picture.height - 1))
    red, green, blue = picture.convert("RGB").resize(picture.size).load()[at]  # type: ignore[index, misc]  # of Pillow
    return bool(red > 200 and green < 80 and blue < 80)


def fit(content: bytes, **limits: Any) -> tuple[PictureData, tuple[str, ...]]:
    """Within these limits."""
    return made_fit(content, Limits(**limits))


def refusal(content: bytes, **limits: Any) -> str:
    """Why it is not taken."""
    with pytest.raises(NotAPicture) as caught:
        fit(content, **limits)
    return str(caught.value)


def refused_at_sight(content: bytes) -> str:
    """Why it is not even looked at."""
    with pytest.raises(NotAPicture) as caught:
        look(content)
    return str(caught.value)


# --- looking


@pytest.mark.parametrize("kind", FORMATS)
def test_format_and_size_are_seen(kind: str) -> None:
    """By the bytes alone."""
    content = written(drawn(), kind)
    seen = look(content)
    assert seen == PictureData(content=content, format=kind, width=48, height=32)
    assert seen.mime_type == f"image/{kind}"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_the_one_that_is_shown(kind: str, orientation: int) -> None:
    """A camera that was held upright turns width and height."""
    seen = look(written(drawn(), kind, exif=exif(orientation)))
    assert (seen.width, seen.height) == ((48, 32) if orientation < 5 else (32, 48))


def test_no_pixels_are_decoded_to_look() -> None:
    """Only the start of the file counts."""
    for kind in ("png", "jpeg", "gif"):
        content = written(photo(), kind)
        assert look(content[: len(content) // 2]).width == 200


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>", " but a web page"),
        (b"\n <html lang=en>", " but a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', " but an SVG drawing"),
        (b'{"error": "no"}', " but JSON"),
        (b"%PDF-1.7", " but a PDF document"),
        (written(drawn(), "bmp"), " but a BMP picture"),
        (written(drawn(), "tiff"), " but a TIFF picture"),
        (written(drawn(), "avif"), " but an AVIF picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", " but an HEIC picture"),
        (b"API_KEY=secret", ""),
        (b"GIF90a", ""),
        (b"RIFF\0\0\0\0WAVE", ""),
    ],
)
def test_what_is_no_picture_is_told_by_its_kind(content: bytes, kind: str) -> None:
    """Nothing of the content is repeated: it may be a file of secrets."""
    assert refused_at_sight(content) == f"it is neither PNG, JPEG, WebP nor GIF{kind}"


def test_nothing_is_no_picture() -> None:
    """Nor are 64 MiB and a byte."""
    assert refused_at_sight(b"") == "it is empty"
    too_much = written(drawn(), "png") + bytes(64 * 1024**2)
    assert "bytes, and at most 67,108,864 can be handled" in refused_at_sight(too_much)


# --- bombs and damage


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims this size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def bomb(width: int, height: int) -> bytes:
    """A small PNG of this size, complete and all black."""
    deflate = zlib.compressobj(9, wbits=-15)
    # after a full flush every row is compressed to the same bytes, so one row is enough for all of them
    row = deflate.compress(bytes(1 + width * 3)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = (1 + width * 3) * height % 65521 << 16 | 1  # Adler-32 of zeros
    data = b"IDAT\x78\xda" + row * height + deflate.flush() + struct.pack(">I", checksum)
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return png_header(width, height) + chunk + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize(
    "content",
    [
        bomb(10_000, 9_000),
        png_header(10_000, 9_000) + b"\0\0\0\5IDAT" + bytes(9),
        png_header(100_000, 100_000) + b"\0\0\0\5IDAT" + bytes(9),
        b"GIF89a"
        + struct.pack("<HHBBB", *SIZE, 0, 0, 0)
        + struct.pack("<BHHHHB", 44, 0, 0, 65535, 65535, 0)
        + b"\2\0;",
        written(drawn(), "jpeg").replace(struct.pack(">HH", *SIZE[::-1]), struct.pack(">HH", 65500, 65500), 1),
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3e\0\xff\x3e\0",
    ],
)
def test_decompression_bombs_are_refused_by_their_header(content: bytes) -> None:
    """Before a pixel of them needs memory; above 89 megapixels."""
    for reason in (refused_at_sight(content), refusal(content)):
        assert "pixels" in reason
        assert "can be handled" in reason


def test_the_bombs_of_these_tests_are_whole_pictures() -> None:
    """A decoder without limits would draw every pixel of them."""
    picture = opened(bomb(500, 300))
    assert (picture.size, picture.getextrema()) == ((500, 300), ((0, 0),) * 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_our_own_bound_counts_where_pillow_only_warns() -> None:
    """As it does between its bound and twice as many pixels."""
    assert refused_at_sight(bomb(10_000, 9_000)) == "it has 10000x9000 pixels, and at most 89,478,485 can be handled"


def test_a_jpeg_of_many_scans_is_refused() -> None:
    """A few bytes each make the decoder walk over the whole picture again."""
    content = written(drawn(), "jpeg")
    scan = content[content.index(b"\xff\xda") : -2]
    empty = scan[: 2 + int.from_bytes(scan[2:4])]
    for more in (scan, empty):
        assert refused_at_sight(content[:-2] + more * 100 + b"\xff\xd9") == (
            "it is a progressive JPEG of more than 100 scans"
        )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("limits", [{}, {"max_pixels": 500}])
def test_files_that_are_cut_off_are_refused(kind: str, limits: Mapping[str, int]) -> None:
    """Also when nothing would have to change."""
    content = written(photo(), kind)
    for length in (20, len(content) // 2, len(content) - 200):
        reason = refusal(content[:length], **limits)
        assert reason == f"it is a {NAMES[kind]} that is cut off" or "that is damaged (" in reason
        assert length < 100 or "cut off" in reason or kind == "webp"


def test_spoiled_pixels_are_found_before_anybody_pays() -> None:
    """Though the file is whole, and nothing would have to change."""
    content = bytearray(written(photo(), "png"))
    content[len(content) // 3 : len(content) // 3 + 500] = bytes(500)
    assert look(bytes(content)).width == 200
    assert refusal(bytes(content)).startswith("it is a PNG that is damaged (")


def test_what_only_starts_as_a_picture_is_refused() -> None:
    """However little there is."""
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\4\0\0\0WEBP", b"GIF89a"):
        assert "that is damaged (" in refused_at_sight(start)
        assert "that is damaged (its start cannot be read)" in refused_at_sight(start + b"nonsense" * 10)


def test_a_png_without_its_colours_is_refused() -> None:
    """Pillow would decode it."""
    content = written(drawn("P"), "png")
    start = content.index(b"PLTE") - 4
    size = struct.unpack(">I", content[start : start + 4])[0]
    assert refusal(content[:start] + content[start + 12 + size :]) == "it is a PNG whose colours are missing"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_spoiled_files_are_refused_or_mended(data: st.DataObject) -> None:
    """Nothing but NotAPicture comes out of them, and what is taken can be taken again as it is."""
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)):
        content[at % len(content)] = byte
    cut = data.draw(st.integers(8, len(content)))
    limits = data.draw(st.sampled_from([Limits(), Limits(formats=("png",)), Limits(max_pixels=500)]))
    try:
        taken, _ = made_fit(bytes(content[:cut]), limits)
    except NotAPicture:
        return
    assert made_fit(taken.content, limits) == (taken, ())


# --- what is left out


def with_everything(kind: str) -> bytes:
    """A picture with all the metadata that its format can carry, and something appended."""
    picture, xmp = drawn(), b"<x:xmpmeta>" + HIDDEN + b"</x:xmpmeta>"
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", HIDDEN.decode())
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        texts.add(b"prVt", HIDDEN)
        content = written(picture, kind, exif=exif(), pnginfo=texts, icc_profile=PROFILE)
    elif kind == "gif":
        content = written(picture.convert("P"), kind, comment=HIDDEN)
        xmp_block = b"!\xff\x0bXMP DataXMP" + bytes((len(HIDDEN),)) + HIDDEN + b"\0"
        content = content[:-1] + xmp_block + b";"
    else:
        comment = {"comment": HIDDEN} if kind == "jpeg" else {}
        content = written(picture, kind, exif=exif(), xmp=xmp, icc_profile=PROFILE, **comment)
    return content + HIDDEN


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SAMPLES = [*(with_everything(kind) for kind in FORMATS), *(animated(kind) for kind in ("png", "webp", "gif"))]


@pytest.mark.parametrize("kind", FORMATS)
def test_metadata_is_left_out_and_no_pixel_changes(kind: str) -> None:
    """No camera, place, comment, private piece or appended file; the colours stay as they are meant."""
    content = with_everything(kind)
    assert HIDDEN in content
    bare, notices = fit(content)
    assert notices == ()
    assert HIDDEN not in bare.content
    assert b"Exif" not in bare.content
    picture = opened(bare)
    assert not picture.getexif()
    assert picture.tobytes() == opened(content).tobytes()
    assert picture.info.get("icc_profile") == (None if kind == "gif" else PROFILE)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_without_metadata_stays_byte_for_byte(kind: str) -> None:
    """Within the limits, at their very edge."""
    content = fit(with_everything(kind))[0].content
    assert fit(content, formats=(kind,), max_bytes=len(content), max_pixels=48 * 32, min_side=32) == (
        PictureData(content=content, format=kind, width=48, height=32),
        (),
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("jpeg", {"quality": 30, "subsampling": 0}),
        ("jpeg", {"progressive": True}),
        ("jpeg", {"restart_marker_rows": 1}),
        ("webp", {"lossless": True}),
        ("png", {"compress_level": 1}),
        ("gif", {"interlace": 1}),
    ],
)
def test_unusual_files_stay_what_they_are(kind: str, options: Mapping[str, Any]) -> None:
    """Nothing is compressed a second time."""
    content = written(photo(), kind, **options)
    bare = fit(content)[0].content
    assert opened(bare).tobytes() == opened(content).tobytes()
    assert bare.removeprefix(b"GIF87a") == content.removeprefix(b"GIF87a")


def test_a_webp_does_not_announce_what_was_left_out() -> None:
    """Strict readers would miss it: the flags for EXIF and XMP are gone, the one for the profile is not."""
    content = with_everything("webp")
    assert (content[20], fit(content)[0].content[20]) == (0x2C, 0x20)


def test_thumbnails_are_left_out() -> None:
    """They may show what was cut away."""
    content = written(drawn(), "jpeg")
    header = content[: content.index(b"JFIF\0") + 12]
    thumbnail = bytes((2, 2)) + b"\xab\xcd\xef" * 4
    spoiled = header[:4] + (16 + 12).to_bytes(2) + header[6:] + thumbnail + content[20:]
    assert opened(spoiled).tobytes() == opened(content).tobytes()
    assert fit(spoiled)[0].content == content


def test_the_other_pictures_of_a_telephone_are_left_out() -> None:
    """They append previews and depth maps, with metadata of their own, and short films."""
    content = written(drawn(), "mpo", save_all=True, append_images=[photo()], exif=exif())
    bare, notices = fit(content)
    assert (bare.format, notices) == ("jpeg", ())
    assert bare.content.count(b"\xff\xd8\xff") == 1
    assert opened(bare).tobytes() == opened(content).tobytes()


# --- what has to change


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(2, (1, 0)), (3, (1, 1)), (4, (0, 1)), (5, (0, 0)), (6, (1, 0)), (7, (1, 1)), (8, (0, 1))],
)
def test_pictures_are_put_upright(kind: str, orientation: int, corner: tuple[int, int]) -> None:
    """Where the camera was turned, its pixels are."""
    turned, notices = fit(written(drawn(), kind, exif=exif(orientation)))
    picture = opened(turned)
    assert notices == ()
    assert picture.size == (turned.width, turned.height) == ((48, 32) if orientation < 5 else (32, 48))
    assert [place for place in ((0, 0), (1, 0), (0, 1), (1, 1)) if is_red(picture, *place)] == [corner]
    assert not picture.getexif()
    assert HIDDEN not in turned.content


@pytest.mark.parametrize("tiff", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", b"nonsense"])
def test_an_orientation_that_cannot_be_read_is_upright(tiff: bytes) -> None:
    """As for everybody else."""
    content = written(drawn(), "jpeg", exif=b"Exif\0\0" + tiff)
    assert (look(content).width, fit(content)[0].width) == (48, 48)
    assert look(written(drawn(), "jpeg", exif=exif(9))).width == 48


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("kind", ["jpeg", "webp", "gif"])
def test_every_mode_of_png_becomes_every_other_format(mode: str, kind: str) -> None:
    """And looks the same; one whose alpha hides nothing has none."""
    made, notices = fit(written(drawn(mode), "png"), formats=(kind,))
    picture = opened(made).convert("RGB")
    assert (made.format, picture.size) == (kind, SIZE)
    assert notices == (f"The picture was converted from PNG to {NAMES[kind]} for this provider, which takes {kind}.",)
    assert is_red(picture, 0, 0) == (mode in {"P", "RGB", "RGBA"})
    expected = drawn(mode if mode in {"1", "L"} else "L" if mode in {"LA", "I;16"} else "RGB").convert("RGB")
    assert abs(middle(picture) - middle(expected)) < 24


NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "gif": "GIF"}


def middle(picture: Image.Image) -> int:
    """The mean of green over the picture."""
    return picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))[1]  # type: ignore[index]  # an RGB pixel has three


def test_cmyk_becomes_rgb_without_the_profile_of_its_inks() -> None:
    """And stays as it is where JPEG is taken."""
    inks = PROFILE[:16] + b"CMYK" + PROFILE[20:]
    content = written(drawn("CMYK"), "jpeg", icc_profile=inks)
    assert opened(fit(content)[0]).mode == "CMYK"
    made = opened(fit(content, formats=("png",))[0])
    assert (made.mode, made.info.get("icc_profile")) == ("RGB", None)
    assert is_red(made, 0, 0)


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
def test_what_shows_through_decides_the_format(formats: tuple[str, ...], kind: str, mode: str) -> None:
    """Transparency is kept where that is possible, else becomes white, and that is told."""
    content = written(see_through().convert("P"), "gif", transparency=see_through().convert("P").getpixel((47, 0)))
    made, notices = fit(content, formats=formats)
    picture = opened(made)
    assert (made.format, picture.mode) == (kind, mode)
    ground = " on a white ground" if kind == "jpeg" else ""
    change = f"The picture was converted from GIF to {NAMES[kind]}{ground}"
    assert notices == (f"{change} for this provider, which takes {', '.join(formats)}.",)
    expected = (255, 255, 255) if kind == "jpeg" else 0
    right = picture.getpixel((40, 16))
    assert (right if kind == "jpeg" else right[3]) == expected  # type: ignore[index]  # an RGBA pixel has four


@pytest.mark.parametrize("options", [{"transparency": 0}, {"transparency": bytes([0, 128])}])
def test_transparent_palettes_show_through(options: Mapping[str, Any]) -> None:
    """One colour of it, or some of each."""
    picture = Image.new("P", SIZE, 0)
    picture.putpalette([0, 0, 0, 9, 9, 9])
    made = opened(fit(written(picture, "png", **options), formats=("jpeg",))[0])
    assert made.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["png", "webp", "gif"])
@pytest.mark.parametrize("wanted", [None, "jpeg"])
def test_of_an_animation_the_first_frame_is_used(kind: str, wanted: str | None) -> None:
    """In its own format, or in another one."""
    made, (notice, *_) = fit(animated(kind), formats=(wanted,) if wanted else None)
    assert notice == "Only the first frame of the animation is used."
    assert made.format == (wanted or kind)
    picture = opened(made)
    assert getattr(picture, "n_frames", 1) == 1
    assert is_red(picture, 0, 0)


@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels_are_scaled_down(kind: str) -> None:
    """In proportion, and told."""
    made, notices = fit(written(drawn(size=(600, 400)), kind), max_pixels=24_000)
    assert (made.format, made.width, made.height) == (kind, 189, 126)
    assert notices == ("The picture was scaled from 600x400 to 189x126 for this provider's limit of 24,000 pixels.",)
    assert opened(made).size == (189, 126)
    assert is_red(opened(made), 0, 0)


def test_a_very_long_picture_keeps_a_pixel_of_its_height() -> None:
    """And stays within the limit."""
    made, _ = fit(written(drawn(size=(5000, 2)), "png"), max_pixels=900)
    assert (made.width, made.height) == (900, 1)


def test_see_through_edges_stay_clean_when_scaled() -> None:
    """What is invisible has a colour, too, and it must not bleed."""
    picture = Image.new("RGBA", (60, 60), (0, 255, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 31, 60))
    scaled = opened(fit(written(picture, "png"), max_pixels=100)[0])
    for x in range(10):
        red, green, _, alpha = scaled.getpixel((x, 5))  # type: ignore[misc]  # an RGBA pixel has four
        assert alpha < 20 or green < 20 < red


def test_too_many_bytes_are_compressed_then_scaled() -> None:
    """As little as possible of each."""
    jpeg, png = written(photo(), "jpeg", quality=98), written(photo(), "png")
    fewer = "for this provider's limit of"
    assert fit(jpeg, max_bytes=20_000)[1] == (f"The picture was compressed more strongly {fewer} 20,000 bytes.",)
    assert fit(png, max_bytes=40_000)[1] == (f"The picture was converted from PNG to JPEG {fewer} 40,000 bytes.",)
    made, notices = fit(png, max_bytes=20_000, formats=("png",))
    assert notices == (f"The picture was scaled from 200x120 to {made.width}x{made.height} {fewer} 20,000 bytes.",)
    for content in (jpeg, png):
        made, _ = fit(content, max_bytes=3000)
        assert len(made.content) <= 3000
        assert opened(made).size == (made.width, made.height)


def test_what_shows_through_stays_so_when_there_are_too_many_bytes() -> None:
    """It is rather scaled."""
    picture = photo()
    picture.putalpha(Image.effect_noise(picture.size, 80))
    made, _ = fit(written(picture, "png"), max_bytes=30_000)
    assert (made.format, opened(made).mode) == ("png", "RGBA")


def test_bytes_that_nothing_can_be_made_of() -> None:
    """It ends."""
    reason = refusal(written(photo(), "png"), max_bytes=30)
    assert reason == "it cannot be made as small as 30 bytes, this provider's limit"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_side": 33}, "it has 48x32 pixels"),
        ({"min_side": 30, "max_pixels": 1000}, "scaled for this provider's other limits it would have 38x25 pixels"),
    ],
)
def test_too_small_cannot_be_mended(limits: Mapping[str, int], reason: str) -> None:
    """Nor what would be too small afterwards."""
    taken = f"this provider takes at least {limits['min_side']} on each side"
    assert refusal(written(drawn(), "png"), **limits) == f"{reason}, and {taken}"


def test_a_side_is_the_one_that_is_shown() -> None:
    """A provider sees the upright picture."""
    assert "it has 32x48 pixels" in refusal(written(drawn(), "jpeg", exif=exif(6)), min_side=40)


def test_a_size_that_a_format_cannot_have_is_told() -> None:
    """WebP ends at 16383 pixels."""
    reason = refusal(written(Image.new("RGB", (17_000, 2)), "png"), formats=("webp",))
    assert "it cannot be written as WebP of 17000x2 pixels" in reason


# --- masks


def test_a_mask_has_the_size_of_its_picture() -> None:
    """As they are shown; else both sizes are told."""
    upright = look(written(drawn(), "jpeg", exif=exif(6)))
    check_same_size(look(written(drawn("1", (32, 48)), "png")), upright)
    with pytest.raises(NotAPicture, match="the mask has 48x32 pixels and the picture 32x48"):
        check_same_size(look(written(drawn("1"), "png")), upright)

"""Formats and modes that no provider documents: converted, with a notice."""

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from drawn import PROFILE, SIZE, chunk, drawn, exif, is_red, opened, see_through, written
from PIL import Image, ImageCms

from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import FORMATS, ImageData, Limits
from journey_mcp.media.reencode import fit_to_limits

CASES = Path(__file__).parents[1] / "cases"
ANY = FORMATS
"""What an offer takes that takes all of them."""


def fit(content: bytes, **limits: Any) -> tuple[ImageData, tuple[str, ...]]:
    """Within these limits."""
    made, notices = fit_to_limits(content, Limits(**limits))
    return made, tuple(str(notice.about("it")).removeprefix("it: ") for notice in notices)


@pytest.mark.parametrize(
    ("name", "formats", "kind", "mode", "notices"),
    [
        ("a.avif", None, "jpeg", "RGB", ("The image was converted from AVIF to JPEG.",)),
        ("a.avif", ("png",), "png", "RGB", ("The image was converted from AVIF to PNG.",)),
        ("cmyk.jpg", ANY, "jpeg", "RGB", ("The image was converted from CMYK to RGB.",)),
        ("gray16.png", ANY, "png", "L", ("The image was converted to 8 bits per channel.",)),
        ("plain.jpg", ANY, "jpeg", "RGB", ()),
        ("plain.png", ANY, "png", "RGB", ()),
        ("half_transparent.webp", ANY, "webp", "RGBA", ()),
        (
            "half_transparent.webp",
            None,
            "png",
            "RGBA",
            ("The image was converted from WebP to PNG; this provider does not say which formats it takes.",),
        ),
    ],
)
def test_given_files_become_what_every_provider_reads(
    name: str, formats: tuple[str, ...] | None, kind: str, mode: str, notices: tuple[str, ...]
) -> None:
    """8-bit RGB or grey, of the same size."""
    made, shown = fit((CASES / name).read_bytes(), formats=formats)
    image = opened(made)
    assert (made.format, image.mode, shown) == (kind, mode, notices)
    assert image.size == (made.width, made.height) == (320, 240)


def test_an_image_of_one_pixel_is_refused_where_an_offer_states_a_least_size() -> None:
    """And only there."""
    content = (CASES / "one.png").read_bytes()
    assert fit(content)[0].width == 1
    with pytest.raises(NotAnImage, match="it has 1x1 pixels, and this provider takes at least 15 on each side"):
        fit(content, min_side=15)


@pytest.mark.parametrize(("kind", "becomes"), [("bmp", "png"), ("tiff", "png"), ("avif", "jpeg"), ("heif", "jpeg")])
def test_other_formats_are_converted(kind: str, becomes: str) -> None:
    """Without loss what has none; the rest is compressed once more."""
    content = heic(drawn()) if kind == "heif" else written(drawn(), kind)
    made, notices = fit(content, formats=ANY)
    names = {"heif": "HEIC", "png": "PNG", "jpeg": "JPEG"}
    assert notices == (f"The image was converted from {names.get(kind, kind.upper())} to {names[becomes]}.",)
    assert (made.format, opened(made).size) == (becomes, SIZE)
    assert is_red(opened(made), 0, 0)


def heic(image: Image.Image, **options: Any) -> bytes:
    """Return an image as a telephone writes it."""
    import pillow_heif  # noqa: PLC0415  # registers a format for the whole process

    pillow_heif.register_heif_opener()
    return written(image, "heif", **options)


@pytest.mark.parametrize("kind", ["tiff", "avif"])
def test_other_formats_are_put_upright(kind: str) -> None:
    """And leave behind what the camera wrote."""
    content = written(drawn(), kind, exif=exif(6))
    made, _ = fit(content)
    image = opened(made)
    assert image.size == (made.width, made.height) == (32, 48)
    assert not image.getexif()
    with pytest.raises(NotAnImage, match="it has 32x48 pixels"):
        fit(content, min_side=40)


@pytest.mark.parametrize("kind", ["tiff", "avif", "heif"])
def test_other_formats_keep_transparency_and_profile(kind: str) -> None:
    """As a PNG."""
    image = see_through()
    made, _ = fit(heic(image, icc_profile=PROFILE) if kind == "heif" else written(image, kind, icc_profile=PROFILE))
    assert (made.format, opened(made).mode) == ("png", "RGBA")
    assert opened(made).info["icc_profile"] == PROFILE


@pytest.mark.parametrize(
    ("kind", "notice"),
    [
        ("tiff", "Only the first page of the TIFF is used."),
        ("avif", "Only the first frame of the animation is used."),
        ("heif", "Only the main image of the HEIC is used."),
    ],
)
def test_of_several_images_the_first_is_used(kind: str, notice: str) -> None:
    """With a notice."""
    others = [Image.new("RGB", SIZE, "blue")]
    if kind == "heif":
        content = heic(drawn(), save_all=True, append_images=others)
    else:
        content = written(drawn(), kind, save_all=True, append_images=others)
    made, notices = fit(content)
    assert notices[0] == notice
    assert is_red(opened(made), 0, 0)


def test_heic_names_its_extra_where_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is so after a plain installation."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(NotAnImage) as caught:
        fit((CASES / "photo.HEIC").read_bytes())
    assert 'pip install "journey-mcp[heic]"' in str(caught.value)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["bmp", "tiff", "avif", "heif"])
def test_damaged_files_of_other_formats_are_refused(kind: str) -> None:
    """Nothing is invented."""
    content = heic(drawn()) if kind == "heif" else written(drawn(), kind)
    for length in (40, len(content) // 2):
        with pytest.raises(NotAnImage, match="it is a damaged"):
            fit(content[:length])


def test_a_heic_of_nothing_but_a_header_is_refused() -> None:
    """As damaged, where the library is there."""
    with pytest.raises(NotAnImage, match="it is a damaged HEIC"):
        fit((CASES / "photo.HEIC").read_bytes())


def bmp_header(width: int, height: int) -> bytes:
    """Return a BMP that claims this size."""
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 9_000), (60_000, 60_000)])
def test_bombs_of_other_formats_are_refused_by_their_header(size: tuple[int, int]) -> None:
    """By Pillow, or by our limit where it only warns."""
    with pytest.raises(NotAnImage, match=r"89,478,485.* can be handled"):
        fit(bmp_header(*size))


# --- forms


def inks_profile() -> bytes:
    """Return a CMYK profile that maps any colour to the same grey: ICC.1:2001, a table of one shade."""
    shade = struct.pack(">HHH", 0x8000, 0x8000, 0x8000)
    ramp = struct.pack(">HH", 0, 0xFFFF)
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 16)
    head = b"mft2" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + struct.pack(">HH", 2, 2)
    table = head + ramp * 4 + shade * 16 + ramp * 3
    start = 128 + 4 + 12
    body = struct.pack(">I", 1) + b"A2B0" + struct.pack(">II", start, len(table)) + table
    header = bytearray(128)
    header[:4] = (128 + len(body)).to_bytes(4)
    header[8:12], header[12:24], header[36:40] = b"\x02\x40\0\0", b"prtrCMYKLab ", b"acsp"
    header[68:80] = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return bytes(header) + body


def test_inks_are_seen_through_their_profile() -> None:
    """Only it knows what colour they have on paper; one that cannot be read is as none."""
    for kind in ("jpeg", "tiff"):
        grey = opened(fit(written(drawn("CMYK"), kind, icc_profile=inks_profile()))[0])
        assert grey.mode == "RGB"
        assert "icc_profile" not in grey.info
        assert len(grey.getcolors() or []) == 1
        plain = opened(fit(written(drawn("CMYK"), kind, icc_profile=PROFILE))[0])
        assert is_red(plain, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_becomes_8_bits(mode: str) -> None:
    """In its format: grey, RGB, or RGBA if anything is transparent."""
    made, notices = fit(written(drawn(mode), "png"), formats=ANY)
    kept = {"1": "L", "L": "L", "I;16": "L", "RGBA": "RGBA"}
    image = opened(made)
    assert (made.format, image.mode) == ("png", kept.get(mode, "RGB"))
    assert made.content[24] == 8
    assert notices == (("The image was converted to 8 bits per channel.",) if mode == "I;16" else ())


def deep_png(colour: int, channels: int) -> bytes:
    """Return a PNG of 16 bits, all of one shade."""
    rows = (b"\0" + b"\x80\x40" * channels * 4) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 16, colour, 0, 0, 0)
    pieces = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


@pytest.mark.parametrize(("colour", "channels", "mode"), [(0, 1, "L"), (2, 3, "RGB"), (4, 2, "RGBA"), (6, 4, "RGBA")])
def test_16_bits_become_8(colour: int, channels: int, mode: str) -> None:
    """Of grey and RGB, with and without alpha."""
    made, notices = fit(deep_png(colour, channels))
    image = opened(made)
    assert (image.mode, made.content[24], notices) == (mode, 8, ("The image was converted to 8 bits per channel.",))
    assert image.getpixel((1, 1)) == (0x80 if mode == "L" else (0x80,) * len(mode))


@pytest.mark.parametrize(
    ("mode", "low", "high", "seen"),
    [
        ("I;16", 0, 65535, (0, 255)),
        ("I;16", 100, 200, (0, 1)),
        ("I", 0, 255, (0, 255)),
        ("I", 0, 1, (0, 255)),
        ("I", 0, 65535, (0, 255)),
        ("I", -1000, 1_000_000, (0, 255)),
        ("F", 0.0, 1.0, (0, 255)),
        ("F", 0.0, 0.5, (0, 128)),
        ("F", 0.0, 200.0, (0, 200)),
        ("F", -5.0, 5.0, (0, 255)),
        ("F", 0.0, 0.0, (0, 0)),
    ],
)
def test_grey_of_other_numbers_is_spread_over_8_bits(mode: str, low: float, high: float, seen: tuple[int, int]) -> None:
    """By the range that it seems to mean."""
    image = Image.new(mode, (4, 4), low if mode == "F" else int(low))
    image.putpixel((3, 3), high if mode == "F" else int(high))
    made, notices = fit(written(image, "tiff"))
    assert "The image was converted to 8 bits per channel." in notices
    assert (opened(made).mode, opened(made).getextrema()) == ("L", seen)


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "LA", "1", "CMYK"])
def test_other_modes_of_tiff_become_rgb_or_grey(mode: str) -> None:
    """Whatever Pillow reads of it."""
    image = drawn("RGB")
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        image = ImageCms.applyTransform(image, to_lab) or image
    else:
        image = drawn(mode)
    made = opened(fit(written(image, "tiff"))[0])
    assert made.mode in {"L", "RGB"}
    assert is_red(made, 0, 0) == (mode not in {"LA", "1"})


def test_nothing_of_the_old_file_is_in_the_new_one() -> None:
    """TIFF can hold anything in its tags."""
    file = io.BytesIO()
    drawn().save(file, "TIFF", description="51.5007 north", artist="somebody")
    made = fit(file.getvalue())[0]
    assert b"51.5007" not in made.content
    assert set(opened(made).info) == set()

"""What the bytes of an image are, without decoding a pixel: real files, written by Pillow and then spoiled."""

import re
import struct
from pathlib import Path

import pytest
from drawn import SIZE, bomb, chunk, drawn, exif, opened, photo, png_header, written

from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import FORMATS, ImageData, check_same_size, probe, readable_format_of

CASES = Path(__file__).parents[1] / "cases"


def refused_at_sight(content: bytes) -> str:
    """Return why it is not even probed."""
    with pytest.raises(NotAnImage) as caught:
        probe(content)
    return str(caught.value)


# --- looking


@pytest.mark.parametrize("kind", FORMATS)
def test_format_and_size_are_seen(kind: str) -> None:
    """By the bytes alone."""
    content = written(drawn(), kind)
    seen = probe(content)
    assert seen == ImageData(content=content, format=kind, width=48, height=32)
    assert seen.mime_type == f"image/{kind}"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_has_the_orientation_applied(kind: str, orientation: int) -> None:
    """A camera that was held upright turns width and height."""
    seen = probe(written(drawn(), kind, exif=exif(orientation)))
    assert (seen.width, seen.height) == ((48, 32) if orientation < 5 else (32, 48))


def test_no_pixels_are_decoded_to_look() -> None:
    """Only the start of the file counts."""
    for kind in ("png", "jpeg", "gif"):
        content = written(photo(), kind)
        assert probe(content[: len(content) // 2]).width == 200


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>", " but a web page"),
        (b"\n <html lang=en>", " but a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', " but an SVG drawing"),
        (b'{"error": "no"}', " but JSON"),
        (b"%PDF-1.7", " but a PDF document"),
        (written(drawn(), "bmp"), " but BMP"),
        (written(drawn(), "tiff"), " but TIFF"),
        (written(drawn(), "avif"), " but AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", " but HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", " but a film"),
        (b"API_KEY=secret", ""),
        (b"GIF90a", ""),
        (b"RIFF\0\0\0\0WAVE", ""),
    ],
)
def test_the_type_of_other_files_is_named(content: bytes, kind: str) -> None:
    """Nothing of the content is repeated: it may be a file of secrets."""
    assert refused_at_sight(content) == f"it is neither PNG, JPEG, WebP nor GIF{kind}"


def test_empty_content_is_not_an_image() -> None:
    """Nor are 64 MiB and a byte."""
    assert refused_at_sight(b"") == "it is empty"
    too_much = written(drawn(), "png") + bytes(64 * 1024**2)
    assert "bytes, and at most 67,108,864 can be handled" in refused_at_sight(too_much)


# --- bombs and damage


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
    assert re.fullmatch(r"it has \d+x\d+ pixels, and at most 89,478,485 can be handled", refused_at_sight(content))


def test_the_bombs_of_these_tests_are_complete_images() -> None:
    """A decoder without limits would draw every pixel of them."""
    image = opened(bomb(500, 300))
    assert (image.size, image.getextrema()) == ((500, 300), ((0, 0),) * 3)


def test_a_jpeg_of_many_scans_is_refused() -> None:
    """A few bytes each make the decoder walk over the whole image again."""
    content = written(drawn(), "jpeg")
    scan = content[content.index(b"\xff\xda") : -2]
    empty = scan[: 2 + int.from_bytes(scan[2:4])]
    for more in (scan, empty):
        assert refused_at_sight(content[:-2] + more * 100 + b"\xff\xd9") == (
            "it is a JPEG of 101 scans, which take too long to decode"
        )


def test_a_large_jpeg_may_have_fewer_scans() -> None:
    """Each of them takes as long as it has pixels."""
    size = struct.pack(">HH", *SIZE[::-1])
    content = written(drawn(), "jpeg", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    many = content[:-2] + scan * 20 + b"\xff\xd9"
    assert probe(many).width == 48
    assert "scans, which take too long to decode" in refused_at_sight(
        many.replace(size, struct.pack(">HH", 9000, 9000))
    )


PNG = written(drawn(), "png")
JPEG = written(drawn(), "jpeg")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PNG[:33] + chunk(b"tEXt") * 70_000 + PNG[33:], "it is a PNG of more than 65,536 chunks"),
        (PNG[:33] + chunk(b"IDAT") * 5_000_000 + PNG[33:], "it is a PNG of more than 65,536 chunks"),
        (JPEG[:2] + b"\xff\xfe\0\2" * 5000 + JPEG[2:], "it is a JPEG of more than 4,096 segments"),
        (b"RIFF" + (4 + 560_000).to_bytes(4, "little") + b"WEBP" + b"XMP \0\0\0\0" * 70_000, "more than 65,536 chunks"),
        (b"GIF89a" + bytes(7) + b"!\xfe" + b"\1." * 400_000 + b"\0;", "it is a GIF of more than 300,000 blocks"),
    ],
    ids=["PNG of text", "PNG of 60 MB", "JPEG", "WebP", "GIF"],
)
def test_a_file_of_too_many_pieces_is_refused(content: bytes, reason: str) -> None:
    """Each costs a reader time, and the largest of images has fewer."""
    assert reason in refused_at_sight(content)


def test_padding_of_a_jpeg_is_looked_at_once() -> None:
    """Megabytes of it between two segments, or in the data of a scan."""
    padding = b"\xff" * 8_000_000
    assert probe(JPEG[:2] + padding + JPEG[2:]).width == 48
    assert probe(JPEG[:-2] + padding + b"\0" + JPEG[-2:]).width == 48


def test_a_file_that_only_begins_like_an_image_is_refused() -> None:
    """However little there is."""
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\4\0\0\0WEBP", b"GIF89a"):
        for rest in (b"", b"\0" * 80):
            assert re.fullmatch(r"it is a damaged \w+ \(its start cannot be read\)", refused_at_sight(start + rest))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.avif", "avif"), ("photo.HEIC", "heic"), ("one.png", "png"), ("cmyk.jpg", "jpeg")],
)
def test_the_format_is_read_from_the_bytes(name: str, kind: str) -> None:
    """Also of those that are only converted."""
    assert readable_format_of((CASES / name).read_bytes()) == kind


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "heic"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc", "heic"),
        (b"II+\0\x08\0\0\0", "tiff"),
        (b"MM\0*\0\0\0\x08", "tiff"),
    ],
)
def test_brands_and_byte_orders_are_distinguished(start: bytes, kind: str) -> None:
    """The main brand of AVIF and HEIC may say only that there is an image."""
    assert readable_format_of(start) == kind


def test_the_error_names_all_readable_formats() -> None:
    """More than can be sent."""
    with pytest.raises(NotAnImage) as caught:
        readable_format_of(b"<html>")
    assert str(caught.value) == "it is neither PNG, JPEG, WebP, GIF, AVIF, BMP, TIFF nor HEIC but a web page"


# --- masks


def test_a_mask_has_the_size_of_its_image() -> None:
    """As displayed; otherwise the error has both sizes."""
    upright = probe(written(drawn(), "jpeg", exif=exif(6)))
    check_same_size(probe(written(drawn("1", (32, 48)), "png")), upright)
    with pytest.raises(NotAnImage, match="the mask has 48x32 pixels and the image 32x48"):
        check_same_size(probe(written(drawn("1"), "png")), upright)

"""Formats of images, detected from the bytes alone: nothing here trusts a file name or an HTTP header.

No pixel is decoded here: `decoding` does that, and runs in its own process.
"""

import re
from dataclasses import dataclass

from journey_mcp.media.containers import NAMES, NotAnImage, parse_container

FORMATS = ("png", "jpeg", "webp", "gif")
"""The formats that providers take and return."""
READABLE = tuple(NAMES)
"""The formats of inputs: the others are converted to one of `FORMATS`."""

_SHOWN = frozenset({*FORMATS, "avif"})

MAX_BYTES = 64 * 1024 * 1024

_MAGIC = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a"),
    "bmp": re.compile(rb"BM....\0\0\0\0", re.DOTALL),
    "tiff": re.compile(rb"II[*+]\0|MM\0[*+]"),
}
_BOX = re.compile(rb"(....)ftyp", re.DOTALL)
_BRANDS = {
    "avif": {b"avif", b"avis"},
    "heic": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"},
}
"""Brands of ISO base media files: those of the codec first, those of any image last."""
_MAX_BRANDS = 256
_OTHER_TYPES = (
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg", re.IGNORECASE), "an SVG drawing"),
    (re.compile(rb"\s*[{\[]\s*[\"{\[]"), "JSON"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"....ftyp", re.DOTALL), "a film"),
)
_START_BYTES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of a provider; `None` where it states none."""

    formats: tuple[str, ...] | None = None
    """Some of `FORMATS`; `None` when the provider does not say."""
    max_bytes: int | None = None
    max_pixels: int | None = None
    """Width times height."""
    min_side: int | None = None
    """The smallest width and height, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageData:
    """The bytes of an image, with format and size."""

    content: bytes
    format: str
    """One of `FORMATS`."""
    width: int
    """As displayed, with the orientation applied."""
    height: int

    @property
    def mime_type(self) -> str:
        """The media type of the format."""
        return f"image/{self.format}"


def probe(content: bytes) -> ImageData:
    """Probe format and size by the header; no pixel is decoded, so the rest may still be damaged.

    Raises:
        NotAnImage: neither PNG, JPEG, WebP nor GIF, or too large to be handled.
    """
    check_bytes(content)
    kind = format_of(content)
    container = parse_container(kind, content)
    width, height = shown_size(container.width, container.height, container.orientation)
    return ImageData(content=content, format=kind, width=width, height=height)


def shown_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return the size of an image with its EXIF orientation applied."""
    swaps_sides = orientation >= 5  # noqa: PLR2004  # from here on, rows are columns
    return (height, width) if swaps_sides else (width, height)


def check_bytes(content: bytes) -> None:
    """Check that the image is not larger than can be handled.

    Raises:
        NotAnImage: names size and limit.
    """
    if len(content) > MAX_BYTES:
        raise NotAnImage(f"it has {len(content):,} bytes, and at most {MAX_BYTES:,} can be handled")


def check_same_size(mask: ImageData, image: ImageData) -> None:
    """Check that a mask has the size of its image.

    Raises:
        NotAnImage: with both sizes.
    """
    if (mask.width, mask.height) != (image.width, image.height):
        raise NotAnImage(
            f"the mask has {mask.width}x{mask.height} pixels and the image {image.width}x{image.height}: "
            f"both must have the same size"
        )


def format_of(content: bytes) -> str:
    """Return the format by the first bytes, one of `FORMATS`.

    Raises:
        NotAnImage: none of them; names the detected type.
    """
    kind = _kind(content)
    if kind not in FORMATS:
        raise _unsupported(FORMATS, content, kind)
    return kind


def shown_format_of(content: bytes) -> str | None:
    """Return the format by the first bytes if browsers show it as an image and run nothing of it; else `None`."""
    kind = _kind(content)
    return kind if kind in _SHOWN else None


def readable_format_of(content: bytes) -> str:
    """Return the format by the first bytes, one of `READABLE`.

    Raises:
        NotAnImage: none of them; names the detected type.
    """
    kind = _kind(content)
    if kind is None:
        raise _unsupported(READABLE, content, kind)
    return kind


def _kind(content: bytes) -> str | None:
    for kind, magic in _MAGIC.items():
        if magic.match(content):
            return kind
    if box := _BOX.match(content):
        end = min(int.from_bytes(box[1]), 8 + 4 * _MAX_BRANDS)
        brands = {content[at : at + 4] for at in (8, *range(16, end, 4))}  # a version is between them
        return next((kind for kind, brands_of_kind in _BRANDS.items() if brands_of_kind & brands), None)
    return None


def _unsupported(wanted: tuple[str, ...], content: bytes, kind: str | None) -> NotAnImage:
    if not content:
        return NotAnImage("it is empty")
    # the content itself is not shown: it may be a file of secrets that was taken for an image
    start = content[:_START_BYTES]
    other = f"{NAMES[kind]}" if kind else next((name for magic, name in _OTHER_TYPES if magic.match(start)), None)
    *names, last = (NAMES[name] for name in wanted)
    return NotAnImage(f"it is neither {', '.join(names)} nor {last}{f' but {other}' if other else ''}")

"""What the bytes of an image are, by the bytes alone: nothing here trusts a name or a header of HTTP.

No pixel is decoded. What decodes them is in `redrawing`, and runs in a process of its own.
"""

import re
from dataclasses import dataclass

from journey_mcp.media.containers import NAMES, NotAnImage, dissected

FORMATS = ("png", "jpeg", "webp", "gif")
"""What providers take and give."""
READABLE = tuple(NAMES)
"""What can be given: the others become one of `FORMATS`."""

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
"""Of ISO base media files: the codec's own first, those of any image last."""
_MAX_BRANDS = 256
_OTHER_KINDS = (
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg", re.IGNORECASE), "an SVG drawing"),
    (re.compile(rb"\s*[{\[]\s*[\"{\[]"), "JSON"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"....ftyp", re.DOTALL), "a film"),
)
_START_BYTES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a provider takes; `None` is no limit of its own."""

    formats: tuple[str, ...] | None = None
    """Some of `FORMATS`; `None`: the provider does not say."""
    max_bytes: int | None = None
    max_pixels: int | None = None
    """Width times height."""
    min_side: int | None = None
    """Of width and of height, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageData:
    """An image, and what it is."""

    content: bytes
    format: str
    """One of `FORMATS`."""
    width: int
    """As it is shown, after its orientation."""
    height: int

    @property
    def mime_type(self) -> str:
        """The media type of the format."""
        return f"image/{self.format}"


def look(content: bytes) -> ImageData:
    """Format and size by the header; no pixel is decoded, so the rest may still be damaged.

    Raises:
        NotAPicture: neither PNG, JPEG, WebP nor GIF, or too large to be handled.
    """
    check_bytes(content)
    kind = format_of(content)
    container = dissected(kind, content)
    width, height = shown_size(container.width, container.height, container.orientation)
    return ImageData(content=content, format=kind, width=width, height=height)


def shown_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """The size once an image is put upright; `orientation` is that of EXIF."""
    is_lying = orientation >= 5  # noqa: PLR2004  # from here on, rows are columns
    return (height, width) if is_lying else (width, height)


def check_bytes(content: bytes) -> None:
    """Make sure that it is no larger than can be handled.

    Raises:
        NotAPicture: names size and limit.
    """
    if len(content) > MAX_BYTES:
        raise NotAnImage(f"it has {len(content):,} bytes, and at most {MAX_BYTES:,} can be handled")


def check_same_size(mask: ImageData, image: ImageData) -> None:
    """Make sure that a mask lies exactly on its image.

    Raises:
        NotAPicture: with both sizes.
    """
    if (mask.width, mask.height) != (image.width, image.height):
        raise NotAnImage(
            f"the mask has {mask.width}x{mask.height} pixels and the image {image.width}x{image.height}: "
            f"both must have the same size"
        )


def format_of(content: bytes) -> str:
    """What it is by its first bytes, one of `FORMATS`.

    Raises:
        NotAPicture: none of them; says what it looks like.
    """
    kind = _kind(content)
    if kind not in FORMATS:
        raise _neither(FORMATS, content, kind)
    return kind


def readable_format_of(content: bytes) -> str:
    """What it is by its first bytes, one of `READABLE`.

    Raises:
        NotAPicture: none of them; says what it looks like.
    """
    kind = _kind(content)
    if kind is None:
        raise _neither(READABLE, content, kind)
    return kind


def _kind(content: bytes) -> str | None:
    for kind, magic in _MAGIC.items():
        if magic.match(content):
            return kind
    if box := _BOX.match(content):
        end = min(int.from_bytes(box[1]), 8 + 4 * _MAX_BRANDS)
        brands = {content[at : at + 4] for at in (8, *range(16, end, 4))}  # between them stands a version
        return next((kind for kind, own in _BRANDS.items() if own & brands), None)
    return None


def _neither(wanted: tuple[str, ...], content: bytes, kind: str | None) -> NotAnImage:
    if not content:
        return NotAnImage("it is empty")
    # the content itself is not shown: it may be a file of secrets that was taken for an image
    start = content[:_START_BYTES]
    other = f"{NAMES[kind]}" if kind else next((name for magic, name in _OTHER_KINDS if magic.match(start)), None)
    *names, last = (NAMES[name] for name in wanted)
    return NotAnImage(f"it is neither {', '.join(names)} nor {last}{f' but {other}' if other else ''}")

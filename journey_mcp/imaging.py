"""What the bytes of a picture are, and making them fit what a provider takes.

Nothing here trusts a name or a header of HTTP: a picture is what its bytes say. What leaves the machine carries no
metadata (place, camera, author, comments, thumbnails, what was appended to the file), only pixels and their colour
profile. The pieces of a file that tell something else are left out without touching the pixels; pixels are drawn
anew only when the format, the size, or the orientation has to change.

Everything works on bytes, and takes its time: callers run it in a thread.
"""

import io
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from journey_mcp.anatomy import ANATOMIES, Anatomy, NotAPicture
from journey_mcp.errors import cleaned

FORMATS = ("png", "jpeg", "webp", "gif")

MAX_BYTES = 64 * 1024 * 1024
_MAX_PIXELS = 1024**3 // 4 // 3
"""Above 89 megapixels, 256 MiB in memory, Pillow itself suspects a decompression bomb."""
_LOSSY = {"jpeg", "webp"}
_QUALITIES = (95, 85, 75)
"""Of a lossy format, the first one unless there are too many bytes."""
_SHRINK, _MOST_SHRINKS = 0.8, 30
"""So much smaller at each attempt, down to a thousandth."""
_BEST_WITH_ALPHA = ("png", "webp", "jpeg", "gif")
_BEST_OPAQUE = ("jpeg", "png", "webp", "gif")
_PROFILE_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
"""The colour space that a profile for pixels of this mode names in its header."""
_MAGIC = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a"),
}
_SHOWN = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "gif": "GIF"}
_OTHER_KINDS = (
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg", re.IGNORECASE), "an SVG drawing"),
    (re.compile(rb"\s*[{\[]\s*[\"{\[]"), "JSON"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"BM....\0\0\0\0", re.DOTALL), "a BMP picture"),
    (re.compile(rb"II\*\0|MM\0\*"), "a TIFF picture"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "an AVIF picture"),
    (re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL), "an HEIC picture"),
)
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# orientations of EXIF, 1 is upright
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_LYING = 5
"""From this orientation on, width and height are exchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a provider takes; `None` is no limit of its own."""

    formats: tuple[str, ...] | None = None
    """Some of `FORMATS`."""
    max_bytes: int | None = None
    max_pixels: int | None = None
    """Width times height."""
    min_side: int | None = None
    """Of width and of height, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureData:
    """A picture, and what it is."""

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


def look(content: bytes) -> PictureData:
    """Format and size by the header; no pixel is decoded, so the rest may still be damaged.

    Raises:
        NotAPicture: neither PNG, JPEG, WebP nor GIF, or too large to be handled.
    """
    source = _Source.read(content)
    return PictureData(content=content, format=source.kind, width=source.width, height=source.height)


def made_fit(content: bytes, limits: Limits) -> tuple[PictureData, tuple[str, ...]]:
    """The picture within the limits, upright and without metadata, and a sentence for each change that can be seen.

    Raises:
        NotAPicture: it is none, is damaged, or nothing makes it fit.
    """
    source = _Source.read(content)
    _check_sides((source.width, source.height), limits, "it has")
    pixels = source.decoded()
    notices = ["Only the first frame of the animation is used."] if source.anatomy.is_animated else []
    if source.fits(limits):
        bare = source.anatomy.bare
        return PictureData(content=bare, format=source.kind, width=source.width, height=source.height), tuple(notices)
    picture, more = _redrawn(source, pixels, limits)
    return picture, (*notices, *more)


def check_same_size(mask: PictureData, image: PictureData) -> None:
    """Make sure that a mask lies exactly on its picture.

    Raises:
        NotAPicture: with both sizes.
    """
    if (mask.width, mask.height) != (image.width, image.height):
        raise NotAPicture(
            f"the mask has {mask.width}x{mask.height} pixels and the picture {image.width}x{image.height}: "
            f"both must have the same size"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A picture as it was given, opened and not yet decoded."""

    kind: str
    anatomy: Anatomy
    opened: Image.Image
    width: int
    """As it is shown."""
    height: int

    @classmethod
    def read(cls, content: bytes) -> "_Source":
        if len(content) > MAX_BYTES:
            raise NotAPicture(f"it has {len(content):,} bytes, and at most {MAX_BYTES:,} can be handled")
        kind = format_of(content)
        try:
            anatomy = ANATOMIES[kind](content)
            opened = Image.open(io.BytesIO(anatomy.bare), formats=[kind.upper()])
        except _BOMB as error:
            raise NotAPicture(f"it has more than the {_MAX_PIXELS:,} pixels that can be handled") from error
        except _UNREADABLE as error:
            raise _damaged(kind, error) from error
        width, height = opened.size
        if width * height > _MAX_PIXELS:
            raise NotAPicture(f"it has {width}x{height} pixels, and at most {_MAX_PIXELS:,} can be handled")
        if anatomy.orientation >= _FIRST_LYING:
            width, height = height, width
        return cls(kind=kind, anatomy=anatomy, opened=opened, width=width, height=height)

    def decoded(self) -> Image.Image:
        """Its pixels, all of them: a file that is cut off is found here, and not by a provider that was paid."""
        if not self.anatomy.is_whole:
            raise NotAPicture(f"it is a {_SHOWN[self.kind]} that is cut off")
        try:
            self.opened.load()
        except _UNREADABLE as error:
            raise _damaged(self.kind, error) from error
        if self.opened.mode == "P" and self.opened.palette is None:
            raise NotAPicture(f"it is a {_SHOWN[self.kind]} whose colours are missing")
        return self.opened

    def fits(self, limits: Limits) -> bool:
        """Whether leaving out metadata is all that is to do."""
        return (
            self.anatomy.orientation == 1
            and not self.anatomy.must_be_drawn
            and (limits.formats is None or self.kind in limits.formats)
            and (limits.max_pixels is None or self.width * self.height <= limits.max_pixels)
            and (limits.max_bytes is None or len(self.anatomy.bare) <= limits.max_bytes)
        )


def format_of(content: bytes) -> str:
    """What it is by its first bytes, one of `FORMATS`.

    Raises:
        NotAPicture: none of them; says what it looks like.
    """
    for kind, magic in _MAGIC.items():
        if magic.match(content):
            return kind
    if not content:
        raise NotAPicture("it is empty")
    # the content itself is not shown: it may be a file of secrets that was taken for a picture
    other = next((f" but {name}" for start, name in _OTHER_KINDS if start.match(content[:200])), "")
    raise NotAPicture(f"it is neither PNG, JPEG, WebP nor GIF{other}")


def _damaged(kind: str, error: Exception) -> NotAPicture:
    return NotAPicture(f"it is a {_SHOWN[kind]} that is damaged ({_reason(error)})")


def _check_sides(size: tuple[int, int], limits: Limits, what: str) -> None:
    if limits.min_side is not None and min(size) < limits.min_side:
        raise NotAPicture(
            f"{what} {size[0]}x{size[1]} pixels, and this provider takes at least {limits.min_side} on each side"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """One way to write a picture."""

    kind: str
    quality: int = _QUALITIES[0]
    """Of the formats that have one."""
    scale: float = 1.0
    """Below the size that the limit of pixels allows."""


def _redrawn(source: _Source, pixels: Image.Image, limits: Limits) -> tuple[PictureData, Iterator[str]]:
    """The picture written anew in the first way that has few enough bytes, and what was changed."""
    profile = pixels.info.get("icc_profile")
    picture = _plain(pixels)
    if source.anatomy.orientation in _TURNS:
        picture = picture.transpose(_TURNS[source.anatomy.orientation])
    has_alpha = picture.mode == "RGBA"
    largest = _size_within(picture.size, limits.max_pixels)
    for attempt in _attempts(source.kind, limits, has_alpha=has_alpha):
        width, height = (max(1, int(side * attempt.scale)) for side in largest)
        _check_sides((width, height), limits, "scaled for this provider's other limits it would have")
        content = _written(picture, (width, height), attempt, profile)
        if limits.max_bytes is None or len(content) <= limits.max_bytes:
            made = PictureData(content=content, format=attempt.kind, width=width, height=height)
            return made, _changes(source, made, attempt, limits, had_alpha=has_alpha)
    raise NotAPicture(f"it cannot be made as small as {limits.max_bytes:,} bytes, this provider's limit")


def _attempts(kind: str, limits: Limits, *, has_alpha: bool) -> Iterator[_Attempt]:
    """The ways to write a picture of this format, from the best to the smallest."""
    allowed = FORMATS if limits.formats is None else limits.formats
    if kind not in allowed:
        kind = next(other for other in (_BEST_WITH_ALPHA if has_alpha else _BEST_OPAQUE) if other in allowed)
    yield _Attempt(kind=kind)
    if kind not in _LOSSY and not has_alpha and "jpeg" in allowed:
        kind = "jpeg"
        yield _Attempt(kind=kind)
    if kind in _LOSSY:
        yield from (_Attempt(kind=kind, quality=quality) for quality in _QUALITIES[1:])
    yield from (_Attempt(kind=kind, quality=_QUALITIES[1], scale=_SHRINK**times) for times in range(1, _MOST_SHRINKS))


def _plain(picture: Image.Image) -> Image.Image:
    """The same in a mode that every format can hold and that can be scaled: L, RGB, or RGBA if anything shows through.

    It has no `info`, of which Pillow would write pieces into the new file.
    """
    if picture.mode.startswith("I"):  # 16 bits for a pixel: convert() would cut off all above 255
        picture = picture.point(lambda value: value / 256).convert("L")
        picture.info.pop("transparency", None)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    is_opaque = picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255)
    if is_opaque or picture.mode not in {"L", "RGB", "RGBA"}:
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    picture.info.clear()
    return picture


def _size_within(size: tuple[int, int], max_pixels: int | None) -> tuple[int, int]:
    """The largest size of the same proportion."""
    if max_pixels is None or size[0] * size[1] <= max_pixels:
        return size
    scale = math.sqrt(max_pixels / (size[0] * size[1]))
    width, height = (max(1, int(side * scale)) for side in size)
    return min(width, max_pixels // height), min(height, max_pixels // width)


def _written(picture: Image.Image, size: tuple[int, int], attempt: _Attempt, profile: bytes | None) -> bytes:
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if attempt.kind == "jpeg" and picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    options: dict[str, Any] = {"quality": attempt.quality} if attempt.kind in _LOSSY else {}
    if profile and profile[16:20] == _PROFILE_SPACES[picture.mode]:  # a profile of CMYK says nothing of RGB
        options["icc_profile"] = profile
    written = io.BytesIO()
    try:
        picture.save(written, attempt.kind.upper(), **options)
    except _UNREADABLE as error:  # each format has a largest width and height
        raise NotAPicture(
            f"it cannot be written as {_SHOWN[attempt.kind]} of {size[0]}x{size[1]} pixels ({_reason(error)})"
        ) from error
    return written.getvalue()


def _changes(
    source: _Source, made: PictureData, attempt: _Attempt, limits: Limits, *, had_alpha: bool
) -> Iterator[str]:
    fewer_bytes = f"for this provider's limit of {limits.max_bytes or 0:,} bytes"
    fewer_pixels = f"for this provider's limit of {limits.max_pixels or 0:,} pixels"
    if made.format != source.kind:
        is_taken = limits.formats is None or source.kind in limits.formats
        reason = fewer_bytes if is_taken else f"for this provider, which takes {', '.join(limits.formats or ())}"
        ground = " on a white ground" if had_alpha and made.format == "jpeg" else ""
        yield f"The picture was converted from {_SHOWN[source.kind]} to {_SHOWN[made.format]}{ground} {reason}."
    if (made.width, made.height) != (source.width, source.height):
        sizes = f"from {source.width}x{source.height} to {made.width}x{made.height}"
        yield f"The picture was scaled {sizes} {fewer_bytes if attempt.scale < 1 else fewer_pixels}."
    elif attempt.quality < _QUALITIES[0]:
        yield f"The picture was compressed more strongly {fewer_bytes}."


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text is about objects in memory
        return "its start cannot be read"
    return cleaned(str(error)) or type(error).__name__

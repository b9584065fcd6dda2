"""Making an image fit what a provider takes, with nothing in it but pixels and their colour profile.

What leaves the machine has no metadata (place, camera, author, comments, thumbnails) and nothing that was cut away or
appended and still stands in the file. So every image is drawn anew, a JPEG with its own quantization; only a PNG that
holds exactly its pixels keeps them as they are compressed.

Everything works on hostile bytes and takes its time: it runs in a process that can be ended (`image_worker`).
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

from journey_mcp.core.notices import Notice
from journey_mcp.core.text import cleaned
from journey_mcp.media.containers import (
    MAX_PIXELS,
    NAMES,
    Container,
    NotAnImage,
    check_pixels,
    damaged,
    dissected,
    exact_profile,
    is_exact_png,
)
from journey_mcp.media.transcode import (
    FORMATS,
    MAX_BYTES,
    ImageData,
    Limits,
    check_bytes,
    readable_format_of,
    shown_size,
)

_UNSTATED = ("png", "jpeg")
"""What is sent where a provider does not say which formats it takes."""
_BEST_LOSSLESS = ("png", "webp", "jpeg", "gif")
_BEST_LOSSY = ("jpeg", "webp", "png", "gif")
_LOSSY = {"jpeg", "webp"}
_QUALITIES = (95, 85, 75)
"""Of a lossy format, the first one unless there are too many bytes."""
_WEIGHTS = {None: 8.0, 95: 1.8, 85: 1.0, 75: 0.7}
"""Of the same photo by quality, `None` for a format without loss: about how many bytes, in relation."""
_HOPE = 1.5
"""What is expected to be larger than this many limits is not tried."""
_MARGINS = (0.95, 0.9, 0.8, 0.6)
"""Below the scale by which so many bytes should fit, at each attempt."""
_LARGE = 8_000_000
"""Pixels from which a PNG is compressed in a fifth of the time, by a fifth less, and a WebP not written if it can be
helped."""
_REDUCING_GAP = 3.0
"""Far larger images are shrunk by a quick filter first, to so many times the size; no eye sees the difference."""
_PROFILE_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
"""The colour space that a profile for pixels of this mode names in its header."""
_RANGES = (1, 255, 65_535)
"""Of grey in numbers that could be larger."""
_REASON_LENGTH = 80
_ORIENTATION_TAG = 0x0112
_HEIC_EXTRA = 'pip install "journey-mcp[heic]"'
_FIRST_PART = {"tiff": Notice.of("image_first_tiff"), "heic": Notice.of("image_first_heic")}
_FIRST_FRAME = Notice.of("image_first_frame")
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    ImageCms.PyCMSError,
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


def fit_to_limits(content: bytes, limits: Limits) -> tuple[ImageData, tuple[Notice, ...]]:
    """The image within the limits, upright, of 8 bits, without metadata; and a notice of each change to be seen.

    Raises:
        NotAPicture: it is none, is damaged, or nothing makes it fit.
    """
    source = _Source.read(content)
    _check_sides((source.width, source.height), limits, "it has")
    pixels = source.decoded()
    first = (_FIRST_PART.get(source.kind, _FIRST_FRAME),) if source.is_first_of_many else ()
    if source.container and source.kind == "png" and source.fits(limits) and is_exact_png(source.container.bare):
        bare = source.container.bare
        return ImageData(content=bare, format="png", width=source.width, height=source.height), first
    made, notices = _redrawn(source, pixels, limits)
    return made, (*first, *notices)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """An image as it was given, opened and not yet decoded."""

    kind: str
    """One of `READABLE`."""
    container: Container | None
    """Of one that is one of `FORMATS`."""
    opened: Image.Image
    width: int
    """As it is shown."""
    height: int

    @classmethod
    def read(cls, content: bytes) -> "_Source":
        check_bytes(content)
        kind = readable_format_of(content)
        container = dissected(kind, content) if kind in FORMATS else None
        _use_decoder(kind)
        try:
            opened = Image.open(
                io.BytesIO(container.bare if container else content), formats=["HEIF" if kind == "heic" else kind]
            )
            # Pillow states the size of a TIFF and HEIC upright
            exif = opened.getexif() if kind == "avif" else {}
            orientation = container.orientation if container else exif.get(_ORIENTATION_TAG, 1)
        except _BOMB as error:
            raise NotAnImage(f"it has more than the {MAX_PIXELS:,} pixels that can be handled") from error
        except _UNREADABLE as error:
            raise damaged(kind, _reason(error)) from error
        check_pixels(*opened.size)
        width, height = shown_size(*opened.size, orientation)
        return cls(kind=kind, container=container, opened=opened, width=width, height=height)

    def decoded(self) -> Image.Image:
        """Its pixels, all of them: a file that is cut off is found here, and not by a provider that was paid."""
        if self.container and not self.container.is_complete:
            raise NotAnImage(f"it is a {NAMES[self.kind]} that is cut off")
        try:
            self.opened.load()
            if self.opened.mode == "P" and self.opened.palette is None:
                raise NotAnImage(f"it is a {NAMES[self.kind]} whose colours are missing")
            if self.container is None:
                ImageOps.exif_transpose(self.opened, in_place=True)
                return self.opened
        except _UNREADABLE as error:
            raise damaged(self.kind, _reason(error)) from error
        turn = _TURNS.get(self.container.orientation)
        return self.opened if turn is None else self.opened.transpose(turn)

    @property
    def is_first_of_many(self) -> bool:
        """There are frames or pages that are not used."""
        return self.container.is_animated if self.container else bool(getattr(self.opened, "is_animated", False))

    @property
    def is_lossless(self) -> bool:
        return self.container.is_lossless if self.container else self.kind in {"bmp", "tiff"}

    @property
    def is_deep(self) -> bool:
        """More than 8 bits per channel."""
        return bool(self.container and self.container.is_deep) or self.opened.mode.startswith(("I", "F"))

    def fits(self, limits: Limits) -> bool:
        """Whether leaving out metadata is all that is to do."""
        return (
            self.container is not None
            and self.container.orientation == 1
            and self.kind in (limits.formats or _UNSTATED)
            and self.width * self.height <= (limits.max_pixels or MAX_PIXELS)
            and len(self.container.bare) <= (limits.max_bytes or MAX_BYTES)
        )


def _use_decoder(kind: str) -> None:
    """Load what not every image needs, and let it have one thread: each takes memory of its own."""
    if kind == "avif":
        from PIL import AvifImagePlugin  # noqa: PLC0415  # tens of megabytes

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if kind != "heic":
        return
    try:
        import pillow_heif  # noqa: PLC0415  # an extra
    except ImportError:
        raise NotAnImage(f"it is HEIC, which this server cannot read until somebody runs: {_HEIC_EXTRA}") from None
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def _check_sides(size: tuple[int, int], limits: Limits, what: str) -> None:
    if limits.min_side is not None and min(size) < limits.min_side:
        raise NotAnImage(
            f"{what} {size[0]}x{size[1]} pixels, and this provider takes at least {limits.min_side} on each side"
        )


# --- drawing anew


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """One way to write an image."""

    kind: str
    quality: int | None = None
    """Of the formats that have one; `None`: a WebP without loss."""
    scale: float = 1.0
    """Below the size that the limit of pixels allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawing:
    """An image to be written, in a mode that every format can hold."""

    image: Image.Image
    """L, RGB, or RGBA if anything shows through."""
    size: tuple[int, int]
    """The largest one that is allowed."""
    profile: bytes | None
    quantization: Mapping[str, Any]
    """How the given JPEG was compressed, as Pillow's options; at its own size it loses next to nothing once more."""

    @property
    def is_large(self) -> bool:
        return math.prod(self.size) >= _LARGE

    def is_slow(self, attempt: _Attempt) -> bool:
        """Another format takes a tenth of the time."""
        return self.largest_scale(attempt) < attempt.scale

    def largest_scale(self, attempt: _Attempt) -> float:
        """Above it, writing takes too long."""
        return math.sqrt(_LARGE / math.prod(self.size)) if attempt.kind == "webp" else 1.0

    def made(self, attempt: _Attempt) -> ImageData:
        width, height = (max(1, int(side * attempt.scale)) for side in self.size)
        content = self._written((width, height), attempt)
        return ImageData(content=content, format=attempt.kind, width=width, height=height)

    def _written(self, size: tuple[int, int], attempt: _Attempt) -> bytes:
        image = self.image
        options = dict(_options(attempt, size))
        if size != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
        elif attempt == _Attempt(kind="jpeg", quality=_QUALITIES[0]) and self.quantization:
            options = dict(self.quantization)
        if attempt.kind == "jpeg" and image.mode == "RGBA":
            white = Image.new("RGB", image.size, "white")
            white.paste(image, mask=image.getchannel("A"))
            image = white
        if self.profile and self.profile[16:20] == _PROFILE_SPACES[image.mode]:  # one of inks says nothing of RGB
            options["icc_profile"] = self.profile
        written = io.BytesIO()
        try:
            image.save(written, attempt.kind.upper(), **options)
        except _UNREADABLE as error:  # each format has a largest width and height
            raise NotAnImage(
                f"it cannot be written as {NAMES[attempt.kind]} of {size[0]}x{size[1]} pixels ({_reason(error)})"
            ) from error
        return written.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Written:
    """What became too large: by it the size of other attempts is estimated."""

    attempt: _Attempt
    size: int
    """In bytes."""

    @classmethod
    def of(cls, source: _Source, drawing: _Drawing) -> "_Written | None":
        """A PNG as it was given: written anew it is about as large, for its pixels."""
        if source.kind != "png" or source.container is None:
            return None
        kept = math.prod(drawing.size) / (source.width * source.height)
        return cls(attempt=_Attempt(kind="png"), size=int(len(source.container.bare) * kept))

    def expected(self, attempt: _Attempt) -> float:
        """About how many bytes an attempt will have."""
        weight = _WEIGHTS[attempt.quality] / _WEIGHTS[self.attempt.quality]
        return self.size * weight * (attempt.scale / self.attempt.scale) ** 2


def _options(attempt: _Attempt, size: tuple[int, int]) -> Mapping[str, Any]:
    if attempt.kind == "png":
        return {"compress_level": 6 if math.prod(size) < _LARGE else 1}
    if attempt.quality is not None:
        return {"quality": attempt.quality}
    return {"lossless": True, "quality": 0, "method": 1} if attempt.kind == "webp" else {}


def _redrawn(source: _Source, pixels: Image.Image, limits: Limits) -> tuple[ImageData, Iterator[Notice]]:
    """The image written anew in the first way that has few enough bytes, and what was changed."""
    limit = min(limits.max_bytes or MAX_BYTES, MAX_BYTES)
    drawing = _drawing(source, pixels, limits)
    attempts = _attempts(source, drawing, limits)
    written = _Written.of(source, drawing) if drawing.is_large else None
    problem: NotAnImage | None = None
    for attempt in attempts:
        if written and (written.expected(attempt) > _HOPE * limit or drawing.is_slow(attempt)):
            continue
        try:
            made = drawing.made(attempt)
        except NotAnImage as error:
            problem = error
            continue
        if len(made.content) <= limit:
            return made, _changes(source, drawing, made, attempt, limits)
        written = _Written(attempt=attempt, size=len(made.content))
    if written is None:
        raise problem or NotAnImage("it cannot be written in a format that this provider takes")
    attempt = attempts[-1] if attempts[-1].quality is None else replace(attempts[-1], quality=_QUALITIES[1])
    for margin in _MARGINS:
        scale = attempt.scale * math.sqrt(limit / written.expected(attempt)) * margin
        attempt = replace(attempt, scale=min(scale, drawing.largest_scale(attempt)))
        made = drawing.made(attempt)
        _check_sides((made.width, made.height), limits, "scaled for this provider's other limits it would have")
        if len(made.content) <= limit:
            return made, _changes(source, drawing, made, attempt, limits)
        written = _Written(attempt=attempt, size=len(made.content))
    raise NotAnImage(f"it cannot be made as small as the limit of {limit:,} bytes")


def _attempts(source: _Source, drawing: _Drawing, limits: Limits) -> list[_Attempt]:
    """The ways to write an image at full size, from the best to the smallest."""
    allowed = limits.formats or _UNSTATED
    has_alpha = drawing.image.mode == "RGBA"
    kind = source.kind
    # a GIF becomes a PNG of the same colours, which everybody reads
    if kind not in allowed or kind == "gif" or drawing.is_slow(_Attempt(kind=kind)):
        best = _BEST_LOSSLESS if has_alpha or source.is_lossless else _BEST_LOSSY
        kind = next(other for other in best if other in allowed)
    attempts = []
    if kind in {"png", "gif"} or (kind == "webp" and source.is_lossless):
        attempts.append(_Attempt(kind=kind))
        kind = next((other for other in (["webp"] if has_alpha else ["jpeg", "webp"]) if other in allowed), "")
    if kind in _LOSSY:
        attempts += [_Attempt(kind=kind, quality=quality) for quality in _QUALITIES]
    return attempts


def _drawing(source: _Source, pixels: Image.Image, limits: Limits) -> _Drawing:
    profile = exact_profile(pixels.info.get("icc_profile"))
    quantization = _quantization(source.opened) if source.kind == "jpeg" else {}
    image = _plain(pixels, profile)
    size = _size_within(image.size, limits.max_pixels)
    _check_sides(size, limits, "scaled for this provider's other limits it would have")
    return _Drawing(image=image, size=size, profile=profile, quantization=quantization)


def _quantization(opened: Image.Image) -> Mapping[str, Any]:
    """Pillow's options to compress once more as a JPEG was; empty when that cannot be done."""
    tables = _tables(opened) if isinstance(opened, JpegImagePlugin.JpegImageFile) else []
    is_usable = tables and all(1 <= n <= 255 for table in tables for n in table)  # noqa: PLR2004
    if opened.mode not in {"L", "RGB"} or not is_usable:
        return {}
    return {
        "quality": -1,  # no other scale of the tables
        "qtables": tables,
        "subsampling": JpegImagePlugin.get_sampling(opened),
        "progressive": bool(opened.info.get("progressive")),
        "optimize": True,
    }


def _tables(opened: JpegImagePlugin.JpegImageFile) -> list[list[int]]:
    """The quantization of each channel, the last one for those after it as well; empty when one has none.

    What no channel uses could say anything, and Pillow would give it to one.
    """
    tables = [opened.quantization.get(table, []) for *_, table in opened.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables if all(tables) else []


def _plain(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The same in a mode that every format can hold and that can be scaled: L, RGB, or RGBA if anything shows through.

    It has no `info`, of which Pillow would write pieces into the new file.
    """
    if image.mode.startswith(("I", "F")):
        image = _of_8_bits(image)
    if image.mode == "CMYK" and profile:
        image = _without_inks(image, profile)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    is_opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    if is_opaque or image.mode not in {"L", "RGB", "RGBA"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    image.info.clear()
    return image


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Grey of more bits: 16 of them count as such, numbers of other types by the range that they seem to mean."""
    low, high = cast("tuple[float, float]", image.getextrema())  # there is one channel
    ranges = _RANGES[-1:] if image.mode.startswith("I;16") else _RANGES
    if (top := next((top for top in ranges if 0 <= low <= high <= top), None)) is not None:
        low, high = 0, top
    factor = 255 / (high - low) if high > low else 0.0
    # what is between two shades is rounded down afterwards
    grey = image.convert("F").point(lambda value: value * factor + (0.5 - low * factor)).convert("L")
    grey.info = {}  # a transparent value would be one of the old range
    return grey


def _without_inks(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        seen = ImageCms.profileToProfile(image, inks, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except _UNREADABLE:  # a profile of something else: as without one
        return image
    return seen or image


def _size_within(size: tuple[int, int], max_pixels: int | None) -> tuple[int, int]:
    """The largest size of the same proportion."""
    if max_pixels is None or size[0] * size[1] <= max_pixels:
        return size
    scale = math.sqrt(max_pixels / (size[0] * size[1]))
    width, height = (max(1, int(side * scale)) for side in size)
    return min(width, max_pixels // height), min(height, max_pixels // width)


# --- what is told


def _changes(
    source: _Source, drawing: _Drawing, made: ImageData, attempt: _Attempt, limits: Limits
) -> Iterator[Notice]:
    max_bytes = limits.max_bytes or MAX_BYTES
    if source.opened.mode == "CMYK":
        yield Notice.of("image_cmyk")
    if source.is_deep:
        yield Notice.of("image_8_bits")
    if made.format != source.kind:
        is_known = source.kind in FORMATS and source.kind != "gif" and not drawing.is_slow(_Attempt(kind=source.kind))
        ground = "_on_white" if drawing.image.mode == "RGBA" and made.format == "jpeg" else ""
        formats = {"given": NAMES[source.kind], "sent": NAMES[made.format]}
        reason, facts = _reason_to_convert(source.kind, limits) if is_known else ("", {})
        yield Notice.of(f"image_converted{ground}{reason}", **formats, **facts)
    if (made.width, made.height) != drawing.image.size:
        sizes = {"given": f"{source.width}x{source.height}", "sent": f"{made.width}x{made.height}"}
        if attempt.scale < 1:
            yield Notice.of("image_scaled_for_bytes", **sizes, max_bytes=max_bytes)
        else:
            yield Notice.of("image_scaled_for_pixels", **sizes, max_pixels=limits.max_pixels or 0)
    elif attempt.quality is not None and attempt.quality < _QUALITIES[0]:
        yield Notice.of("image_compressed", max_bytes=max_bytes)


def _reason_to_convert(kind: str, limits: Limits) -> tuple[str, dict[str, str | int]]:
    """The end of the notice's code, and its parameters."""
    if limits.formats is None and kind not in _UNSTATED:
        return "_unstated", {}
    if limits.formats is not None and kind not in limits.formats:
        return "_for_formats", {"formats": ", ".join(limits.formats)}
    return "_for_bytes", {"max_bytes": limits.max_bytes or MAX_BYTES}


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text is about objects in memory
        return "its start cannot be read"
    return cleaned(str(error), _REASON_LENGTH) or type(error).__name__

"""Re-encoding of images within a provider's limits, with nothing in them but pixels and their colour profile.

An image that leaves the machine has no metadata (place, camera, author, comments, thumbnails), and no cropped or
appended data that is still in the file. So every image is re-encoded, a JPEG with its original quantization; only a PNG
that contains exactly its pixels keeps its compressed data.

All of this works on hostile bytes and takes time: it runs in a process that can be killed (`image_worker`).
"""

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, JpegImagePlugin

from journey_mcp.core.notices import Notice
from journey_mcp.media.containers import MAX_PIXELS, NAMES, NotAnImage, exact_profile, is_exact_png
from journey_mcp.media.decoding import UNREADABLE, Source, normalized, reason_of
from journey_mcp.media.formats import FORMATS, MAX_BYTES, ImageData, Limits

_DEFAULT_FORMATS = ("png", "jpeg")
"""The formats for a provider that does not say which it takes."""
_BEST_LOSSLESS = ("png", "webp", "jpeg", "gif")
_BEST_LOSSY = ("jpeg", "webp", "png", "gif")
_LOSSY = {"jpeg", "webp"}
_QUALITIES = (95, 85, 75)
"""Qualities of a lossy format; the others are used only if the first gives too many bytes."""
_WEIGHTS = {None: 8.0, 95: 1.8, 85: 1.0, 75: 0.7}
"""The relative number of bytes of a photo by quality, `None` for lossless."""
_MAX_EXPECTED = 1.5
"""An attempt whose expected size is above the limit by this factor is skipped."""
_MARGINS = (0.95, 0.9, 0.8, 0.6)
"""The factors of successive attempts, on the scale at which the bytes should fit."""
_LARGE = 8_000_000
"""Pixels from which a PNG is compressed in a fifth of the time, by a fifth less, and WebP is avoided."""
_REDUCING_GAP = 3.0
"""Far larger images are first reduced by a quick filter, to this many times the size; the difference is invisible."""
_PROFILE_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
"""The colour space that a profile for pixels of this mode names in its header."""
_FIRST_PART_NOTICES = {"tiff": Notice.of("image_first_tiff"), "heic": Notice.of("image_first_heic")}
_FIRST_FRAME_NOTICE = Notice.of("image_first_frame")


def fit_to_limits(content: bytes, limits: Limits) -> tuple[ImageData, tuple[Notice, ...]]:
    """Return the image within the limits, upright, with 8 bits, without metadata; and a notice of each visible change.

    Raises:
        NotAnImage: it is not an image, is damaged, or cannot be brought within the limits.
    """
    source = Source.read(content)
    _check_sides((source.width, source.height), limits, "it has")
    pixels = source.decoded()
    first = (_FIRST_PART_NOTICES.get(source.kind, _FIRST_FRAME_NOTICE),) if source.has_more_frames else ()
    if source.container and source.kind == "png" and _fits(source, limits) and is_exact_png(source.container.stripped):
        stripped = source.container.stripped
        return ImageData(content=stripped, format="png", width=source.width, height=source.height), first
    encoded, notices = _reencoded(source, pixels, limits)
    return encoded, (*first, *notices)


def _fits(source: Source, limits: Limits) -> bool:
    """Return whether removing metadata is enough."""
    return (
        source.container is not None
        and source.container.orientation == 1
        and source.kind in (limits.formats or _DEFAULT_FORMATS)
        and source.width * source.height <= (limits.max_pixels or MAX_PIXELS)
        and len(source.container.stripped) <= (limits.max_bytes or MAX_BYTES)
    )


def _check_sides(size: tuple[int, int], limits: Limits, what: str) -> None:
    if limits.min_side is not None and min(size) < limits.min_side:
        raise NotAnImage(
            f"{what} {size[0]}x{size[1]} pixels, and this provider takes at least {limits.min_side} on each side"
        )


# --- encoding


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """One way to encode an image."""

    kind: str
    quality: int | None = None
    """Of the formats that have one; `None` is a lossless WebP."""
    scale: float = 1.0
    """Relative to the size that the pixel limit allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Raster:
    """Pixels to be encoded, in a mode that every format supports."""

    image: Image.Image
    """L, RGB, or RGBA if anything is transparent."""
    size: tuple[int, int]
    """The largest allowed size."""
    profile: bytes | None
    quantization: Mapping[str, Any]
    """Pillow's options that repeat the compression of the given JPEG; at the same size almost nothing more is lost."""

    @property
    def is_large(self) -> bool:
        return math.prod(self.size) >= _LARGE

    def is_slow(self, attempt: _Attempt) -> bool:
        """Return whether another format takes a tenth of the time."""
        return self.largest_scale(attempt) < attempt.scale

    def largest_scale(self, attempt: _Attempt) -> float:
        """Return the scale above which encoding takes too long."""
        return math.sqrt(_LARGE / math.prod(self.size)) if attempt.kind == "webp" else 1.0

    def encoded(self, attempt: _Attempt) -> ImageData:
        width, height = (max(1, int(side * attempt.scale)) for side in self.size)
        content = self._encode((width, height), attempt)
        return ImageData(content=content, format=attempt.kind, width=width, height=height)

    def _encode(self, size: tuple[int, int], attempt: _Attempt) -> bytes:
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
        if self.profile and self.profile[16:20] == _PROFILE_SPACES[image.mode]:  # a CMYK profile does not describe RGB
            options["icc_profile"] = self.profile
        buffer = io.BytesIO()
        try:
            image.save(buffer, attempt.kind.upper(), **options)
        except UNREADABLE as error:  # each format has a maximum width and height
            raise NotAnImage(
                f"it cannot be written as {NAMES[attempt.kind]} of {size[0]}x{size[1]} pixels ({reason_of(error)})"
            ) from error
        return buffer.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True)
class _TooLarge:
    """An attempt that became too large; the size of other attempts is estimated from it."""

    attempt: _Attempt
    size: int
    """In bytes."""

    @classmethod
    def of(cls, source: Source, raster: _Raster) -> "_TooLarge | None":
        """Return the given PNG as an attempt: re-encoded, it is about as large per pixel."""
        if source.kind != "png" or source.container is None:
            return None
        kept = math.prod(raster.size) / (source.width * source.height)
        return cls(attempt=_Attempt(kind="png"), size=int(len(source.container.stripped) * kept))

    def expected_bytes(self, attempt: _Attempt) -> float:
        """Return the approximate number of bytes of an attempt."""
        weight = _WEIGHTS[attempt.quality] / _WEIGHTS[self.attempt.quality]
        return self.size * weight * (attempt.scale / self.attempt.scale) ** 2


def _options(attempt: _Attempt, size: tuple[int, int]) -> Mapping[str, Any]:
    if attempt.kind == "png":
        return {"compress_level": 6 if math.prod(size) < _LARGE else 1}
    if attempt.quality is not None:
        return {"quality": attempt.quality}
    return {"lossless": True, "quality": 0, "method": 1} if attempt.kind == "webp" else {}


def _reencoded(source: Source, pixels: Image.Image, limits: Limits) -> tuple[ImageData, Iterator[Notice]]:
    """Return the image encoded in the first way that is within the bytes, and a notice of each change."""
    limit = min(limits.max_bytes or MAX_BYTES, MAX_BYTES)
    raster = _prepare(source, pixels, limits)
    attempts = _attempts(source, raster, limits)
    too_large = _TooLarge.of(source, raster) if raster.is_large else None
    problem: NotAnImage | None = None
    for attempt in attempts:
        if too_large and (too_large.expected_bytes(attempt) > _MAX_EXPECTED * limit or raster.is_slow(attempt)):
            continue
        try:
            encoded = raster.encoded(attempt)
        except NotAnImage as error:
            problem = error
            continue
        if len(encoded.content) <= limit:
            return encoded, _change_notices(source, raster, encoded, attempt, limits)
        too_large = _TooLarge(attempt=attempt, size=len(encoded.content))
    if too_large is None:
        raise problem or NotAnImage("it cannot be written in a format that this provider takes")
    attempt = attempts[-1] if attempts[-1].quality is None else replace(attempts[-1], quality=_QUALITIES[1])
    for margin in _MARGINS:
        scale = attempt.scale * math.sqrt(limit / too_large.expected_bytes(attempt)) * margin
        attempt = replace(attempt, scale=min(scale, raster.largest_scale(attempt)))
        encoded = raster.encoded(attempt)
        _check_sides((encoded.width, encoded.height), limits, "scaled for this provider's other limits it would have")
        if len(encoded.content) <= limit:
            return encoded, _change_notices(source, raster, encoded, attempt, limits)
        too_large = _TooLarge(attempt=attempt, size=len(encoded.content))
    raise NotAnImage(f"it cannot be made as small as the limit of {limit:,} bytes")


def _attempts(source: Source, raster: _Raster, limits: Limits) -> list[_Attempt]:
    """Return the ways to encode an image at full size, from the best to the smallest."""
    allowed = limits.formats or _DEFAULT_FORMATS
    has_alpha = raster.image.mode == "RGBA"
    kind = source.kind
    # a GIF becomes a PNG of the same colours, which every provider reads
    if kind not in allowed or kind == "gif" or raster.is_slow(_Attempt(kind=kind)):
        best = _BEST_LOSSLESS if has_alpha or source.is_lossless else _BEST_LOSSY
        kind = next(other for other in best if other in allowed)
    attempts = []
    if kind in {"png", "gif"} or (kind == "webp" and source.is_lossless):
        attempts.append(_Attempt(kind=kind))
        kind = next((other for other in (["webp"] if has_alpha else ["jpeg", "webp"]) if other in allowed), "")
    if kind in _LOSSY:
        attempts += [_Attempt(kind=kind, quality=quality) for quality in _QUALITIES]
    return attempts


def _prepare(source: Source, pixels: Image.Image, limits: Limits) -> _Raster:
    profile = exact_profile(pixels.info.get("icc_profile"))
    quantization = _quantization(source.opened) if source.kind == "jpeg" else {}
    image = normalized(pixels, profile)
    size = _size_within(image.size, limits.max_pixels)
    _check_sides(size, limits, "scaled for this provider's other limits it would have")
    return _Raster(image=image, size=size, profile=profile, quantization=quantization)


def _quantization(opened: Image.Image) -> Mapping[str, Any]:
    """Return Pillow's options that repeat the compression of a JPEG; empty when that is not possible."""
    tables = _tables(opened) if isinstance(opened, JpegImagePlugin.JpegImageFile) else []
    is_usable = tables and all(1 <= n <= 255 for table in tables for n in table)  # noqa: PLR2004
    if opened.mode not in {"L", "RGB"} or not is_usable:
        return {}
    return {
        "quality": -1,  # the tables are not scaled
        "qtables": tables,
        "subsampling": JpegImagePlugin.get_sampling(opened),
        "progressive": bool(opened.info.get("progressive")),
        "optimize": True,
    }


def _tables(opened: JpegImagePlugin.JpegImageFile) -> list[list[int]]:
    """Return the quantization of each channel, the last one also for further channels; empty when one is missing.

    A table that no channel uses may contain anything, and Pillow would assign it to a channel.
    """
    tables = [opened.quantization.get(table, []) for *_, table in opened.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables if all(tables) else []


def _size_within(size: tuple[int, int], max_pixels: int | None) -> tuple[int, int]:
    """Return the largest size of the same proportions."""
    if max_pixels is None or size[0] * size[1] <= max_pixels:
        return size
    scale = math.sqrt(max_pixels / (size[0] * size[1]))
    width, height = (max(1, int(side * scale)) for side in size)
    return min(width, max_pixels // height), min(height, max_pixels // width)


# --- notices


def _change_notices(
    source: Source, raster: _Raster, encoded: ImageData, attempt: _Attempt, limits: Limits
) -> Iterator[Notice]:
    max_bytes = limits.max_bytes or MAX_BYTES
    if source.opened.mode == "CMYK":
        yield Notice.of("image_cmyk")
    if source.is_deep:
        yield Notice.of("image_8_bits")
    if encoded.format != source.kind:
        is_known = source.kind in FORMATS and source.kind != "gif" and not raster.is_slow(_Attempt(kind=source.kind))
        ground = "_on_white" if raster.image.mode == "RGBA" and encoded.format == "jpeg" else ""
        formats = {"given": NAMES[source.kind], "sent": NAMES[encoded.format]}
        reason, facts = _reason_to_convert(source.kind, limits) if is_known else ("", {})
        yield Notice.of(f"image_converted{ground}{reason}", **formats, **facts)
    if (encoded.width, encoded.height) != raster.image.size:
        sizes = {"given": f"{source.width}x{source.height}", "sent": f"{encoded.width}x{encoded.height}"}
        if attempt.scale < 1:
            yield Notice.of("image_scaled_for_bytes", **sizes, max_bytes=max_bytes)
        else:
            yield Notice.of("image_scaled_for_pixels", **sizes, max_pixels=limits.max_pixels or 0)
    elif attempt.quality is not None and attempt.quality < _QUALITIES[0]:
        yield Notice.of("image_compressed", max_bytes=max_bytes)


def _reason_to_convert(kind: str, limits: Limits) -> tuple[str, dict[str, str | int]]:
    """Return the end of the notice's code, and its parameters."""
    if limits.formats is None and kind not in _DEFAULT_FORMATS:
        return "_unstated", {}
    if limits.formats is not None and kind not in limits.formats:
        return "_for_formats", {"formats": ", ".join(limits.formats)}
    return "_for_bytes", {"max_bytes": limits.max_bytes or MAX_BYTES}

"""Small images for the eye of a person or a model: thumbnails, contact sheets of several, and rasters for terminals.

All of this works on hostile bytes and takes time: it runs in a process that can be killed (`image_worker`).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageDraw, ImageFont

from journey_mcp.core.views import Raster, RasterForm, SheetForm
from journey_mcp.media.containers import exact_profile
from journey_mcp.media.decoding import UNREADABLE, Source, normalized

_QUALITIES = (80, 65, 50, 35, 20)
"""Each next one is used only if the one before gives too many bytes."""
_SHRINK = 0.75
"""The factor on the size when no quality gives few enough bytes."""
_REDUCING_GAP = 2.0
"""A far larger image is first reduced by a quick filter, or by its decoder, to this many times the size."""
_SRGB = ImageCms.createProfile("sRGB")
_COLOURS = 256
_GAP = 4
"""Pixels between the cells of a sheet."""
_GROUND = (40, 40, 40)
_CANDIDATES, _COLUMNS = 4, 2
"""Four images are arranged as a provider arranges its candidates."""
_LABEL_SHARE, _MIN_LABEL = 9, 14
"""A label is as high as the longer side of its cell divided by this, and at least so many pixels."""
_CAPTION_SHARE = 20
"""The letters below a cell are as high as the cell divided by this."""
_FRAME = (120, 120, 120)
_ELLIPSIS = "…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A file, and the size of the image that it shows."""

    content: bytes
    """A JPEG, or a sheet with captions in the wanted form."""
    width: int
    """Of the original, as displayed."""
    height: int


def thumbnail(content: bytes, *, size: int, max_bytes: int) -> Rendered:
    """Return an image with its longest side at most `size`: upright, 8 bits, sRGB, transparent parts on white.

    A smaller image keeps its size. If the bytes do not suffice, the quality is lowered, then the size.

    Raises:
        NotAnImage: not an image, or damaged.
    """
    source = Source.read(content)
    return Rendered(content=_encoded(_scaled(source, size), max_bytes), width=source.width, height=source.height)


def raster(content: bytes, *, size: int, form: RasterForm) -> Raster:
    """Return an image as `thumbnail` scales it, in one of the forms of `Raster`.

    Raises:
        NotAnImage: not an image, or damaged.
    """
    image = _scaled(Source.read(content), size).convert("RGB")
    if form == "palette":
        image = image.quantize(_COLOURS)
        palette = bytes(image.getpalette() or ()).ljust(3 * _COLOURS, b"\0")
        return Raster(content=image.tobytes(), width=image.width, height=image.height, palette=palette)
    return Raster(content=_in_form(image, form), width=image.width, height=image.height)


def _in_form(image: Image.Image, form: RasterForm) -> bytes:
    if form == "rgb":
        return image.tobytes()
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def _scaled(source: Source, size: int) -> Image.Image:
    """Return the image with its longest side at most `size`: upright, 8 bits, sRGB, transparent parts on white."""
    wanted = size_within(source.width, source.height, size)
    pixels = source.decoded(at_least=(math.ceil(wanted[0] * _REDUCING_GAP), math.ceil(wanted[1] * _REDUCING_GAP)))
    profile = exact_profile(pixels.info.get("icc_profile"))
    image = normalized(pixels, profile)
    if image.size != wanted:
        image = image.resize(wanted, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
    return _on_white(_to_srgb(image, profile))


def contact_sheet(contents: Sequence[bytes], labels: Sequence[str], *, size: int, max_bytes: int) -> Rendered:
    """Return up to four thumbnails on one sheet, each in its aspect ratio with its label in a corner.

    The longest side is `size`, without the gaps between the cells; four images are 2x2.

    Raises:
        NotAnImage: one of them is not an image, or damaged.
    """
    images = [normalized(Source.read(content).decoded(), None) for content in contents]
    grid = _Grid.of([image.size for image in images], size)
    sheet = Image.new("RGB", grid.size, _GROUND)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        shown = grid.shown(image.size)
        left, top = grid.corner(number, shown)
        sheet.paste(image.resize(shown, Image.Resampling.BICUBIC), (left, top))
        _draw_label(sheet, label, (left, top), max(_MIN_LABEL, max(grid.cell) // _LABEL_SHARE))
    return Rendered(content=_encoded(sheet, max_bytes), width=sheet.width, height=sheet.height)


def captioned_sheet(
    contents: Sequence[bytes], captions: Sequence[Sequence[str]], *, cell: int, form: SheetForm
) -> Rendered:
    """Return images in square cells, each with lines of text below, which are cut to its width.

    Without bytes, a cell is an empty frame. Images are not enlarged.

    Raises:
        NotAnImage: one of them is not an image, or damaged.
    """
    font = ImageFont.load_default(size=cell / _CAPTION_SHARE)
    line_height = math.ceil(cell / _CAPTION_SHARE * 1.4)
    height = cell + line_height * max(map(len, captions))
    columns = math.ceil(math.sqrt(len(contents)))
    rows = math.ceil(len(contents) / columns)
    sheet = Image.new("RGB", (columns * (cell + _GAP) - _GAP, rows * (height + _GAP) - _GAP), _GROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (content, lines) in enumerate(zip(contents, captions, strict=True)):
        left, top = number % columns * (cell + _GAP), number // columns * (height + _GAP)
        if content:
            _paste(sheet, normalized(Source.read(content).decoded(), None), (left, top), cell)
        else:
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), outline=_FRAME, width=2)
        for row, line in enumerate(lines):
            middle = left + cell / 2, top + cell + (row + 0.5) * line_height
            draw.text(middle, _cut(line, cell, font), fill="white", font=font, anchor="mm")
    return Rendered(content=_in_form(sheet, form), width=sheet.width, height=sheet.height)


def _paste(sheet: Image.Image, image: Image.Image, corner: tuple[int, int], cell: int) -> None:
    """Put an image into the middle of its cell."""
    shown = image.resize(size_within(*image.size, cell), Image.Resampling.BICUBIC)
    sheet.paste(shown, (corner[0] + (cell - shown.width) // 2, corner[1] + (cell - shown.height) // 2))


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return as much of a text as fits, with an ellipsis if something is missing."""
    kept = text
    while kept and font.getlength(kept if kept == text else f"{kept}{_ELLIPSIS}") > width:
        kept = kept[:-1]
    return text if kept == text else f"{kept}{_ELLIPSIS}"


def size_within(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the size in the same proportions with the longest side within a limit; smaller sizes are kept."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert colours, since model APIs and many viewers ignore a profile."""
    if profile is None or image.mode == "L" or profile[16:20] != b"RGB ":
        return image
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image.convert("RGB"), given, _SRGB, outputMode="RGB")
    except UNREADABLE:  # a damaged profile counts as none
        return image
    if converted is not None and alpha is not None:
        converted.putalpha(alpha)
    return converted or image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _encoded(image: Image.Image, max_bytes: int) -> bytes:
    """Return the image in the best quality and size that is within the bytes."""
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
            if buffer.tell() <= max_bytes or max(image.size) == 1:
                return buffer.getvalue()
        smaller = max(1, int(image.width * _SHRINK)), max(1, int(image.height * _SHRINK))
        image = image.resize(smaller, Image.Resampling.BICUBIC)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grid:
    """The cells of a sheet, all of one size, and the scale of the images in them."""

    columns: int
    rows: int
    cell: tuple[int, int]
    longest: float
    """Pixels of the longest side of an image."""

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]], size: int) -> "_Grid":
        """Return the grid in which the images become largest; four have two columns."""
        # every image has the same longest side, whatever the size of its original
        width = max(w / max(w, h) for w, h in sizes)
        height = max(h / max(w, h) for w, h in sizes)
        count = len(sizes)
        # side by side where both are equal
        choices = range(count, 0, -1) if count < _CANDIDATES else [_COLUMNS]
        columns = min(choices, key=lambda n: max(n * width, math.ceil(count / n) * height))
        rows = math.ceil(count / columns)
        longest = size / max(columns * width, rows * height)
        cell = max(1, round(width * longest)), max(1, round(height * longest))
        return cls(columns=columns, rows=rows, cell=cell, longest=longest)

    @property
    def size(self) -> tuple[int, int]:
        """Of the whole sheet."""
        width, height = self.cell
        return self.columns * (width + _GAP) - _GAP, self.rows * (height + _GAP) - _GAP

    def shown(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of an image in its cell; it is not enlarged."""
        scale = min(1.0, self.longest / max(size))
        width, height = (max(1, round(side * scale)) for side in size)
        return min(width, self.cell[0]), min(height, self.cell[1])

    def corner(self, number: int, shown: tuple[int, int]) -> tuple[int, int]:
        """Return the left and upper edge of an image in the middle of its cell; the first number is 0."""
        row, column = divmod(number, self.columns)
        return (
            column * (self.cell[0] + _GAP) + (self.cell[0] - shown[0]) // 2,
            row * (self.cell[1] + _GAP) + (self.cell[1] - shown[1]) // 2,
        )


def _draw_label(sheet: Image.Image, label: str, corner: tuple[int, int], height: int) -> None:
    """Draw white on black with a white edge, which is readable on every image."""
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=height * 0.8)
    left, top = corner[0] + height // 4, corner[1] + height // 4
    width = max(height, math.ceil(draw.textlength(label, font=font) + height * 0.5))
    box = (left, top, left + width, top + height)
    draw.rounded_rectangle(box, radius=height // 4, fill="black", outline="white", width=max(1, height // 14))
    draw.text((left + width / 2, top + height / 2), label, fill="white", font=font, anchor="mm")

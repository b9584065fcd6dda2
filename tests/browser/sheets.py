"""Sheets of screenshots for the documents: small PNG files with a palette."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

_GAP = 16
_GROUND = (200, 203, 210)
_COLORS = 48


def sheet(rows: Sequence[Sequence[bytes]], heights: Sequence[int]) -> Image.Image:
    """Return rows of screenshots on one ground, each row scaled to a height."""
    scaled = [[_scaled(png, height) for png in row] for row, height in zip(rows, heights, strict=True)]
    width = max(sum(one.width + _GAP for one in row) for row in scaled) + _GAP
    drawn = Image.new("RGB", (width, sum(height + _GAP for height in heights) + _GAP), _GROUND)
    top = _GAP
    for row, height in zip(scaled, heights, strict=True):
        left = (width - sum(one.width + _GAP for one in row) + _GAP) // 2
        for one in row:
            drawn.paste(one, (left, top))
            left += one.width + _GAP
        top += height + _GAP
    return drawn


def save(drawn: Image.Image, file: Path) -> int:
    """Write an image with a palette; return its bytes."""
    file.parent.mkdir(exist_ok=True)
    drawn.quantize(_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, optimize=True)
    return file.stat().st_size


def opened(png: bytes) -> Image.Image:
    """Return a screenshot as an image."""
    return Image.open(io.BytesIO(png)).convert("RGB")


def _scaled(png: bytes, height: int) -> Image.Image:
    image = opened(png)
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)

"""Sheets of screenshots for the documents: small PNG files with a palette."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

_GAP = 16
_GROUND = (203, 206, 212)
_COLORS = 128


def sheet(rows: Sequence[Sequence[bytes]], scales: Sequence[float]) -> Image.Image:
    """Return rows of screenshots on one ground, each row scaled."""
    scaled = [[_scaled(png, scale) for png in row] for row, scale in zip(rows, scales, strict=True)]
    width = max(sum(one.width + _GAP for one in row) for row in scaled) + _GAP
    heights = [max(one.height for one in row) for row in scaled]
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
    palette = drawn.quantize(_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(file, optimize=True)
    return file.stat().st_size


def opened(png: bytes) -> Image.Image:
    """Return a screenshot as an image."""
    return Image.open(io.BytesIO(png)).convert("RGB")


def _scaled(png: bytes, scale: float) -> Image.Image:
    image = opened(png)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)

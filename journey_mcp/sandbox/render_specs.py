"""Which picture is wanted. Drawing it is for `drawing`, when somebody asks to see it."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "jpg", "webp"]
Ratio = tuple[int, int]

MEDIA_TYPES: dict[str, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
SHORTEST_SIDE_PX = 64


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture from nothing: equal scenes are equal to the byte."""

    prompt: str
    model: str
    seed: int
    size: tuple[int, int]
    image_format: Format
    variant: int = 0
    """Tells the pictures of one task apart."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A given picture, still recognisable, with marks of the edit on it."""

    source: bytes
    prompt: str
    model: str
    seed: int
    image_format: Format
    ratio: Ratio | None = None
    """Wanted shape, cut from the middle; None keeps the shape of the source."""
    size: tuple[int, int] | None = None
    """Wanted size, cut from the middle and scaled; None keeps that of the source."""
    others: tuple[bytes, ...] = ()
    """Further pictures that guide the edit; they are seen on its upper edge."""
    mask: bytes | None = None
    """Where it is black, the source stays as it is; stretched to the size of the source."""
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels to add at the left, top, right and bottom."""
    variant: int = 0
    """Tells the pictures of one task apart."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Four scenes of one size, two by two, on a sheet of that same size."""

    panels: tuple[Scene, Scene, Scene, Scene]
    image_format: Format


RenderSpec = Scene | Edit | Sheet


def fit(ratio: Ratio, long_side_px: int) -> tuple[int, int]:
    """Return the size of this shape whose longer side is `long_side_px`; even, and never a mere line."""
    width, height = ratio
    short = max(SHORTEST_SIDE_PX, round(long_side_px * min(ratio) / max(ratio) / 2) * 2)
    return (long_side_px, short) if width >= height else (short, long_side_px)

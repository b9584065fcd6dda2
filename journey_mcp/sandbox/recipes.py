"""Which picture is wanted. Drawing it is for `drawing`, when somebody asks to see it."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "jpg"]
Ratio = tuple[int, int]

MEDIA_TYPES: dict[str, str] = {"png": "image/png", "jpg": "image/jpeg"}
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
    """Wanted shape, cut from the middle; None keeps the size of the source."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Four scenes of one size, two by two, on a sheet of that same size."""

    panels: tuple[Scene, Scene, Scene, Scene]
    image_format: Format


Recipe = Scene | Edit | Sheet


def fit(ratio: Ratio, long_side_px: int) -> tuple[int, int]:
    """Return the size of this shape whose longer side is `long_side_px`; even, and never a mere line."""
    width, height = ratio
    short = max(SHORTEST_SIDE_PX, round(long_side_px * min(ratio) / max(ratio) / 2) * 2)
    return (long_side_px, short) if width >= height else (short, long_side_px)

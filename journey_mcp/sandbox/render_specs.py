"""Render specs: descriptions of images. `drawing` renders them when they are requested."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "jpg", "webp"]
Ratio = tuple[int, int]

MEDIA_TYPES: dict[str, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
SHORTEST_SIDE_PX = 64


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A generated image; equal scenes render to equal bytes."""

    prompt: str
    model: str
    seed: int
    size: tuple[int, int]
    image_format: Format
    variant: int = 0
    """The index among the images of one task."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edit of an input image, which stays recognisable and shows the edit."""

    source: bytes
    prompt: str
    model: str
    seed: int
    image_format: Format
    ratio: Ratio | None = None
    """The requested shape, cropped from the centre; None keeps the shape of the source."""
    size: tuple[int, int] | None = None
    """The requested size, cropped from the centre and scaled; None keeps that of the source."""
    others: tuple[bytes, ...] = ()
    """Further input images; they appear on the upper edge."""
    mask: bytes | None = None
    """The source is unchanged where the mask is black; the mask is stretched to the size of the source."""
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels to add at the left, top, right and bottom."""
    variant: int = 0
    """The index among the images of one task."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Four scenes of one size, two by two, on an image of that size."""

    panels: tuple[Scene, Scene, Scene, Scene]
    image_format: Format


RenderSpec = Scene | Edit | Sheet


def fit(ratio: Ratio, long_side_px: int) -> tuple[int, int]:
    """Return the size of this shape with this longer side; the shorter side is even and at least SHORTEST_SIDE_PX."""
    width, height = ratio
    short = max(SHORTEST_SIDE_PX, round(long_side_px * min(ratio) / max(ratio) / 2) * 2)
    return (long_side_px, short) if width >= height else (short, long_side_px)

"""Render specs: descriptions of images. `drawing` renders them when they are requested."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "jpg", "webp"]
Ratio = tuple[int, int]

MEDIA_TYPES: dict[str, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
SHORTEST_SIDE_PX = 64
LONGEST_SIDE_PX = 4096
FINENESS = 1.5
"""The factor by which scenes are drawn larger and then scaled down."""
DEEPEST = 8
"""How many follow-ups of follow-ups are drawn; the source of a deeper one is that of its source."""


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
class Refined:
    """A follow-up of an image, which stays recognisable and shows what was done with it."""

    source: "Scene | Edit | Refined | bytes"
    label: str
    """What was done, written into the image."""
    prompt: str
    model: str
    seed: int
    image_format: Format
    scale: int = 1
    """How many times as large it is; the longer side ends at LONGEST_SIDE_PX."""
    difference: float = 0.0
    """How much of another scene is mixed in, 0.0 to 1.0."""
    margins: tuple[float, float, float, float] = (0, 0, 0, 0)
    """What is added at the left, top, right and bottom, as a fraction of the side."""
    variant: int = 0
    """The index among the images of one task."""


Drawn = Scene | Edit | Refined


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Four images of one size, two by two, on an image of that size."""

    panels: tuple[Drawn, Drawn, Drawn, Drawn]
    image_format: Format


RenderSpec = Drawn | Sheet


def depth_of(source: Drawn | bytes) -> int:
    """Return how many follow-ups led to this image."""
    depth = 0
    while isinstance(source, Refined):
        source, depth = source.source, depth + 1
    return depth


def fit(ratio: Ratio, long_side_px: int) -> tuple[int, int]:
    """Return the size of this shape with this longer side; the shorter side is even and at least SHORTEST_SIDE_PX."""
    width, height = ratio
    short = max(SHORTEST_SIDE_PX, round(long_side_px * min(ratio) / max(ratio) / 2) * 2)
    return (long_side_px, short) if width >= height else (short, long_side_px)

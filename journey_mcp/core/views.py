"""Views: small JPEGs of some finished images, alone or on a numbered sheet; and rasters, for terminals."""

from dataclasses import dataclass
from typing import Literal

from journey_mcp.core.errors import JourneyError

Layout = Literal["sheet", "each"]
SheetForm = Literal["png", "jpeg"]
RasterForm = Literal["rgb", "palette", "png", "jpeg"]
VIEW_SIZES = (320, 512, 1024)
"""The longest sides of views, in pixels."""
DEFAULT_VIEW_SIZE = 512
MAX_IMAGES_OF_VIEW = 4
MAX_PANELS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """An image in a view."""

    id: str
    width: int
    """Of the original, as displayed."""
    height: int
    label: str | None = None
    """On the sheet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unseen:
    """An image that is not in the view."""

    id: str
    error: JourneyError


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """Small JPEGs of some images."""

    layout: Layout
    """`each` for a single image."""
    size: int
    """The longest side of an image, or of the sheet without its gaps."""
    jpegs: tuple[bytes, ...] = ()
    """The sheet, or one for each image."""
    seen: tuple[Seen, ...] = ()
    unseen: tuple[Unseen, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Raster:
    """A small image in a form that a terminal can be given."""

    content: bytes
    """`rgb`: three bytes a pixel, row by row; `palette`: one index a pixel, row by row; otherwise a file."""
    width: int
    height: int
    palette: bytes = b""
    """Three bytes for each of 256 colours, if the form is `palette`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A part of a contact sheet with captions: images, or nothing, and lines of text below."""

    ids: tuple[str, ...]
    """Of up to four images, or of a task; empty if there is nothing to show."""
    lines: tuple[str, ...]

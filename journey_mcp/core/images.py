"""Words about pictures that everybody shares: aspect ratio, format, the id of an output image."""

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

_RATIO = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")
_IMAGE_ID = re.compile(r"(tsk_[A-Za-z0-9_-]{22})\.([1-9]\d{0,2})")
_TYPES_BY_ENDING = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
}
IMAGE_ENDINGS = (*_TYPES_BY_ENDING, ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".hif")
"""How the names of image files end, in lower case."""


@dataclass(frozen=True, slots=True)
class AspectRatio:
    """Width to height in whole numbers, written `W:H`."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "AspectRatio | None":
        """Read `W:H`; anything else, or a side of 0, is `None`."""
        match = _RATIO.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None

    def __le__(self, other: "AspectRatio") -> bool:
        """Whether it is at most as wide."""
        return self.width * other.height <= other.width * self.height

    def distance(self, other: "AspectRatio") -> float:
        """How unlike two shapes are: 0 for the same, 1 where one is e times as wide as the other."""
        return abs(math.log(self.width * other.height / (other.width * self.height)))

    def __str__(self) -> str:
        return f"{self.width}:{self.height}"


@dataclass(frozen=True, slots=True)
class ImageId:
    """One finished picture of a task: the task's id, a dot, and its number counted from 1."""

    task_id: str
    number: int

    @classmethod
    def parse(cls, text: str) -> "ImageId | None":
        """Read `tsk_….N`; anything else is `None`."""
        match = _IMAGE_ID.fullmatch(text.strip())
        return cls(match[1], int(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.task_id}.{self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InputImage:
    """A picture as it goes into a request: an address that the provider fetches, or the bytes."""

    url: str | None = None
    content: bytes = b""
    """Ready to be sent: fit for the offer, and without what a camera tells. Empty with a URL."""
    mime_type: str | None = None
    """Of the bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputImage:
    """One finished picture, as far as it is known."""

    url: str
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    expires_at: float | None = None
    """When the link dies, in seconds of the Unix epoch."""
    path: str | None = None
    """Where our own copy lies; links that die soon have one."""

    @property
    def known_mime_type(self) -> str | None:
        """The type that the provider or the copy states, else the one that the ending of the URL stands for."""
        try:
            path = urlsplit(self.url).path
        except ValueError:  # a row of an earlier version; reading it must not fail over its type
            return self.mime_type
        return self.mime_type or _TYPES_BY_ENDING.get(PurePosixPath(path).suffix.lower())

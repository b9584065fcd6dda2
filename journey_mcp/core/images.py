"""Images: aspect ratio, media type, image id, input and output images."""

import math
import re
import secrets
from dataclasses import dataclass
from posixpath import splitext
from urllib.parse import urlsplit

_RATIO = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")
_IMAGE_ID = re.compile(r"(tsk_[A-Za-z0-9_-]{22})\.([1-9]\d{0,2})")
_UPLOAD_ID = re.compile(r"up_[A-Za-z0-9_-]{22}")
_MENTIONED = re.compile(r"(?<![\w-])(?:tsk_[A-Za-z0-9_-]{22}\.[1-9]\d{0,2}|up_[A-Za-z0-9_-]{22})(?![\w-])", re.ASCII)
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
        """Parse `W:H`; return `None` for any other text and for a side of 0."""
        match = _RATIO.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None

    def __le__(self, other: "AspectRatio") -> bool:
        """Return whether this shape is at most as wide as the other."""
        return self.width * other.height <= other.width * self.height

    def distance(self, other: "AspectRatio") -> float:
        """Return the distance of two shapes: 0 if they are equal, 1 if one is e times as wide as the other."""
        return abs(math.log(self.width * other.height / (other.width * self.height)))

    def __str__(self) -> str:
        return f"{self.width}:{self.height}"


@dataclass(frozen=True, slots=True)
class ImageId:
    """One finished image of a task: the task id, a dot, and a number that starts at 1."""

    task_id: str
    number: int

    @classmethod
    def parse(cls, text: str) -> "ImageId | None":
        """Parse `tsk_….N`; return `None` for any other text."""
        match = _IMAGE_ID.fullmatch(text.strip())
        return cls(match[1], int(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.task_id}.{self.number}"


@dataclass(frozen=True, slots=True)
class UploadId:
    """An image that was kept from the person, with `keep_image`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> "UploadId | None":
        """Parse `up_…`; return `None` for any other text."""
        match = _UPLOAD_ID.fullmatch(text.strip())
        return cls(match[0]) if match else None

    @classmethod
    def new(cls) -> "UploadId":
        """Return a new id: `up_` and 128 random bits."""
        return cls(f"up_{secrets.token_urlsafe(16)}")

    def __str__(self) -> str:
        return self.text


def mentioned_ids(text: str) -> set[str]:
    """Return the ids of images in a text, such as a stored request."""
    return set(_MENTIONED.findall(text))


@dataclass(frozen=True, kw_only=True, slots=True)
class InputImage:
    """An image in a request: a URL that the provider fetches, or the bytes."""

    url: str | None = None
    content: bytes = b""
    """Ready to be sent: within the limits of the offer, without camera metadata. Empty if there is a URL."""
    mime_type: str | None = None
    """Of the bytes."""


@dataclass(frozen=True, slots=True)
class PublicLink:
    """A link of this server to a stored image; everybody who has it can read the image until it expires."""

    url: str
    expires_at: float
    """In seconds of the Unix epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputImage:
    """One finished image, as far as it is known."""

    url: str
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    expires_at: float | None = None
    """When the link expires, in seconds of the Unix epoch."""
    path: str | None = None
    """The path of our copy. Stored for images whose links expire soon; for others it is found when a task is shown."""
    is_stored: bool = False
    """A copy is in an object store, where it has no path; never stored with the task."""
    public_link: PublicLink | None = None
    """A link to our copy, for clients over HTTP; never stored with the task."""
    saved_to: str | None = None
    """The path of the file for the person, in `JOURNEY_MCP_SAVE_DIR`; never stored with the task."""

    @property
    def has_copy(self) -> bool:
        """Whether there is a copy of ours, as far as is known."""
        return self.path is not None or self.is_stored

    @property
    def known_mime_type(self) -> str | None:
        """The type that the provider or the copy states, else the type of the URL's file name ending."""
        if self.mime_type:
            return self.mime_type
        try:
            path = urlsplit(self.url).path
        except ValueError:  # a row of an earlier version must stay readable
            return None
        return _TYPES_BY_ENDING.get(splitext(path)[1].lower())

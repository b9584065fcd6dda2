"""Objects: what the task database knows of an image or a thumbnail in an object store."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """One object."""

    name: str
    """The id of an image; with a dash and a size, the name of its thumbnail."""
    owner: str
    """The id of the task that made the image, or of the upload: all its objects are deleted together."""
    format: str
    bytes: int
    digest: str
    """SHA-256, in hexadecimal."""
    created_at: float
    """Of the task or the upload, in seconds of the Unix epoch."""

"""Where images are stored: copies of results, images kept from the person, and thumbnails.

`ImageFolder` keeps them on this machine, `ObjectStore` where every replica reads them.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from journey_mcp.core.images import ImageId, OutputImage, UploadId

ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp", "gif": "gif"}
"""How files end, by format."""


class ImageStoreUnavailable(OSError):
    """The image store cannot be reached, or refuses. Its text is for callers; the reason is its cause."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredImage:
    """A copy of a result, or an image that was kept from the person."""

    id: str
    format: str
    """One of `ENDINGS`."""
    path: Path | None = None
    """Its file, if it is on this machine."""

    @property
    def file_name(self) -> str:
        """The id with the ending of the format."""
        return f"{self.id}.{ENDINGS[self.format]}"

    def copy_of(self, image: OutputImage) -> OutputImage:
        """Return the image with this copy, which has a path on this machine or is in an object store."""
        return replace(image, is_stored=True) if self.path is None else replace(image, path=str(self.path))


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """The content of a stored image, before it is read."""

    size_bytes: int
    digest: str
    """SHA-256, in hexadecimal."""


class ImageStore(Protocol):
    """Store of images under their ids. A thumbnail belongs to an image, and is deleted with it.

    `made_at` is when the task of an image was made, in seconds of the Unix epoch: the oldest are deleted first.

    It has more methods than a class should have: an image and its thumbnails are deleted together, and each kind of
    store does what a method says in as few requests as it can.
    """

    @property
    def is_answering(self) -> bool:
        """Whether the last request to it was answered."""
        ...

    @property
    def redirects(self) -> bool:
        """Whether links of this server redirect to links of the store."""
        ...

    async def find(self, image_ids: Collection[str]) -> dict[str, StoredImage]:
        """Return the stored images among these ids.

        Raises:
            StoreUnavailable: the task database, which knows the images, does not answer.
        """
        ...

    async def read(self, image_id: str) -> bytes | None:
        """Return the bytes of an image; `None` if there is none.

        Raises:
            ImageStoreUnavailable: the store does not answer.
            StoreUnavailable: as `find`.
        """
        ...

    async def describe(self, image_id: str) -> Content | None:
        """Return size and digest of an image; `None` if there is none.

        Raises:
            ImageStoreUnavailable, StoreUnavailable: as `read`.
        """
        ...

    def stream(self, image: StoredImage, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `end`, a part at a time.

        Raises:
            OSError: the image is gone, or the store does not answer.
        """
        ...

    async def link(self, image: StoredImage, seconds: int) -> str | None:
        """Return a URL at which the store itself serves the image for so long; `None` if it serves none.

        Raises:
            ImageStoreUnavailable: the store cannot be asked.
        """
        ...

    async def link_origin(self) -> str | None:
        """Return scheme and host of these URLs; `None` if the store serves none, or cannot sign them."""
        ...

    async def write(self, image_id: str, kind: str, content: bytes, *, made_at: float) -> StoredImage:
        """Store an image of this format, completely or not at all.

        Raises:
            OSError: it cannot be written.
            StoreUnavailable: as `find`.
        """
        ...

    async def read_thumbnail(self, image_id: str, size: int) -> bytes | None:
        """Return the thumbnail of this size; `None` if there is none, or it cannot be read."""
        ...

    async def write_thumbnail(self, image_id: str, size: int, content: bytes, *, made_at: float) -> None:
        """Store a thumbnail.

        Raises:
            OSError, StoreUnavailable: as `write`.
        """
        ...

    async def forget_thumbnails(self, image_ids: Collection[str], sizes: Sequence[int]) -> None:
        """Delete the thumbnails of these images."""
        ...

    async def delete(self, owners: Collection[str]) -> None:
        """Delete all images of these tasks, and these uploads, with their thumbnails.

        Raises:
            OSError, StoreUnavailable: not all of them could be deleted.
        """
        ...

    async def usage(self) -> int:
        """Return the bytes of everything that is stored."""
        ...

    async def evict(self, max_bytes: int, protected: Collection[str]) -> int:
        """Delete the oldest images until all of them fit; return the bytes that are left.

        Images whose id, or whose task's id, is `protected` stay.
        """
        ...

    async def forget_older(self, than: float) -> None:
        """Delete the images made before then, in seconds of the Unix epoch."""
        ...

    async def delete_unfinished(self, now: float) -> None:
        """Delete what was left by processes which died while they wrote."""
        ...


def is_image_id(text: str) -> bool:
    """Return whether this is exactly the id of an image that may be stored."""
    found = ImageId.parse(text) or UploadId.parse(text)
    return found is not None and str(found) == text


def owner_of(image_id: str) -> str:
    """Return the id of an image's task; an upload belongs to itself."""
    return image_id.partition(".")[0]

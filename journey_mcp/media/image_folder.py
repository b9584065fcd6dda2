"""The stored images on this machine: copies of results, images kept from the person, and thumbnails, one file each.

Only files with names of ours are ever deleted. A copy has the time of its task as its own, so that both die together,
and so that the oldest images come first when there are too many.
"""

import hashlib
import os
import re
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path

import anyio
from anyio import to_thread

from journey_mcp.core import private_files
from journey_mcp.media.image_store import ENDINGS, Content, StoredImage, is_image_id, owner_of

_FOLDER = "pictures"
_THUMBNAILS = "thumbnails"
_NAME = re.compile(
    rf"(?P<id>tsk_[A-Za-z0-9_-]{{22}}\.[1-9]\d{{0,2}}|up_[A-Za-z0-9_-]{{22}})(?:-\d{{1,5}})?\.(?:{'|'.join(ENDINGS.values())})",
    re.ASCII,
)
_UNFINISHED = re.compile(r"\.[0-9a-f]{12}\.part")
_UNFINISHED_S = 3600.0
"""A file that is older was left by a process that died while it wrote."""
_READ_AT_ONCE = 256 * 1024
_DIGESTS_KEPT = 1024


@dataclass(slots=True)
class _Stored:
    """All files of one image."""

    id: str
    paths: list[str] = field(default_factory=list)
    size_bytes: int = 0
    made_at: float = 0.0
    """Of the image; of its newest thumbnail if there is none."""
    has_image: bool = False


class ImageFolder:
    """The folders of stored images; its methods are those of `ImageStore`. Files are read and written in threads."""

    is_answering = True
    """A folder does."""
    redirects = False
    """Nothing else serves the files."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.absolute() / _FOLDER
        self._thumbnails = data_dir.absolute() / _THUMBNAILS

    async def find(self, image_ids: Collection[str]) -> dict[str, StoredImage]:
        """Return the images among these ids that have a file."""
        return await to_thread.run_sync(self._find, image_ids)

    async def read(self, image_id: str) -> bytes | None:
        """Return the bytes of an image; `None` if there is no file, or it cannot be read."""
        return await to_thread.run_sync(self._read, image_id)

    async def describe(self, image_id: str) -> Content | None:
        """Return size and digest of an image; `None` if there is no file, or it cannot be read."""
        return await to_thread.run_sync(self._describe, image_id)

    async def stream(self, image: StoredImage, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `end`.

        Raises:
            OSError: the file is gone.
        """
        async with await anyio.open_file(self._folder / image.file_name, "rb") as file:
            await file.seek(start)
            while start < end and (part := await file.read(min(_READ_AT_ONCE, end - start))):
                start += len(part)
                yield part

    async def link(self, image: StoredImage, seconds: int) -> str | None:  # noqa: ARG002  # as the docstring says
        """Return `None`: nothing else serves the files."""
        return None

    async def link_origin(self) -> None:
        """Return `None`, as `link`."""

    async def write(self, image_id: str, kind: str, content: bytes, *, made_at: float) -> StoredImage:
        """Store an image of this format, completely or not at all.

        Raises:
            OSError: it cannot be written.
        """
        path = self._folder / f"{image_id}.{ENDINGS[kind]}"
        # images are private, as prompts are
        await to_thread.run_sync(lambda: private_files.write(path, content, made_at=made_at))
        return StoredImage(id=image_id, format=kind, path=path)

    async def read_thumbnail(self, image_id: str, size: int) -> bytes | None:
        """Return the thumbnail of this size; `None` if there is none, or it cannot be read."""
        return await to_thread.run_sync(_bytes_of, self._thumbnails / _thumbnail_name(image_id, size))

    async def write_thumbnail(self, image_id: str, size: int, content: bytes, *, made_at: float) -> None:
        """Store a thumbnail.

        Raises:
            OSError: it cannot be written.
        """
        path = self._thumbnails / _thumbnail_name(image_id, size)
        await to_thread.run_sync(lambda: private_files.write(path, content, made_at=made_at))

    async def forget_thumbnails(self, image_ids: Collection[str], sizes: Sequence[int]) -> None:
        """Delete the thumbnails of these images."""
        paths = [self._thumbnails / _thumbnail_name(image_id, size) for image_id in image_ids for size in sizes]
        await to_thread.run_sync(_unlink, map(str, paths))

    async def delete(self, owners: Collection[str]) -> None:
        """Delete all images of these tasks, and these uploads, with their thumbnails."""
        wanted = frozenset(owners)
        await to_thread.run_sync(lambda: _delete([one for one in self._stored() if owner_of(one.id) in wanted]))

    async def usage(self) -> int:
        """Return the bytes of all stored images."""
        return await to_thread.run_sync(lambda: sum(stored.size_bytes for stored in self._stored()))

    async def evict(self, max_bytes: int, protected: Collection[str]) -> int:
        """Delete the oldest images until all of them fit; return the bytes that are left.

        Images whose id, or whose task's id, is `protected` stay.
        """
        return await to_thread.run_sync(self._evict, max_bytes, protected)

    async def forget_older(self, than: float) -> None:
        """Delete the images made before then, in seconds of the Unix epoch."""
        await to_thread.run_sync(lambda: _delete([stored for stored in self._stored() if stored.made_at < than]))

    async def delete_unfinished(self, now: float) -> None:
        """Delete files that were left by processes which died while they wrote."""
        await to_thread.run_sync(self._delete_unfinished, now)

    def _find(self, image_ids: Collection[str]) -> dict[str, StoredImage]:
        return {image_id: found for image_id in image_ids if (found := self._find_one(image_id))}

    def _find_one(self, image_id: str) -> StoredImage | None:
        if not is_image_id(image_id):
            return None
        paths = ((kind, os.path.join(self._folder, f"{image_id}.{ending}")) for kind, ending in ENDINGS.items())  # noqa: PTH118  # four times for every image of a listing
        found = next(((kind, path) for kind, path in paths if os.path.isfile(path)), None)  # noqa: PTH113
        return StoredImage(id=image_id, format=found[0], path=Path(found[1])) if found else None

    def _read(self, image_id: str) -> bytes | None:
        found = self._find_one(image_id)
        return _bytes_of(found.path) if found and found.path else None

    def _describe(self, image_id: str) -> Content | None:
        found = self._find_one(image_id)
        try:
            about = os.stat(found.path) if found and found.path else None  # noqa: PTH116  # as above
            if not found or not about:
                return None
            digest = _digest(str(found.path), about.st_mtime_ns, about.st_size, about.st_ino)
        except OSError:
            return None
        return Content(size_bytes=about.st_size, digest=digest)

    def _evict(self, max_bytes: int, protected: Collection[str]) -> int:
        found = sorted(self._stored(), key=lambda stored: stored.made_at)
        left = sum(stored.size_bytes for stored in found)
        deleted = []
        for stored in found:
            if left <= max_bytes:
                break
            if stored.id not in protected and owner_of(stored.id) not in protected:
                left -= stored.size_bytes
                deleted.append(stored)
        _delete(deleted)
        return left

    def _delete_unfinished(self, now: float) -> None:
        for entry in chain(_entries(self._folder), _entries(self._thumbnails)):
            with suppress(OSError):
                if _UNFINISHED.fullmatch(entry.name) and entry.stat().st_mtime < now - _UNFINISHED_S:
                    os.unlink(entry.path)  # noqa: PTH108  # an entry has a path as text

    def _stored(self) -> Collection[_Stored]:
        found: dict[str, _Stored] = {}
        for folder in (self._folder, self._thumbnails):
            for entry in _entries(folder):
                if not (match := _NAME.fullmatch(entry.name)):
                    continue
                with suppress(OSError):  # it was deleted meanwhile
                    about = entry.stat(follow_symlinks=False)
                    stored = found.setdefault(match["id"], _Stored(match["id"]))
                    stored.paths.append(entry.path)
                    stored.size_bytes += about.st_size
                    if folder is self._folder:
                        stored.made_at, stored.has_image = about.st_mtime, True
                    elif not stored.has_image:
                        stored.made_at = max(stored.made_at, about.st_mtime)
        return found.values()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # nothing was stored yet, or the folder cannot be read
        return


def _thumbnail_name(image_id: str, size: int) -> str:
    return f"{image_id}-{size}.jpg"


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@lru_cache(_DIGESTS_KEPT)
def _digest(path: str, _modified_ns: int, _size: int, _inode: int) -> str:
    """Return the digest of a file, which is read once as long as it stays the same."""
    with open(path, "rb") as file:  # noqa: PTH123  # the path is text, as in its key
        return hashlib.file_digest(file, "sha256").hexdigest()


def _delete(images: Sequence[_Stored]) -> None:
    _unlink(path for stored in images for path in stored.paths)


def _unlink(paths: Iterable[str]) -> None:
    for path in paths:
        with suppress(OSError):  # it is not there, or another process was faster
            os.unlink(path)  # noqa: PTH108  # an entry of a folder has a path as text

"""The stored images on this machine: copies of results, images kept from the person, and thumbnails, one file each.

Only files with names of ours are ever deleted. A copy has the time of its task as its own, so that both die together,
and so that the oldest images come first when there are too many.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from journey_mcp.core.images import ImageId, UploadId
from journey_mcp.media import private_files

_FOLDER = "pictures"
_THUMBNAILS = "thumbnails"
_ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp", "gif": "gif"}
"""How files end, by format."""
_NAME = re.compile(
    rf"(?P<id>tsk_[A-Za-z0-9_-]{{22}}\.[1-9]\d{{0,2}}|up_[A-Za-z0-9_-]{{22}})(?:-\d{{1,5}})?\.(?:{'|'.join(_ENDINGS.values())})",
    re.ASCII,
)
_UNFINISHED = re.compile(r"\.[0-9a-f]{12}\.part")
_UNFINISHED_S = 3600.0
"""A file that is older was left by a process that died while it wrote."""


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
    """The folders of stored images. All methods but the constructor read or write files."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.absolute() / _FOLDER
        self._thumbnails = data_dir.absolute() / _THUMBNAILS

    def path_of(self, image_id: str) -> Path | None:
        """Return the file of a copy or of a kept image; `None` if there is none."""
        if not (ImageId.parse(image_id) or UploadId.parse(image_id)):
            return None
        paths = (os.path.join(self._folder, f"{image_id}.{ending}") for ending in _ENDINGS.values())  # noqa: PTH118  # four times for every image of a listing
        return next((Path(path) for path in paths if os.path.isfile(path)), None)  # noqa: PTH113

    def read(self, image_id: str) -> bytes | None:
        """Return the bytes of an image; `None` if there is no file, or it cannot be read."""
        path = self.path_of(image_id)
        try:
            return path.read_bytes() if path else None
        except OSError:
            return None

    def write(self, image_id: str, kind: str, content: bytes, *, made_at: float) -> Path:
        """Store an image of this format, completely or not at all; `made_at` is in seconds of the Unix epoch.

        Raises:
            OSError: it cannot be written.
        """
        path = self._folder / f"{image_id}.{_ENDINGS[kind]}"
        # images are private, as prompts are
        private_files.write(path, content, made_at=made_at)
        return path

    def usage(self) -> int:
        """Return the bytes of all stored images."""
        return sum(stored.size_bytes for stored in self._stored())

    def evict(self, max_bytes: int, protected: Collection[str]) -> int:
        """Delete the oldest images until all of them fit; return the bytes that are left.

        Images whose id, or whose task's id, is `protected` stay.
        """
        found = sorted(self._stored(), key=lambda stored: stored.made_at)
        left = sum(stored.size_bytes for stored in found)
        deleted = []
        for stored in found:
            if left <= max_bytes:
                break
            if stored.id not in protected and stored.id.partition(".")[0] not in protected:
                left -= stored.size_bytes
                deleted.append(stored)
        _delete(deleted)
        return left

    def forget_older(self, than: float) -> None:
        """Delete the images made before then, in seconds of the Unix epoch."""
        _delete([stored for stored in self._stored() if stored.made_at < than])

    def delete_unfinished(self, now: float) -> None:
        """Delete files that were left by processes which died while they wrote."""
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


def _delete(images: Sequence[_Stored]) -> None:
    for path in (path for stored in images for path in stored.paths):
        with suppress(OSError):  # another process was faster
            os.unlink(path)  # noqa: PTH108  # an entry has a path as text


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # nothing was stored yet, or the folder cannot be read
        return

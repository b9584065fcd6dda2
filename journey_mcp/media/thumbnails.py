"""Thumbnails of finished and kept images: made when they are first needed, and kept in the data folder.

`ImageFolder` deletes them with their images.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread

from journey_mcp.core.views import VIEW_SIZES
from journey_mcp.media import formats, private_files
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.workers import WorkerResult, Workers

MAX_BYTES = 500_000
"""Of a thumbnail: as base64, a tool's result with it stays below 700 kB."""
_FOLDER = "thumbnails"
_COMMENT = re.compile(rb"\xff\xfe\0.([1-9]\d{0,5})x([1-9]\d{0,5})", re.DOTALL)
"""The JPEG segment with the size of the original."""
_LARGEST_SIDE = 1_000_000
_START = b"\xff\xd8"
_UNREADABLE = "the process that made its thumbnail returned an unreadable response"


Load = Callable[[], Awaitable[bytes | Path]]
"""Returns an image, or its file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """A JPEG of an image, with the size of its original."""

    content: bytes
    width: int
    """Of the original, as displayed."""
    height: int


class Thumbnails:
    """The folder of thumbnails: `<image id>-<size>.jpg`. They are made in worker processes.

    `on_written` is called with the bytes of every new file.
    """

    def __init__(
        self, data_dir: Path, workers: Workers, on_written: Callable[[int], None] = lambda _size: None
    ) -> None:
        self._folder = data_dir / _FOLDER
        self._workers = workers
        self._on_written = on_written
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        """One for each thumbnail that is being made."""

    async def get(self, image_id: str, size: int, load: Load, *, made_at: float, caller: str) -> Thumbnail:
        """Return the thumbnail of an image: the kept one, or one that is made now and kept.

        `load` is called only then. `made_at` is when the image was made: a thumbnail is deleted with its image. Calls
        at the same time make one thumbnail.

        Raises:
            NotAnImage: not an image, damaged, or it takes too much time or memory.
            SetupError, NotSubmitted: as `Workers.fit`.
        """
        path = self._folder / _name(image_id, size)
        # kept in a variable: a lock exists as long as somebody holds or awaits it
        lock = self._locks.setdefault(path.name, anyio.Lock(fast_acquire=True))
        async with lock:
            if kept := await to_thread.run_sync(_read, path):
                return kept
            made = await self._make(await load(), size, caller)
            # a thumbnail that cannot be kept, on a full disk for example, can still be shown
            with suppress(OSError):
                self._on_written(await to_thread.run_sync(self._write, path, made, made_at))
            return made

    async def _make(self, source: bytes | Path, size: int, caller: str) -> Thumbnail:
        content, file = (b"", str(source)) if isinstance(source, Path) else (source, None)
        parameters = {"path": file, "size": size, "max_bytes": MAX_BYTES}
        return _checked(await self._workers.run("thumbnail", content, parameters, caller=caller), size)

    async def smaller(self, content: bytes, *, size: int, max_bytes: int, caller: str) -> bytes:
        """Return a thumbnail in fewer bytes: with a lower quality, then a smaller size.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `get`.
        """
        parameters = {"path": None, "size": size, "max_bytes": max_bytes}
        return _checked(await self._workers.run("thumbnail", content, parameters, caller=caller), size).content

    async def sheet(
        self, contents: Sequence[bytes], labels: Sequence[str], *, size: int, max_bytes: int, caller: str
    ) -> bytes:
        """Return a contact sheet of up to four thumbnails, as `rendering.contact_sheet`.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `get`.
        """
        parameters = {"lengths": [*map(len, contents)], "labels": [*labels], "size": size, "max_bytes": max_bytes}
        done = await self._workers.run("contact_sheet", b"".join(contents), parameters, caller=caller)
        return _checked(done, 2 * size).content  # with the gaps between its cells

    def forget(self, image_ids: Iterable[str]) -> None:
        """Delete the thumbnails of these images."""
        for image_id in image_ids:
            for size in VIEW_SIZES:
                with suppress(OSError):
                    (self._folder / _name(image_id, size)).unlink(missing_ok=True)

    def _write(self, path: Path, made: Thumbnail, made_at: float) -> int:
        """Write a thumbnail with the size of its original; return the bytes of its file."""
        size = f"{made.width}x{made.height}".encode()
        comment = b"\xff\xfe" + (len(size) + 2).to_bytes(2) + size
        content = _START + comment + made.content.removeprefix(_START)
        private_files.write(path, content, made_at=made_at)
        return len(content)


def _name(image_id: str, size: int) -> str:
    return f"{image_id}-{size}.jpg"


def _read(path: Path) -> Thumbnail | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not (comment := _COMMENT.match(content, len(_START))):
        return None  # it is not ours, or was damaged
    whole = _START + content[comment.end() :]
    return Thumbnail(content=whole, width=int(comment[1]), height=int(comment[2]))


def _checked(done: WorkerResult, longest: int) -> Thumbnail:
    """Check the response of a process, which hostile bytes may control."""
    found = formats.probe(done.content)
    match done.result:
        case {"width": int(width), "height": int(height)} if (
            found.format == "jpeg"
            and max(found.width, found.height) <= longest
            and 0 < width < _LARGEST_SIDE
            and 0 < height < _LARGEST_SIDE
        ):
            return Thumbnail(content=done.content, width=width, height=height)
        case _:
            raise NotAnImage(_UNREADABLE)

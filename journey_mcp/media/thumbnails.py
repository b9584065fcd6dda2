"""Thumbnails of finished and kept images: made when they are first needed, and kept in the data folder."""

import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread

from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.workers import WorkerResult, Workers

SIZES = (320, 512, 1024)
"""The longest sides in pixels."""
MAX_BYTES = 500_000
"""Of a thumbnail: as base64, a tool's result with it stays below 700 kB."""
_FOLDER = "thumbnails"
_COMMENT = re.compile(rb"\xff\xfe\0.([1-9]\d{0,5})x([1-9]\d{0,5})", re.DOTALL)
"""The JPEG segment with the size of the original."""
_LARGEST_SIDE = 1_000_000
_START = b"\xff\xd8"
_UNREADABLE = "the process that made its thumbnail returned an unreadable response"


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """A JPEG of an image, with the size of its original."""

    content: bytes
    width: int
    """Of the original, as displayed."""
    height: int


class Thumbnails:
    """The folder of thumbnails: `<image id>-<size>.jpg`. They are made in worker processes."""

    def __init__(self, data_dir: Path, workers: Workers) -> None:
        self._folder = data_dir / _FOLDER
        self._workers = workers
        self._being_made: WeakValueDictionary[Path, anyio.Lock] = WeakValueDictionary()

    async def read(self, image_id: str, size: int) -> Thumbnail | None:
        """Return a kept thumbnail, or `None`."""
        return await to_thread.run_sync(_read, self._path(image_id, size))

    async def make(self, image_id: str, size: int, source: bytes | Path, *, made_at: float, caller: str) -> Thumbnail:
        """Make a thumbnail of an image, and keep it; or return what another call made in the meantime.

        `source` is the image, or its file. `made_at` is when the image was made: a thumbnail is deleted with its image.

        Raises:
            NotAnImage: not an image, damaged, or it takes too much time or memory.
            SetupError, NotSubmitted: as `Workers.fit`.
        """
        path = self._path(image_id, size)
        lock = self._being_made.setdefault(path, anyio.Lock())
        async with lock:
            if found := await to_thread.run_sync(_read, path):
                return found
            content, file = (b"", str(source)) if isinstance(source, Path) else (source, None)
            parameters = {"path": file, "size": size, "max_bytes": MAX_BYTES}
            made = _checked(await self._workers.run("thumbnail", content, parameters, caller=caller), size)
            # a thumbnail that cannot be kept, on a full disk for example, can still be shown
            with suppress(OSError):
                await to_thread.run_sync(self._write, path, made, made_at)
            return made

    async def smaller(self, content: bytes, *, size: int, max_bytes: int, caller: str) -> bytes:
        """Return a thumbnail in fewer bytes: with a lower quality, then a smaller size.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `make`.
        """
        parameters = {"path": None, "size": size, "max_bytes": max_bytes}
        return _checked(await self._workers.run("thumbnail", content, parameters, caller=caller), size).content

    async def sheet(
        self, contents: Sequence[bytes], labels: Sequence[str], *, size: int, max_bytes: int, caller: str
    ) -> bytes:
        """Return a contact sheet of up to four thumbnails, as `rendering.contact_sheet`.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `make`.
        """
        parameters = {"lengths": [*map(len, contents)], "labels": [*labels], "size": size, "max_bytes": max_bytes}
        done = await self._workers.run("contact_sheet", b"".join(contents), parameters, caller=caller)
        return _checked(done, 2 * size).content  # with the gaps between its cells

    def forget(self, image_ids: Iterable[str]) -> None:
        """Delete the thumbnails of these images."""
        for image_id in image_ids:
            for size in SIZES:
                with suppress(OSError):
                    self._path(image_id, size).unlink(missing_ok=True)

    async def forget_older(self, than: float) -> None:
        """Delete the thumbnails of images made before then, in seconds of the Unix epoch."""
        await to_thread.run_sync(partial(_forget_older, self._folder, than))

    def _path(self, image_id: str, size: int) -> Path:
        return self._folder / f"{image_id}-{size}.jpg"

    def _write(self, path: Path, made: Thumbnail, made_at: float) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = f"{made.width}x{made.height}".encode()
        comment = b"\xff\xfe" + (len(size) + 2).to_bytes(2) + size
        beside = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(_START + comment + made.content.removeprefix(_START))
            os.utime(beside, (made_at, made_at))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


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


def _forget_older(folder: Path, than: float) -> None:
    for path in folder.glob("*.*") if folder.is_dir() else ():
        with suppress(OSError):  # another process was faster, or the file is not ours
            if path.stat().st_mtime < than:
                path.unlink()

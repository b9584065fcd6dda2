"""Thumbnails of finished and kept images: made when they are first needed, and stored beside their images."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import anyio

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.views import MAX_PANELS, VIEW_SIZES, Raster, RasterForm, SheetForm
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.image_store import ImageStore
from journey_mcp.media.workers import WorkerResult, Workers

MAX_BYTES = 500_000
"""Of a thumbnail: as base64, a tool's result with it stays below 700 kB."""
_COMMENT = re.compile(rb"\xff\xfe\0.([1-9]\d{0,5})x([1-9]\d{0,5})", re.DOTALL)
"""The JPEG segment with the size of the original."""
_PALETTE_LENGTH = 3 * 256
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
    """Thumbnails, which are made in worker processes.

    `on_written` is called with the bytes of every thumbnail that is stored.
    """

    def __init__(
        self, store: ImageStore, workers: Workers, on_written: Callable[[int], None] = lambda _size: None
    ) -> None:
        self._store = store
        self._workers = workers
        self._on_written = on_written
        self._locks: WeakValueDictionary[tuple[str, int], anyio.Lock] = WeakValueDictionary()
        """One for each thumbnail that is being made."""

    async def get(self, image_id: str, size: int, load: Load, *, made_at: float, caller: str) -> Thumbnail:
        """Return the thumbnail of an image: the kept one, or one that is made now and kept.

        `load` is called only then. `made_at` is when the image was made: a thumbnail is deleted with its image. Calls
        at the same time make one thumbnail.

        Raises:
            NotAnImage: not an image, damaged, or it takes too much time or memory.
            SetupError, NotSubmitted: as `Workers.fit`.
        """
        # kept in a variable: a lock exists as long as a task holds or awaits it
        lock = self._locks.setdefault((image_id, size), anyio.Lock(fast_acquire=True))
        async with lock:
            if kept := _parsed(await self._store.read_thumbnail(image_id, size)):
                return kept
            made = await self._make(await load(), size, caller)
            # a thumbnail that cannot be kept, on a full disk for example, can still be shown
            with suppress(OSError, StoreUnavailable):
                content = _with_size(made)
                await self._store.write_thumbnail(image_id, size, content, made_at=made_at)
                self._on_written(len(content))
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

    async def captioned_sheet(
        self,
        contents: Sequence[bytes],
        captions: Sequence[Sequence[str]],
        *,
        cell: int,
        form: SheetForm,
        caller: str,
    ) -> formats.ImageData:
        """Return a sheet of up to 12 images with lines of text, as `rendering.captioned_sheet`.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `get`.
        """
        lines = [[*lines] for lines in captions]
        parameters = {"lengths": [*map(len, contents)], "captions": lines, "cell": cell, "form": form}
        done = await self._workers.run("captioned_sheet", b"".join(contents), parameters, caller=caller)
        found = formats.probe(done.content)
        if found.format != form or max(found.width, found.height) > MAX_PANELS * 2 * cell:
            raise NotAnImage(_UNREADABLE)
        return found

    async def raster(self, content: bytes, *, size: int, form: RasterForm, caller: str) -> Raster:
        """Return an image with its longest side at most `size`, as `rendering.raster`.

        Raises:
            NotAnImage, SetupError, NotSubmitted: as `get`.
        """
        done = await self._workers.run("raster", content, {"size": size, "form": form}, caller=caller)
        return _checked_raster(done, size, form)

    async def forget(self, image_ids: Collection[str]) -> None:
        """Delete the thumbnails of these images."""
        await self._store.forget_thumbnails(image_ids, VIEW_SIZES)


def _with_size(made: Thumbnail) -> bytes:
    """Return the JPEG with the size of the original in a comment."""
    size = f"{made.width}x{made.height}".encode()
    comment = b"\xff\xfe" + (len(size) + 2).to_bytes(2) + size
    return _START + comment + made.content.removeprefix(_START)


def _parsed(content: bytes | None) -> Thumbnail | None:
    if not content or not (comment := _COMMENT.match(content, len(_START))):
        return None  # there is none, it is not ours, or was damaged
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


def _checked_raster(done: WorkerResult, longest: int, form: RasterForm) -> Raster:
    """Check the response of a process, as `_checked`."""
    start = _PALETTE_LENGTH if form == "palette" else 0
    palette, content = done.content[:start], done.content[start:]
    match done.result:
        case {"width": int(width), "height": int(height)} if (
            0 < width <= longest and 0 < height <= longest and _is_raster(content, width, height, form)
        ):
            return Raster(content=content, width=width, height=height, palette=palette)
        case _:
            raise NotAnImage(_UNREADABLE)


def _is_raster(content: bytes, width: int, height: int, form: RasterForm) -> bool:
    match form:
        case "rgb" | "palette":
            return len(content) == width * height * (3 if form == "rgb" else 1)
        case "png" | "jpeg":
            found = formats.probe(content)
            return (found.format, found.width, found.height) == (form, width, height)

"""Views of finished images: small JPEGs for a model, a preview or the gallery, alone or on a numbered sheet."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import anyio
from anyio import to_thread

from journey_mcp.core.errors import ImageUnavailable, JourneyError, TooManyImages, UnknownImage, UnusableImage
from journey_mcp.core.principals import Principal
from journey_mcp.core.views import (
    MAX_IMAGES_OF_VIEW,
    VIEW_SIZES,
    Layout,
    Panel,
    Raster,
    RasterForm,
    Seen,
    SheetForm,
    Unseen,
    View,
)
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.thumbnails import MAX_BYTES, Thumbnail, Thumbnails
from journey_mcp.studio.originals import FinishedImage, NoOriginal, Original, Originals


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    original: Original
    thumbnail: Thumbnail

    def seen(self, label: str | None) -> Seen:
        """Return what the caller learns of it."""
        return Seen(id=str(self.original.id), width=self.thumbnail.width, height=self.thumbnail.height, label=label)


class Views:
    """Maker of views."""

    def __init__(self, originals: Originals, thumbnails: Thumbnails) -> None:
        self._originals = originals
        self._thumbnails = thumbnails

    async def look(
        self, ids: Sequence[str], principal: Principal, *, size: int, layout: Layout, max_bytes: int = MAX_BYTES
    ) -> View:
        """Return a view of up to four images of the principal's, all its JPEGs together within the bytes.

        The id of a task stands for all its images. An image that cannot be read is among the `unseen`, with the error.

        Raises:
            ImageUnavailable: the sheet cannot be made.
        """
        found = await self._originals.find(ids, principal)
        originals = [one for one in found if not isinstance(one, NoOriginal)]
        unseen = [Unseen(id=one.id, error=one.error) for one in found if isinstance(one, NoOriginal)]
        unseen += [Unseen(id=str(one.id), error=_too_many()) for one in originals[MAX_IMAGES_OF_VIEW:]]
        read = await self._read(originals[:MAX_IMAGES_OF_VIEW], principal, size)
        shown = [one for one in read if isinstance(one, _Shown)]
        unseen += [one for one in read if isinstance(one, Unseen)]
        is_sheet = layout == "sheet" and len(shown) > 1
        labels = _labels([one.original for one in shown]) if is_sheet else []
        jpegs = await self._jpegs(shown, labels, principal, size=size, max_bytes=max_bytes)
        return View(
            layout="sheet" if is_sheet else "each",
            size=size,
            jpegs=tuple(jpegs),
            seen=tuple(one.seen(label) for one, label in zip_longest(shown, labels)),
            unseen=tuple(unseen),
        )

    async def image(self, image_id: str, principal: Principal, *, max_bytes: int) -> tuple[bytes, str]:
        """Return an image of the principal's and its media type: the original if it has fewer bytes, else a JPEG.

        The JPEG has 1,024 pixels at most on its longer side, and fewer bytes as well.

        Raises:
            UnknownImage: there is no such image, or it is gone.
            UnusableImage: it is damaged or too large; `ImageUnavailable` if it cannot be downloaded now.
        """
        found = await self._originals.find([image_id], principal)
        if isinstance(found[0], NoOriginal):
            raise found[0].error
        if len(found) > 1:
            raise UnknownImage(f"{image_id} is a task with several images.")
        source = await self._originals.load(found[0])
        small = await to_thread.run_sync(_content_below, source, max_bytes)
        if small is not None:
            with suppress(NotAnImage):  # clients do not show other formats
                return small, formats.probe(small).mime_type
        thumbnail = await self._thumbnail(found[0], principal, VIEW_SIZES[-1], source)
        return thumbnail.content, "image/jpeg"

    async def comparison(
        self, panels: Sequence[Panel], principal: Principal, *, size: int, form: SheetForm
    ) -> formats.ImageData:
        """Return a sheet of panels of the principal's images, with their lines; what cannot be read is left empty.

        Raises:
            ImageUnavailable: the sheet cannot be made.
        """
        views = [await self.look(panel.ids, principal, size=size, layout="sheet") for panel in panels]
        contents = [view.jpegs[0] if view.jpegs else b"" for view in views]
        captions = [panel.lines for panel in panels]
        try:
            return await self._thumbnails.captioned_sheet(contents, captions, cell=size, form=form, caller=principal)
        except NotAnImage as error:
            await self._thumbnails.forget([one.id for view in views for one in view.seen])
            raise _damaged(error) from error

    async def file(self, image_id: str, principal: Principal) -> Path | None:
        """Return the file of an image of the principal's; `None` if it is not on this machine.

        Raises:
            JourneyError: it cannot be read.
        """
        (found,) = await self._originals.find([image_id], principal)
        if isinstance(found, NoOriginal):
            raise found.error
        source = await self._originals.load(found)
        return source if isinstance(source, Path) else None

    async def raster(self, content: bytes, principal: Principal, *, size: int, form: RasterForm) -> Raster:
        """Return a view's JPEG, or another image, in a form that a terminal can be given.

        Raises:
            UnusableImage: it is damaged.
        """
        try:
            return await self._thumbnails.raster(content, size=size, form=form, caller=principal)
        except NotAnImage as error:
            raise UnusableImage(f"The image cannot be shown: {error}.", next_step="Open its file instead.") from error

    async def _read(self, originals: Sequence[Original], principal: Principal, size: int) -> list[_Shown | Unseen]:
        """Return the thumbnails of these images, made at the same time, in their order."""
        results: dict[int, _Shown | Unseen] = {}

        async def read(number: int, original: Original) -> None:
            try:
                thumbnail = await self._thumbnail(original, principal, size)
            except JourneyError as error:
                results[number] = Unseen(id=str(original.id), error=error)
            else:
                results[number] = _Shown(original=original, thumbnail=thumbnail)

        async with anyio.create_task_group() as group:
            for number, original in enumerate(originals):
                group.start_soon(read, number, original)
        return [results[number] for number in range(len(originals))]

    async def _thumbnail(
        self, original: Original, principal: Principal, size: int, source: bytes | Path | None = None
    ) -> Thumbnail:
        """Return the thumbnail of an image; `source` is the image, if it has been loaded already."""

        async def load() -> bytes | Path:
            return await self._originals.load(original) if source is None else source

        try:
            return await self._thumbnails.get(str(original.id), size, load, made_at=original.made_at, caller=principal)
        except NotAnImage as error:
            raise UnusableImage(
                f"{original.id} cannot be shown: {error}.", next_step="Open its URL, or make the image again."
            ) from error

    async def _jpegs(
        self, shown: Sequence[_Shown], labels: Sequence[str], principal: Principal, *, size: int, max_bytes: int
    ) -> list[bytes]:
        """Return the sheet if there are labels, else each thumbnail; within the bytes."""
        contents = [one.thumbnail.content for one in shown]
        try:
            if labels:
                make = partial(self._thumbnails.sheet, size=size, max_bytes=max_bytes, caller=principal)
                return [await make(contents, labels)]
            if sum(map(len, contents)) <= max_bytes:
                return contents
            share = max_bytes // len(contents)
            shrink = partial(self._thumbnails.smaller, size=size, max_bytes=share, caller=principal)
            return [content if len(content) <= share else await shrink(content) for content in contents]
        except NotAnImage as error:
            await self._thumbnails.forget([str(one.original.id) for one in shown])
            raise _damaged(error) from error


def _content_below(source: bytes | Path, max_bytes: int) -> bytes | None:
    """Return the image if it has fewer bytes."""
    if isinstance(source, bytes):
        return source if len(source) < max_bytes else None
    try:
        return source.read_bytes() if source.stat().st_size < max_bytes else None
    except OSError as error:
        raise UnusableImage(
            f"The copy of the image cannot be read: {error.strerror}.", next_step="Open its URL instead."
        ) from error


def _labels(originals: Sequence[Original]) -> list[str]:
    """Return the numbers in the ids of one task's images; others are numbered in their order."""
    ids = [one.id for one in originals if isinstance(one, FinishedImage)]
    if len(ids) == len(originals) and len({one.task_id for one in ids}) == 1:
        return [str(one.number) for one in ids]
    return [str(number) for number in range(1, len(originals) + 1)]


def _damaged(reason: NotAnImage) -> ImageUnavailable:
    return ImageUnavailable(
        f"A stored thumbnail is damaged: {reason}.", next_step="Call again: the thumbnails are made again."
    )


def _too_many() -> TooManyImages:
    return TooManyImages(
        f"At most {MAX_IMAGES_OF_VIEW} images are shown at once.", next_step="Call view_image again for the others."
    )

"""Copies of finished images: downloaded into the image store, one for each image."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.notices import Notice
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import ImageData
from journey_mcp.media.image_store import ImageStore, ImageStoreUnavailable, StoredImage
from journey_mcp.net.address_policy import FetchError, TooLarge
from journey_mcp.net.safe_http import SafeHttpClient

_TIMEOUT_S = 60.0
_RETRY_DELAYS_S = (1.0, 4.0)
"""Before the second and the third attempt."""

NoCopy = (FetchError, NotAnImage, OSError)
"""Why an image cannot be copied: it cannot be fetched, is not an image, or cannot be written."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An image at its provider."""

    id: ImageId
    url: str
    base_url: str
    """Of the provider: an image of the same host and port is fetched without HTTPS too."""
    made_at: float
    """When the task was made, in seconds of the Unix epoch."""


class Blobs:
    """Copier of images into the store. A limit of 0 bytes disables copies.

    `on_written` is called with the bytes of every new copy.
    """

    def __init__(
        self,
        images: ImageStore,
        max_bytes: int,
        safe_http: SafeHttpClient,
        clock: Clock,
        on_written: Callable[[int], None] = lambda _size: None,
    ) -> None:
        self._images = images
        self._max_bytes = max_bytes
        self._safe_http = safe_http
        self._clock = clock
        self._on_written = on_written

    async def read(self, id_: ImageId) -> ImageData | None:
        """Return an image from its copy; `None` if there is none, or it is damaged.

        Raises:
            ImageStoreUnavailable, StoreUnavailable: it cannot be read now.
        """
        content = await self._images.read(str(id_))
        with suppress(NotAnImage):
            return None if content is None else await to_thread.run_sync(formats.probe, content)
        return None

    async def with_copies(
        self, task_id: str, base_url: str, images: Sequence[OutputImage], *, made_at: float
    ) -> tuple[tuple[OutputImage, ...], tuple[Notice, ...]]:
        """Copy the images of a task; return them with their copies, and a notice for each image that has none.

        An image that cannot be stored now has no notice: it can be copied later, as long as its link works.
        """
        copied, notices = [], []
        is_away = False
        for number, image in enumerate(images, start=1):
            if image.has_copy or not self._max_bytes or is_away:
                copied.append(image)
                continue
            link = Link(id=ImageId(task_id, number), url=image.url, base_url=base_url, made_at=made_at)
            try:
                stored, found = await self.copy(link)
            except OSError as error:
                # the result does not wait for a store that is away once for each image
                is_away = True
                _log.warning("no copies of the images of %s from %s on yet: %s", task_id, link.id, error)
                copied.append(image)
            except NoCopy as error:
                _log.warning("no copy of image %s: %s", link.id, error)
                notices.append(Notice.of("copy_failed", image=str(link.id), reason=reason_of(error)))
                copied.append(image)
            else:
                image = stored.copy_of(image)  # noqa: PLW2901
                copied.append(replace(image, mime_type=found.mime_type, width=found.width, height=found.height))
        return tuple(copied), tuple(notices)

    async def copy(self, link: Link) -> tuple[StoredImage, ImageData]:
        """Copy an image.

        Raises:
            FetchError, NotAnImage, OSError: there is no copy.
        """
        found = await self.fetch(link)
        try:
            stored = await self._images.write(str(link.id), found.format, found.content, made_at=link.made_at)
        except StoreUnavailable as error:
            raise ImageStoreUnavailable(str(error)) from error
        self._on_written(len(found.content))
        return stored, found

    async def fetch(self, link: Link) -> ImageData:
        """Download an image, with retries: a new one may not be on every server of its provider yet.

        Raises:
            FetchError, NotAnImage: it cannot be fetched, or is not an image.
        """
        for pause_s in _RETRY_DELAYS_S:
            try:
                return await self._fetch(link)
            except TooLarge:
                raise
            except FetchError as error:
                _log.info("image %s cannot be fetched yet: %s", link.id, error)
            await self._clock.sleep(pause_s)
        return await self._fetch(link)

    async def _fetch(self, link: Link) -> ImageData:
        safe_http = self._safe_http.with_trusted(link.base_url)
        # without copies there may still be a folder of the person's
        max_bytes = self._max_bytes or formats.MAX_BYTES
        content = (await safe_http.get(link.url, max_bytes=max_bytes, within_s=_TIMEOUT_S)).content
        return await to_thread.run_sync(formats.probe, content)


def reason_of(error: Exception) -> str:
    """Return why there is no copy or file, for callers: an error of the system would reveal the folder."""
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)

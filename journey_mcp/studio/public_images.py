"""Stored images behind public links: found by a signed link, typed by a look at their bytes, and streamed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from journey_mcp.core.clock import Clock
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.media.formats import shown_format_of
from journey_mcp.media.image_store import ImageStore, StoredImage

_HEAD_BYTES = 4096
_STORE_LINK_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicImage:
    """An image that may be shown to anyone who has its link."""

    stored: StoredImage
    mime_type: str
    size_bytes: int
    digest: str
    seconds_left: int
    """Of its link."""


class PublicImages:
    """Access to images by their links."""

    def __init__(self, images: ImageStore, links: ImageLinks, clock: Clock) -> None:
        self._images = images
        self._links = links
        self._clock = clock

    async def open(
        self, file_name: str, expiry: str, signature: str, *, may_redirect: bool
    ) -> PublicImage | str | None:
        """Return the image of a link; or, for a request that may be redirected, its URL at the image store.

        `None` for a link that is wrong or has expired, for an image that is gone, and for a file that is no image that
        browsers show.

        Raises:
            OSError: the image store does not answer.
            StoreUnavailable: the task database does not answer.
        """
        now = self._clock.now()
        expires_at = self._links.verify(file_name, expiry, signature, now=now)
        image_id = file_name.rpartition(".")[0]
        stored = (await self._images.find([image_id])).get(image_id) if expires_at is not None else None
        if expires_at is None or stored is None or stored.file_name != file_name:
            return None
        if may_redirect and self._images.redirects and (url := await self._images.link(stored, _STORE_LINK_S)):
            return url
        content = await self._images.describe(image_id)
        kind = shown_format_of(await self._head(stored, content.size_bytes)) if content else None
        if content is None or kind is None:
            return None
        return PublicImage(
            stored=stored,
            mime_type=f"image/{kind}",
            size_bytes=content.size_bytes,
            digest=content.digest,
            seconds_left=int(expires_at - now),
        )

    def stream(self, image: PublicImage, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `end`.

        Raises:
            OSError: the image is gone, or the store does not answer.
        """
        return self._images.stream(image.stored, start, end)

    async def _head(self, stored: StoredImage, size_bytes: int) -> bytes:
        try:
            return b"".join([part async for part in self._images.stream(stored, 0, min(_HEAD_BYTES, size_bytes))])
        except FileNotFoundError:
            return b""

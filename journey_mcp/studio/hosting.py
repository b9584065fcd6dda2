"""Links for providers that fetch images themselves, to images that have no URL of their own.

They lead to this server, if it has a public address, or else to the object store of the images.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.images import ImageId, UploadId
from journey_mcp.core.principals import Principal
from journey_mcp.media.formats import ImageData
from journey_mcp.media.image_store import ImageStore, ImageStoreUnavailable, StoredImage
from journey_mcp.net.address_policy import is_publicly_fetchable
from journey_mcp.providers.base import Account
from journey_mcp.studio.uploads import Uploads

_UPLOAD_ID_BYTES = 16
_HOUR_S = 3600


class Hosting:
    """Host of images for providers."""

    def __init__(self, links: ImageLinks, uploads: Uploads, images: ImageStore, clock: Clock) -> None:
        self._links = links
        self._uploads = uploads
        self._images = images
        self._clock = clock

    def image_of(self, url: str) -> ImageId | UploadId | None:
        """Return the image that a link of this server names; see `ImageLinks.image_of`."""
        return self._links.image_of(url)

    async def of(self, principal: Principal) -> "CallersHost | None":
        """Return the host for the images of one caller; `None` if nothing here has an address."""
        base_url = self._links.base_url or await self._images.link_origin()
        return CallersHost(base_url, self._link_to, self._uploads, principal) if base_url else None

    async def _link_to(self, stored: StoredImage) -> str:
        if ours := self._links.for_an_hour(stored.file_name, now=self._clock.now()):
            return ours.url
        try:
            found = await self._images.link(stored, _HOUR_S)
        except ImageStoreUnavailable as error:
            raise StoreUnavailable(f"{stored.id} cannot be given to the provider: {error}.") from error
        assert found is not None  # noqa: S101  # there is a host only with an address
        return found


@dataclass(frozen=True, slots=True)
class CallersHost:
    """Host of the images of one call."""

    base_url: str
    link_to: Callable[[StoredImage], Awaitable[str]]
    uploads: Uploads
    principal: Principal

    def serves(self, account: Account) -> bool:
        """Return whether this provider can fetch images there."""
        return account.is_on_this_machine or is_publicly_fetchable(self.base_url)

    async def url_of(self, image: ImageData, stored: StoredImage | None) -> str:
        """Return a link that works for an hour; `stored` is the image if exactly it is stored already.

        Any other image is stored as an upload of the caller, equal ones once.

        Raises:
            SetupError, StoreUnavailable: it cannot be stored.
        """
        if stored is None:
            digest = hashlib.sha256(f"{self.principal}\0".encode() + image.content).digest()[:_UPLOAD_ID_BYTES]
            id_ = UploadId(f"up_{urlsafe_b64encode(digest).decode().rstrip('=')}")
            upload = await self.uploads.add(image, self.principal, id_)
            stored = StoredImage(id=upload.id, format=image.format)
        return await self.link_to(stored)

"""Links of this server for providers that fetch images themselves, to images that have no URL of their own."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit

from journey_mcp.core.clock import Clock
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.images import ImageId, UploadId
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.core.urls import is_loopback
from journey_mcp.media.formats import ImageData
from journey_mcp.net.address_policy import is_publicly_fetchable
from journey_mcp.providers.base import Account
from journey_mcp.studio.uploads import Uploads

_UPLOAD_ID_BYTES = 16


class Hosting:
    """Hosts images for providers, at the public address of this server; without one, none."""

    def __init__(self, links: ImageLinks, uploads: Uploads, clock: Clock) -> None:
        self._links = links
        self._uploads = uploads
        self._clock = clock

    def image_of(self, url: str) -> ImageId | UploadId | None:
        """Return the image that a link of this server names; see `ImageLinks.image_of`."""
        return self._links.image_of(url)

    def of(self, principal: Principal) -> "CallersHost | None":
        """Return the host for the images of one caller; `None` without a public address."""
        if self._links.base_url is None:
            return None
        return CallersHost(self._links, self._uploads, self._clock, principal)


@dataclass(frozen=True, slots=True)
class CallersHost:
    """Hosts the images of one call."""

    links: ImageLinks
    uploads: Uploads
    clock: Clock
    principal: Principal

    def serves(self, account: Account) -> bool:
        """Return whether this provider can fetch from this server."""
        is_near = account.provider == SANDBOX or is_loopback(urlsplit(account.base_url).hostname or "")
        return is_near or is_publicly_fetchable(str(self.links.base_url))

    async def url_of(self, image: ImageData, file_name: str | None) -> str:
        """Return a link that works for an hour; `file_name` is that of the image if exactly it is stored already.

        Any other image is stored as an upload of the caller, equal ones once.

        Raises:
            SetupError, StoreUnavailable: it cannot be stored.
        """
        if file_name is None:
            digest = hashlib.sha256(f"{self.principal}\0".encode() + image.content).digest()[:_UPLOAD_ID_BYTES]
            id_ = UploadId(f"up_{urlsafe_b64encode(digest).decode().rstrip('=')}")
            file_name = (await self.uploads.add(image, self.principal, id_)).file_name
        link = self.links.for_an_hour(file_name, now=self.clock.now())
        assert link is not None  # noqa: S101  # there is a host only with an address
        return link.url

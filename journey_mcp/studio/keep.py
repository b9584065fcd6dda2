"""Keeping an image of the person: checked, stored, and named by an id as other images are."""

from dataclasses import dataclass

from anyio import to_thread

from journey_mcp.core.errors import InvalidArguments, UnusableImage
from journey_mcp.core.images import ImageId, UploadId
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.media import image_text
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import ImageData, Limits, probe
from journey_mcp.media.workers import Workers
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.store.uploads import Upload
from journey_mcp.studio.image_sources import ImageFinder
from journey_mcp.studio.inputs import content_of
from journey_mcp.studio.uploads import Uploads

_NEXT_STEP = "Give the complete image as a data URI: data:image/png;base64,…"


@dataclass(frozen=True, kw_only=True)
class KeepRequest:
    """One image that a person adds."""

    data: str | bytes
    """A data URI, or the image itself."""
    mask_of: str | None = None
    """The id of an image: the data is a mask of it, and is scaled to its size."""


class Keeper:
    """Keeper of images of persons; they are deleted with age, like tasks."""

    def __init__(self, uploads: Uploads, workers: Workers, finder: ImageFinder, safe_http: SafeHttpClient) -> None:
        self._uploads = uploads
        self._workers = workers
        self._finder = finder
        self._safe_http = safe_http

    async def keep(self, request: KeepRequest, principal: Principal) -> Upload:
        """Check and store an image.

        Raises:
            InvalidRequest: it is not an image, or `mask_of` is the id of none.
            SetupError, StoreUnavailable, NotSubmitted: it cannot be checked or stored now.
        """
        content = request.data
        if isinstance(content, str):
            content = await to_thread.run_sync(_decoded, content)
        size = None if request.mask_of is None else await self._size_of(request.mask_of, principal)
        try:
            found = await self._checked(content, size, principal)
        except NotAnImage as error:
            raise UnusableImage(f"data cannot be used: {error}.", next_step=_NEXT_STEP) from error
        return await self._uploads.add(found, principal)

    async def _checked(self, content: bytes, size: tuple[int, int] | None, principal: Principal) -> ImageData:
        """Return the image as it is stored: without metadata, upright; a mask in its size."""
        if size is not None:
            return await self._workers.mask(content, size, caller=principal)
        found, _ = await self._workers.fit(content, Limits(), caller=principal)
        return found

    async def _size_of(self, mask_of: str, principal: Principal) -> tuple[int, int]:
        if not (ImageId.parse(mask_of) or UploadId.parse(mask_of)):
            raise InvalidArguments(
                f"mask_of={mask_of[:80]!r} is not the id of an image.",
                next_step="Give the id of the image that the mask is for, such as tsk_….2.",
            )
        named = ImageRequest(tool="edit_image", prompt="", model="", image=mask_of)
        (source,) = (await self._finder.find(named, principal, files_allowed=False)).sources
        content = await content_of(source, self._safe_http)
        try:
            image = await to_thread.run_sync(probe, content)
        except NotAnImage as error:
            raise UnusableImage(f"{mask_of} cannot be used: {error}.", next_step="Choose another image.") from error
        return image.width, image.height


def _decoded(text: str) -> bytes:
    given = image_text.parse(text)
    if not isinstance(given, image_text.Data):
        raise UnusableImage("data is not a data URI of an image.", next_step=_NEXT_STEP)
    try:
        return image_text.decode(given)
    except ValueError as error:
        raise UnusableImage(f"data is not base64 of an image: {error}.", next_step=_NEXT_STEP) from error

"""Storing an image that is not the result of a task: in the image store, with a row that says whose it is."""

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import SetupError, StoreUnavailable
from journey_mcp.core.images import UploadId
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.principals import Principal
from journey_mcp.engine.retention import Retention
from journey_mcp.media.formats import ImageData
from journey_mcp.media.image_store import ImageStore, ImageStoreUnavailable
from journey_mcp.store import Store
from journey_mcp.store.uploads import Upload


class Uploads:
    """Store of uploads; they are deleted with age, like tasks."""

    def __init__(self, store: Store, images: ImageStore, retention: Retention, clock: Clock) -> None:
        self._store = store
        self._images = images
        self._retention = retention
        self._clock = clock

    async def add(self, image: ImageData, principal: Principal, id_: UploadId | None = None) -> Upload:
        """Store an image under a new id, or under this one unless the principal's image of this id is stored already.

        Raises:
            SetupError, StoreUnavailable: it cannot be stored.
        """
        if id_ and (known := await self._known(id_, principal)):
            return known
        upload_id, now = str(id_ or UploadId.new()), self._clock.now()
        try:
            stored = await self._images.write(upload_id, image.format, image.content, made_at=now)
        except ImageStoreUnavailable as error:
            raise StoreUnavailable(f"The image cannot be stored: {error}.") from error
        except OSError as error:
            raise SetupError(
                f"The image cannot be stored in the data folder: {error.strerror or error}.",
                next_step=ask_person("Look at the server's disk and its data folder."),
            ) from error
        upload = Upload(
            id=upload_id,
            principal=principal,
            created_at=now,
            file_name=stored.file_name,
            mime_type=image.mime_type,
            width=image.width,
            height=image.height,
            bytes=len(image.content),
        )
        await self._store.uploads.add(upload)
        self._retention.note_written(upload.bytes)
        return upload

    async def _known(self, id_: UploadId, principal: Principal) -> Upload | None:
        """Return an upload whose image is there; without it, the row is removed."""
        found = (await self._store.uploads.get([str(id_)], principal=principal)).get(str(id_))
        if found is None or await self._images.find([str(id_)]):
            return found
        await self._store.uploads.delete([str(id_)])
        return None

"""The image store that the settings name."""

from journey_mcp.core.clock import Clock
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.image_store import ImageStore
from journey_mcp.media.object_store import ObjectIndex, open_object_store
from journey_mcp.settings import Settings


def image_store_of(settings: Settings, index: ObjectIndex, clock: Clock | None = None) -> ImageStore:
    """Return where images are stored: the data folder, or the object store whose content `index` knows.

    Raises:
        SetupError: the object store cannot be opened.
    """
    if settings.store is not None:
        return open_object_store(settings.store, index, clock)
    return ImageFolder(settings.resolved_data_dir())

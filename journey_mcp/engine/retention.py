"""Retention: stored images stay below a limit, and die with their tasks."""

import logging

import anyio

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.media.image_store import ImageStore
from journey_mcp.store import Store

_COUNT_AGAIN_S = 60.0
"""Other processes store images as well: the size of all is known for this long."""
_IDLE_S = 3600.0

_log = logging.getLogger(__name__)


class Retention:
    """Deletion of stored images: the oldest above `max_bytes`, and those of deleted tasks.

    Never the images that unfinished tasks need, in whichever process: those that their requests name, and their own.
    """

    def __init__(self, images: ImageStore, store: Store, clock: Clock, *, max_bytes: int) -> None:
        self._images = images
        self._store = store
        self._clock = clock
        self._max_bytes = max_bytes
        self._size = max_bytes + 1
        """Of all images, as far as this process knows; unknown at first."""
        self._counted_at = -_COUNT_AGAIN_S
        self._has_new = False
        self._wakeup = Wakeup()
        self._in_turn = anyio.Lock()

    def note_written(self, size_bytes: int) -> None:
        """Note that this process has stored so many bytes."""
        self._size += size_bytes
        self._has_new = True
        self._wakeup.notify()

    async def run(self) -> None:
        """Keep the stored images below their limit, for ever."""
        await self._images.delete_unfinished(self._clock.now())
        while True:
            await self._wakeup.wait(self._clock, _IDLE_S)
            await self.enforce()

    async def enforce(self) -> None:
        """Delete the oldest images if there may be too many since the last time."""
        async with self._in_turn:
            is_known = self._clock.elapsed() < self._counted_at + _COUNT_AGAIN_S
            if not self._has_new or (is_known and self._size <= self._max_bytes):
                return
            try:
                self._has_new = False
                self._size = await self._images.usage()
                self._counted_at = self._clock.elapsed()
                if self._size > self._max_bytes:
                    needed = await self._store.tasks.needed_ids()
                    self._size = await self._images.evict(self._max_bytes, needed)
            except (StoreUnavailable, OSError):
                _log.exception("stored images above the limit are not deleted yet")

    async def forget_older(self, than: float) -> None:
        """Delete what was stored for tasks and of persons before then, in seconds of the Unix epoch.

        Images that cannot be deleted now are deleted the next time.
        """
        try:
            await self._images.forget_older(than)
        except OSError:
            _log.exception("the images of deleted tasks are not deleted yet")
        await self._store.copies.delete_older(than=than)
        await self._store.uploads.delete_older(than=than)

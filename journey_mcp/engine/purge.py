"""Deleting tasks, with their images, and added images on request: by age, or all of one principal."""

import math
from dataclasses import dataclass

from journey_mcp.core.principals import Principal
from journey_mcp.media.image_store import ImageStore
from journey_mcp.store import Store

_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What is to be deleted."""

    before: float = math.inf
    """What was made before then, in seconds of the Unix epoch."""
    principal: Principal | None = None
    """Whose; `None` for everybody's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How much a selection is."""

    tasks: int
    uploads: int
    unfinished: int
    """Tasks that stay because they have not ended."""


class Purge:
    """Deletion of what was stored. What unfinished tasks need stays, and so does the cost of a task, for budgets."""

    def __init__(self, store: Store, images: ImageStore) -> None:
        self._store = store
        self._images = images

    async def count(self, selection: Selection) -> Counts:
        """Return how much would be deleted."""
        tasks, unfinished = await self._store.tasks.count(before=selection.before, principal=selection.principal)
        return Counts(tasks=tasks, unfinished=unfinished, uploads=len(await self._uploads(selection)))

    async def run(self, selection: Selection) -> Counts:
        """Delete it; return how much was deleted. Images go first: after an error, a second run finds the rest.

        Raises:
            StoreUnavailable, OSError: not everything could be deleted.
        """
        deleted = 0
        while ids := await self._store.tasks.finished_ids(
            before=selection.before, principal=selection.principal, limit=_AT_ONCE
        ):
            await self._images.delete(ids)
            await self._store.copies.delete(ids)
            deleted += await self._store.tasks.delete(ids)
            # servers have finished tasks in memory
            await self._store.notifications.send(ids)
        uploads = await self._uploads(selection)
        for start in range(0, len(uploads), _AT_ONCE):
            some = uploads[start : start + _AT_ONCE]
            await self._images.delete(some)
            await self._store.uploads.delete(some)
        _, unfinished = await self._store.tasks.count(before=selection.before, principal=selection.principal)
        return Counts(tasks=deleted, uploads=len(uploads), unfinished=unfinished)

    async def _uploads(self, selection: Selection) -> list[str]:
        found = await self._store.uploads.ids(before=selection.before, principal=selection.principal)
        needed = await self._store.tasks.needed_ids() if found else set()
        return [id_ for id_ in found if id_ not in needed]

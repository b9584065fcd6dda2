"""Outcomes: what providers report goes into the task; images whose links expire soon are copied before it ends."""

from collections.abc import Callable
from dataclasses import replace

from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.tasks import Task
from journey_mcp.engine.journal import Journal
from journey_mcp.media.blobs import Blobs
from journey_mcp.registry import Offer


class Outcomes:
    """Writer of predictions into the tasks of the journal."""

    def __init__(self, journal: Journal, blobs: Blobs) -> None:
        self._journal = journal
        self._blobs = blobs

    async def accepted(self, task_id: str, prediction: Prediction, offer: Offer | None) -> Task | None:
        """Apply the answer to the creating request; return `None` if the task is not leased any more."""
        is_to_copy = _is_to_copy(prediction, offer)
        # the provider's id is paid for: it is stored before anything that takes time
        first = replace(prediction, status=Status.RUNNING) if is_to_copy else prediction
        task = await self._journal.change(task_id, _with_expiry(offer, lambda task, now: task.accepted(first, now)))
        return await self.apply(task_id, prediction, offer) if task and is_to_copy else task

    async def apply(self, task_id: str, prediction: Prediction, offer: Offer | None) -> Task | None:
        """Apply a prediction; return `None` if the task is not leased any more."""
        task = self._journal.get(task_id)
        notices: tuple[Notice, ...] = ()
        if task and _is_to_copy(prediction, offer):
            images, notices = await self._blobs.with_copies(
                task_id, task.base_url, prediction.images, made_at=task.created_at
            )
            prediction = replace(prediction, images=images)

        def change(task: Task, now: float) -> Task:
            for notice in notices:
                task = task.noticed(notice, now)
            return task.apply(prediction, now)

        return await self._journal.change(task_id, _with_expiry(offer, change))


def _is_to_copy(prediction: Prediction, offer: Offer | None) -> bool:
    return offer is not None and prediction.status is Status.SUCCEEDED and offer.links_die_soon


def _with_expiry(offer: Offer | None, change: Callable[[Task, float], Task]) -> Callable[[Task, float], Task]:
    """Return the same change, which also sets the expiry of images if the offer states one."""

    def changed(before: Task, now: float) -> Task:
        task = change(before, now)
        if offer is None or offer.expires_after_s is None or not task.images:
            return task
        expires_at = task.updated_at + offer.expires_after_s
        images = (i if i.expires_at is not None else replace(i, expires_at=expires_at) for i in task.images)
        return replace(task, images=tuple(images))

    return changed

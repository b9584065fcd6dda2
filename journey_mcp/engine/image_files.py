"""The files of finished images: a copy that was made after its task had ended, and the file for the person.

A finished task never changes in the store, so both are added to it when it is shown.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from anyio import to_thread

from journey_mcp.core.copies import CopyRecord
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import Task
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.store import Store

_NOTHING = CopyRecord()

_log = logging.getLogger(__name__)


class ImageFiles:
    """Finds the files of finished images."""

    def __init__(self, store: Store, folder: ImageFolder) -> None:
        self._store = store
        self._folder = folder

    async def located(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks with the paths of all copies and files, and with notices of those that failed."""
        ended = [task for task in tasks if task.status is Status.SUCCEEDED and task.images]
        if not ended:
            return list(tasks)
        known = await self._known([task.id for task in ended])
        return await to_thread.run_sync(lambda: [self._located(task, known.get(task.id, {})) for task in tasks])

    async def _known(self, task_ids: Sequence[str]) -> Mapping[str, Mapping[int, CopyRecord]]:
        try:
            return await self._store.copies.read(task_ids)
        except StoreUnavailable:
            _log.exception("what became of finished images cannot be read")
            return {}

    def _located(self, task: Task, records: Mapping[int, CopyRecord]) -> Task:
        if task.status is not Status.SUCCEEDED:
            return task
        images = [
            self._with_files(ImageId(task.id, number), image, records.get(number, _NOTHING))
            for number, image in enumerate(task.images, start=1)
        ]
        notices = [notice for number, record in sorted(records.items()) for notice in _notices(task, number, record)]
        return replace(task, images=tuple(images), notices=tuple(dict.fromkeys((*task.notices, *notices))))

    def _with_files(self, id_: ImageId, image: OutputImage, record: CopyRecord) -> OutputImage:
        path = self._folder.path_of(str(id_))
        return replace(
            image,
            path=str(path) if path else image.path,
            # the person may have moved it
            saved_to=record.saved_to if record.saved_to and os.path.isfile(record.saved_to) else None,  # noqa: PTH113
            mime_type=image.mime_type or record.mime_type,
            width=image.width or record.width,
            height=image.height or record.height,
        )


def _notices(task: Task, number: int, record: CopyRecord) -> list[Notice]:
    id_ = str(ImageId(task.id, number))
    found = []
    if record.copy_problem:
        found.append(Notice.of("copy_failed", image=id_, reason=record.copy_problem))
    if record.save_problem:
        found.append(Notice.of("save_failed", image=id_, reason=record.save_problem))
    return found

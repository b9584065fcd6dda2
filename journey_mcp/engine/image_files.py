"""The files of finished images: a copy that was made after its task had ended, and the file for the person.

A finished task never changes in the store, so both are added to it when it is shown.
"""

import logging
import os
from collections import OrderedDict
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
_MOST_KEPT = 1_000

_log = logging.getLogger(__name__)


class ImageFiles:
    """Finds the files of finished images.

    `are_settled`: this process copies nothing after a task has ended, so what was found is kept as long as the task is
    in memory.
    """

    def __init__(self, store: Store, folder: ImageFolder, *, are_settled: bool) -> None:
        self._store = store
        self._folder = folder
        self._are_settled = are_settled
        self._found: OrderedDict[str, tuple[Task, Task]] = OrderedDict()
        """Tasks as they are in memory, and with their files."""

    async def located(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks with the paths of all copies and files, and with notices of those that failed."""
        found = {task.id: with_files for task in tasks if (with_files := self._found_before(task))}
        others = [task for task in tasks if task.id not in found and task.status is Status.SUCCEEDED and task.images]
        if others:
            known = await self._known([task.id for task in others])
            located = await to_thread.run_sync(lambda: [self._located(task, known.get(task.id, {})) for task in others])
            found |= {task.id: task for task in located}
            self._keep(others, located)
        return [found.get(task.id, task) for task in tasks]

    def _found_before(self, task: Task) -> Task | None:
        before, with_files = self._found.get(task.id, (None, None))
        return with_files if before is task else None

    def _keep(self, tasks: Sequence[Task], located: Sequence[Task]) -> None:
        if self._are_settled:
            self._found.update(zip((task.id for task in tasks), zip(tasks, located, strict=True), strict=True))
        while len(self._found) > _MOST_KEPT:
            self._found.popitem(last=False)

    async def _known(self, task_ids: Sequence[str]) -> Mapping[str, Mapping[int, CopyRecord]]:
        try:
            return await self._store.copies.read(task_ids)
        except StoreUnavailable:
            _log.exception("what became of finished images cannot be read")
            return {}

    def _located(self, task: Task, records: Mapping[int, CopyRecord]) -> Task:
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

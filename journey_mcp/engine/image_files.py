"""The copies of finished images, also those that were made after their task had ended, and the files for the person.

A finished task never changes in the store, so both are added to it when it is shown.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.copies import CopyRecord
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.task_values import TaskValues
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.media.image_store import ImageStore, StoredImage
from journey_mcp.store import Store

_NOTHING = CopyRecord()

_log = logging.getLogger(__name__)


class ImageFiles:
    """Search for the copies and files of finished images.

    What was found is kept as long as the task is in memory, if `is_settled` of the task with its files: nothing more is
    copied or saved of it. With `links`, images whose links expire at their provider also have links of ours.
    """

    def __init__(
        self,
        store: Store,
        images: ImageStore,
        clock: Clock,
        links: ImageLinks | None = None,
        *,
        is_settled: Callable[[Task], bool] = lambda _task: False,
    ) -> None:
        self._store = store
        self._images = images
        self._clock = clock
        self._links = links if links is not None and links.base_url is not None else None
        self._is_settled = is_settled
        self._found = TaskValues[Task]()
        """Tasks with their files."""

    @property
    def has_links(self) -> bool:
        """Whether finished images get links of ours."""
        return self._links is not None

    @property
    def is_store_answering(self) -> bool:
        """Whether no copy waits for the image store to answer again."""
        return self._images.is_answering

    def kept(self, task: Task) -> Task | None:
        """Return a finished task with its files if that is in memory; it does not change any more."""
        return self._found.get(task) if _has_images(task) else task

    async def located(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks with all copies and files, and with notices of those that failed."""
        found = {task.id: with_files for task in tasks if (with_files := self._found.get(task))}
        others = [task for task in tasks if task.id not in found and _has_images(task)]
        if others:
            located = await self._look_up(others)
            found |= {task.id: task for task in located}
            self._keep(others, located)
        return [found.get(task.id, task) for task in tasks]

    async def read(self, id_: ImageId, image: OutputImage) -> bytes | None:
        """Return a finished image from its copy; `None` if there is none, or it cannot be read now.

        Earlier versions may have made the copy in another data folder.
        """
        try:
            found = await self._images.read(str(id_))
            return found if found is not None or image.path is None else await anyio.Path(image.path).read_bytes()
        except (OSError, StoreUnavailable):
            return None

    def _keep(self, tasks: Sequence[Task], located: Sequence[Task]) -> None:
        for task, with_files in zip(tasks, located, strict=True):
            if self._is_settled(with_files):
                self._found.add(task, with_files)

    async def _look_up(self, tasks: Sequence[Task]) -> list[Task]:
        known = await self._known([task.id for task in tasks])
        copies = await self._copies([id_ for task in tasks for id_ in _image_ids(task)])
        if any(record.saved_to for records in known.values() for record in records.values()):
            known = await to_thread.run_sync(_without_moved, known)
        now = self._clock.now()
        located = [_located(task, known.get(task.id, {}), copies, self._links, now) for task in tasks]
        return located if self._images.is_answering else [self._with_awaited(task) for task in located]

    def _with_awaited(self, task: Task) -> Task:
        """Return the task with a notice for each image whose copy has to wait for the image store."""
        if self._is_settled(task):
            return task
        awaited = [
            Notice.of("copy_awaited", image=id_)
            for id_, image in zip(_image_ids(task), task.images, strict=True)
            if image.expires_at is not None and not image.has_copy
        ]
        return replace(task, notices=tuple(dict.fromkeys((*task.notices, *awaited))))

    async def _known(self, task_ids: Sequence[str]) -> Mapping[str, Mapping[int, CopyRecord]]:
        try:
            return await self._store.copies.read(task_ids)
        except StoreUnavailable:
            _log.exception("the copies of finished images cannot be read")
            return {}

    async def _copies(self, image_ids: Sequence[str]) -> Mapping[str, StoredImage]:
        try:
            return await self._images.find(image_ids)
        except StoreUnavailable:
            _log.exception("the copies of finished images cannot be looked up")
            return {}


def _has_images(task: Task) -> bool:
    return task.status is Status.SUCCEEDED and bool(task.images)


def _image_ids(task: Task) -> list[str]:
    return [str(ImageId(task.id, number)) for number in range(1, len(task.images) + 1)]


def _located(
    task: Task,
    records: Mapping[int, CopyRecord],
    copies: Mapping[str, StoredImage],
    links: ImageLinks | None,
    now: float,
) -> Task:
    images = [
        _with_files(image, records.get(number, _NOTHING), copies.get(id_))
        for number, (id_, image) in enumerate(zip(_image_ids(task), task.images, strict=True), start=1)
    ]
    if links is not None:
        images = [
            _with_link(image, task, stored, links, now) if (stored := copies.get(id_)) else image
            for id_, image in zip(_image_ids(task), images, strict=True)
        ]
    notices = [notice for number, record in sorted(records.items()) for notice in _notices(task, number, record)]
    return replace(task, images=tuple(images), notices=tuple(dict.fromkeys((*task.notices, *notices))))


def _with_files(image: OutputImage, record: CopyRecord, stored: StoredImage | None) -> OutputImage:
    located = replace(
        image,
        saved_to=record.saved_to,
        mime_type=image.mime_type or record.mime_type,
        width=image.width or record.width,
        height=image.height or record.height,
    )
    return stored.copy_of(located) if stored else located


def _with_link(image: OutputImage, task: Task, stored: StoredImage, links: ImageLinks, now: float) -> OutputImage:
    """Return the image with a link of ours if the one of its provider will die, or that of a sandbox."""
    if image.expires_at is None and task.provider != SANDBOX:
        return image
    return replace(image, public_link=links.for_a_day(stored.file_name, now=now))


def _without_moved(known: Mapping[str, Mapping[int, CopyRecord]]) -> Mapping[str, Mapping[int, CopyRecord]]:
    """Return the records without files that the person has moved or deleted."""
    return {
        task_id: {
            number: record
            if record.saved_to is None or Path(record.saved_to).is_file()
            else replace(record, saved_to=None)
            for number, record in records.items()
        }
        for task_id, records in known.items()
    }


def _notices(task: Task, number: int, record: CopyRecord) -> list[Notice]:
    id_ = str(ImageId(task.id, number))
    found = []
    if record.copy_problem:
        found.append(Notice.of("copy_failed", image=id_, reason=record.copy_problem))
    if record.save_problem:
        found.append(Notice.of("save_failed", image=id_, reason=record.save_problem))
    return found

"""Copying the images of one finished task: into the image store, and into the folder of the person."""

import logging
from dataclasses import dataclass, replace
from functools import partial

from anyio import to_thread

from journey_mcp.core import telemetry
from journey_mcp.core.clock import Clock
from journey_mcp.core.copies import CopyRecord
from journey_mcp.core.images import ImageId, OutputImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.engine.upstreams import Upstreams
from journey_mcp.media.blobs import Blobs, Link, NoCopy, reason_of
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.formats import ImageData
from journey_mcp.media.readable_names import readable_name
from journey_mcp.media.save_folder import SaveFolder
from journey_mcp.net.address_policy import TooLarge
from journey_mcp.settings import Keep
from journey_mcp.store.copies import Records

_FINAL = (NotAnImage, TooLarge)
"""What no later attempt changes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of copying the images of a task."""

    records: Records
    is_over: bool
    """Another attempt would change nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One image of a task."""

    task: Task
    number: int
    tries: int
    """Earlier attempts at the images of the task, also by processes that died."""
    is_last: bool

    @property
    def id(self) -> ImageId:
        return ImageId(self.task.id, self.number)

    @property
    def image(self) -> OutputImage:
        return self.task.images[self.number - 1]

    @property
    def link(self) -> Link:
        return Link(id=self.id, url=self.image.url, base_url=self.task.base_url, made_at=self.task.created_at)


class Copier:
    """Copier of finished images: copies as `keep` says, and saves if there is a folder for that.

    Images whose links expire soon are copied by `Outcomes`, before their task ends; here those that could not be
    stored then.
    """

    def __init__(
        self, blobs: Blobs, save_folder: SaveFolder | None, clock: Clock, upstreams: Upstreams, *, keep: Keep
    ) -> None:
        self._blobs = blobs
        self._save_folder = save_folder
        self._clock = clock
        self._upstreams = upstreams
        self._keep = keep

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ever copied or saved here."""
        return self._keep == "off" and self._save_folder is None

    @property
    def saves(self) -> bool:
        """Whether images are saved in a folder of the person."""
        return self._save_folder is not None

    def is_needed(self, task: Task) -> bool:
        """Return whether there is anything to do for a task."""
        if task.status is not Status.SUCCEEDED or not task.images:
            return False
        return self.saves or (
            self._is_copied_here(task) and any(map(partial(_lacks_copy, task), range(1, len(task.images) + 1)))
        )

    async def copy(self, task: Task, records: Records, *, tries: int, is_last: bool) -> Outcome:
        """Copy and save what was not yet, image by image.

        `tries` counts earlier attempts, which may have got further than `records` say; after the last one, the records
        say why an image has no copy.
        """
        found: dict[int, CopyRecord] = {}
        is_over = True
        for number in range(1, len(task.images) + 1):
            job = _Job(task=task, number=number, tries=tries, is_last=is_last)
            found[number], is_done = await self._work_on(job, records.get(number, CopyRecord()))
            is_over &= is_done
        return Outcome(records=found, is_over=is_over)

    async def _work_on(self, job: _Job, record: CopyRecord) -> tuple[CopyRecord, bool]:
        content: ImageData | None = None
        is_over = True
        if not record.is_copied and job.image.has_copy:
            record = replace(record, is_copied=True)
        elif not record.is_copied and self._is_copied_here(job.task) and _lacks_copy(job.task, job.number):
            try:
                # a process that died may have copied it
                content = await self._blobs.read(job.id) or await self._downloaded(job)
            except NoCopy as error:
                record, is_over = self._without_copy(job, record, error)
            else:
                record = _with_facts(replace(record, is_copied=True, copy_problem=None), content)
        if self._save_folder is None or record.saved_to is not None:
            return record, is_over
        record, is_saved = await self._saved(job, record, content, self._save_folder)
        return record, is_over and is_saved

    def _without_copy(self, job: _Job, record: CopyRecord, error: Exception) -> tuple[CopyRecord, bool]:
        """Return the record of an image that could not be copied, and whether that is final."""
        if job.task.provider == SANDBOX:
            _log.info("no copy of image %s, whose sandbox has ended: %s", job.id, error)
            return record, True  # its images have ended with it, which is normal
        _log.warning("no copy of image %s: %s", job.id, error)
        is_over = job.is_last or isinstance(error, _FINAL) or not self._is_alive(job.image)
        return replace(record, copy_problem=reason_of(error) if is_over else None), is_over

    async def _saved(
        self, job: _Job, record: CopyRecord, content: ImageData | None, folder: SaveFolder
    ) -> tuple[CopyRecord, bool]:
        """Save an image; return its record, and whether no other attempt is needed."""
        task = job.task
        number = job.number if len(task.images) > 1 else None
        name = readable_name(task.request.prompt, task.request.model, at=task.updated_at, number=number)
        try:
            found = content or await self._content(job)
            path = await to_thread.run_sync(
                lambda: folder.save(name, found.format, found.content, may_exist=job.tries > 0)
            )
        except NoCopy as error:
            _log.warning("image %s is not saved in %s: %s", job.id, folder.path, error)
            is_lost = not isinstance(error, OSError) and (task.provider == SANDBOX or not self._is_alive(job.image))
            is_over = job.is_last or isinstance(error, _FINAL) or is_lost
            return replace(record, save_problem=reason_of(error)), is_over
        return _with_facts(replace(record, saved_to=str(path), save_problem=None), found), True

    async def _downloaded(self, job: _Job) -> ImageData:
        with telemetry.measure("copy", provider=job.task.provider):
            return (await self._blobs.copy(job.link))[1]

    async def _content(self, job: _Job) -> ImageData:
        """Return the image from its copy, or else from its link."""
        return await self._blobs.read(job.id) or await self._blobs.fetch(job.link)

    def _is_copied_here(self, task: Task) -> bool:
        if self._keep != "expiring":
            return self._keep == "all"
        offer = self._upstreams.offer_of(task)
        return offer is not None and offer.links_die_soon

    def _is_alive(self, image: OutputImage) -> bool:
        return image.expires_at is None or image.expires_at > self._clock.now()


def _lacks_copy(task: Task, number: int) -> bool:
    """Return whether an image has no copy, and its task does not say why."""
    refused = {dict(notice.parameters).get("image") for notice in task.notices if notice.code == "copy_failed"}
    return not task.images[number - 1].has_copy and str(ImageId(task.id, number)) not in refused


def _with_facts(record: CopyRecord, found: ImageData) -> CopyRecord:
    return replace(record, mime_type=found.mime_type, width=found.width, height=found.height)

"""Finished and kept images in full: whose they are, and where their pixels can be read now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import ImageUnavailable, JourneyError, UnknownImage, UnusableImage
from journey_mcp.core.images import ImageId, OutputImage, UploadId
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.core.text import cleaned
from journey_mcp.engine.renewed_links import RenewedLinks
from journey_mcp.media import formats, image_text
from journey_mcp.media.image_store import ImageStore, ImageStoreUnavailable
from journey_mcp.media.image_text import WholeTask
from journey_mcp.net.address_policy import FetchError, Gone, TooLarge
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.store import Store
from journey_mcp.store.uploads import Upload
from journey_mcp.studio.image_sources import gone, image_of

_FETCH_WITHIN_S = 20.0
_MAX_SHOWN = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedImage:
    """An image of a finished task of the caller's."""

    id: ImageId
    image: OutputImage
    task: Task

    @property
    def made_at(self) -> float:
        """When the task was made, in seconds of the Unix epoch: copies are deleted by this age."""
        return self.task.created_at


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptImage:
    """An image that was kept from the caller."""

    id: UploadId
    made_at: float
    """When it was kept, in seconds of the Unix epoch."""


Original = FinishedImage | KeptImage


@dataclass(frozen=True, kw_only=True, slots=True)
class NoOriginal:
    """An id that is no image of the caller's."""

    id: str
    """As it was given, cut to a few words."""
    error: JourneyError


class CopiesInProgress(Protocol):
    """Source of the images that are being copied."""

    async def wait(self, task_ids: Collection[str], seconds: float) -> None:
        """Wait, at most so long, until the images of these tasks are copied, if they ended in this process."""
        ...


class Originals:
    """Reader of finished and kept images by id: their copies, else their links through the SSRF guard."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        images: ImageStore,
        in_progress: CopiesInProgress,
        safe_http: SafeHttpClient,
        renewed: RenewedLinks,
    ) -> None:
        self._store = store
        self._clock = clock
        self._images = images
        self._in_progress = in_progress
        self._safe_http = safe_http
        self._renewed = renewed

    async def find(self, ids: Sequence[str], principal: Principal) -> list[Original | NoOriginal]:
        """Return the images with these ids, in their order and each once; a task stands for all its images.

        The image of another principal is answered as one that does not exist.
        """
        meanings = {text: image_text.parse(text) for text in ids}
        named = {meaning.task_id for meaning in meanings.values() if isinstance(meaning, ImageId | WholeTask)}
        kept = {str(meaning) for meaning in meanings.values() if isinstance(meaning, UploadId)}
        tasks = await self._store.tasks.get(list(named), principal=principal) if named else {}
        uploads = await self._store.uploads.get(list(kept), principal=principal) if kept else {}
        found: dict[str, Original | NoOriginal] = {}
        for text, meaning in meanings.items():
            some: Sequence[Original | NoOriginal]
            if isinstance(meaning, ImageId):
                some = [_finished(meaning, tasks)]
            elif isinstance(meaning, WholeTask):
                some = _all_of(meaning.task_id, tasks)
            elif isinstance(meaning, UploadId):
                some = [_kept(meaning, uploads)]
            else:
                some = [_no_id(text)]
            found.update({str(one.id): one for one in some})
        return list(found.values())

    async def load(self, original: Original) -> bytes | Path:
        """Return the file of an image on this machine, else the image from the object store or its link.

        Raises:
            UnknownImage: there is no copy, and no link or a dead one.
            UnusableImage: it is too large; `ImageUnavailable` if it cannot be read or downloaded now.
        """
        if copy := await self._copy_of(original):
            return copy
        if isinstance(original, KeptImage):
            raise _no_kept(original.id)
        # a preview of a new image would download it once more
        await self._in_progress.wait([original.task.id], _FETCH_WITHIN_S)
        return await self._copy_of(original) or await self._download(original)

    async def _copy_of(self, original: Original) -> bytes | Path | None:
        id_ = str(original.id)
        try:
            stored = (await self._images.find([id_])).get(id_)
            return (stored.path or await self._images.read(id_)) if stored else None
        except ImageStoreUnavailable as error:
            if isinstance(original, KeptImage):
                raise ImageUnavailable(
                    f"{id_} cannot be read: {error}.", next_step="Call again in a minute."
                ) from error
            return None  # its link may work

    async def _download(self, original: FinishedImage) -> bytes:
        image, task = original.image, original.task
        problem: JourneyError = gone(original.id, task)
        if image.expires_at is None or image.expires_at > self._clock.now():
            try:
                return await self._fetched(image.url, task)
            except FetchError as error:
                if task.provider != SANDBOX:
                    problem = _not_downloaded(original, error)
                if not isinstance(error, Gone):
                    raise problem from error
        url = await self._renewed.find(task, original.id.number)
        if url is None:
            raise problem
        try:
            return await self._fetched(url, task)
        except FetchError as error:
            raise _not_downloaded(original, error) from error

    async def _fetched(self, url: str, task: Task) -> bytes:
        safe_http = self._safe_http.with_trusted(task.base_url)
        return (await safe_http.get(url, max_bytes=formats.MAX_BYTES, within_s=_FETCH_WITHIN_S)).content


def _not_downloaded(original: FinishedImage, error: FetchError) -> UnusableImage:
    reason = f"{original.id} cannot be downloaded: {error}."
    if isinstance(error, TooLarge):
        return UnusableImage(reason, next_step="Open its URL instead.")
    return ImageUnavailable(reason)


def _finished(wanted: ImageId, tasks: Mapping[str, Task]) -> FinishedImage | NoOriginal:
    task = tasks.get(wanted.task_id)
    try:
        image = image_of(wanted, task)
    except UnknownImage as error:
        return NoOriginal(id=str(wanted), error=error)
    assert task is not None  # noqa: S101  # checked by image_of
    return FinishedImage(id=wanted, image=image, task=task)


def _all_of(task_id: str, tasks: Mapping[str, Task]) -> list[Original | NoOriginal]:
    first = _finished(ImageId(task_id, 1), tasks)
    if isinstance(first, NoOriginal):
        return [replace(first, id=task_id)]
    return [_finished(ImageId(task_id, number), tasks) for number in range(1, len(first.task.images) + 1)]


def _kept(wanted: UploadId, uploads: Mapping[str, Upload]) -> KeptImage | NoOriginal:
    if upload := uploads.get(str(wanted)):
        return KeptImage(id=wanted, made_at=upload.created_at)
    return NoOriginal(id=str(wanted), error=_no_kept(wanted))


def _no_kept(wanted: UploadId) -> UnknownImage:
    return UnknownImage(
        f"There is no image {wanted}, or not any more.",
        next_step=ask_person("Add the image again, or give the id of another image."),
    )


def _no_id(text: str) -> NoOriginal:
    shown = cleaned(text, _MAX_SHOWN)
    return NoOriginal(
        id=shown,
        error=UnknownImage(
            f"{shown!r} is not an image id: a task's id, a dot, and the number of the image.",
            next_step="Give an id such as tsk_….2. Call fetch_task without task_ids to list the images.",
        ),
    )

"""Previews: one small JPEG of a task that has just finished, made in the background so that no result waits for it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import anyio
from anyio.abc import TaskGroup

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import DuplicatePolicy, Task
from journey_mcp.core.views import DEFAULT_VIEW_SIZE, MAX_IMAGES_OF_VIEW, View
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.workers import Workers
from journey_mcp.studio.views import Views

WITHIN_S = 0.3
"""How long a result waits for its preview."""
MAX_BYTES = 60_000
_MAX_JOBS = 16
_REMEMBERED = 1_000
"""Tasks of which is known whether they need a preview."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class _Job:
    """One preview that is being made."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    view: View | None = None


class Previews:
    """Maker of previews, for clients that show them: of each task once, with the result that first has its images.

    A preview that is late is continued, and belongs to the next result with its task.
    """

    def __init__(self, views: Views, workers: Workers, clock: Clock) -> None:
        self._views = views
        self._workers = workers
        self._clock = clock
        self._group: TaskGroup | None = None
        self._jobs: dict[tuple[str, ...], _Job] = {}
        self._expected: dict[str, None] = {}
        """Tasks whose client shows previews and got none yet, the newest last."""
        self._shown: dict[str, None] = {}

    async def run(self) -> None:
        """Make the previews that are requested; for ever."""
        try:
            async with anyio.create_task_group() as self._group:
                await anyio.sleep_forever()
        finally:
            self._group = None

    def expect(self, task: Task) -> None:
        """Prepare for the preview of a new task, while its provider works."""
        _remember(self._expected, task.id)
        if self._group:
            self._group.start_soon(self._warm_up, task.principal)

    def on_task_changed(self, task: Task) -> None:
        """Begin the preview of an expected task as soon as it has images."""
        if task.id in self._expected and task.status is Status.SUCCEEDED:
            self._start(previewed_ids([task]), task.principal)

    def is_due(self, task: Task) -> bool:
        """Return whether a result is the first with this task's images: no client has received one."""
        is_new = task.id in self._expected or task.duplicate_policy is DuplicatePolicy.JOIN
        return task.status is Status.SUCCEEDED and is_new and task.id not in self._shown

    async def of(self, tasks: Sequence[Task]) -> View | None:
        """Return a preview of finished tasks of one principal, on one sheet; `None` if it is not made in 300 ms."""
        ids = previewed_ids(tasks)
        job = self._start(ids, tasks[0].principal) if ids else None
        if job is None or not await self._clock.wait(job.done, WITHIN_S):
            return None
        for task in tasks:
            self._expected.pop(task.id, None)
            _remember(self._shown, task.id)
        return job.view if job.view and job.view.seen else None

    def _start(self, ids: tuple[str, ...], principal: Principal) -> _Job | None:
        """Return the job that makes this preview; `None` if there are too many."""
        if ids not in self._jobs:
            if self._group is None or len(self._jobs) >= _MAX_JOBS:
                return None
            self._jobs[ids] = _Job()
            self._group.start_soon(self._make, ids, principal)
        return self._jobs[ids]

    async def _make(self, ids: tuple[str, ...], principal: Principal) -> None:
        job = self._jobs[ids]
        try:
            job.view = await self._views.look(
                ids, principal, size=DEFAULT_VIEW_SIZE, layout="sheet", max_bytes=MAX_BYTES
            )
        except JourneyError as error:
            _log.info("no preview of %s: %s", ids[0], error)
        except Exception:  # noqa: BLE001  # a result is complete without it
            _log.exception("no preview of %s", ids[0])
        finally:
            del self._jobs[ids]
            job.done.set()

    async def _warm_up(self, principal: Principal) -> None:
        try:
            await self._workers.warm_up(caller=principal)
        except (JourneyError, NotAnImage) as error:
            _log.info("no process is ready for previews: %s", error)


def previewed_ids(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return the first image of each task, then the second ones, and so on, as many as a view has."""
    of_tasks = [[str(ImageId(task.id, number)) for number in range(1, len(task.images) + 1)] for task in tasks]
    in_turn = [image_id for ids in zip_longest(*of_tasks) for image_id in ids if image_id]
    return tuple(in_turn[:MAX_IMAGES_OF_VIEW])


def _remember(known: dict[str, None], task_id: str) -> None:
    known.pop(task_id, None)
    known[task_id] = None
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]

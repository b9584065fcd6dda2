"""The studio's tasks in the form of the tasks extension: the same tasks under the same ids."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from journey_mcp.core.errors import UnknownTask
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Task
from journey_mcp.engine.waiting import stage
from journey_mcp.registry import Catalog
from journey_mcp.server import tool_results, viewing
from journey_mcp.server.extensions.tasks import TaskView
from journey_mcp.studio import Studio
from journey_mcp.tools.defaults import Defaults

_DAY_MS = 24 * 3600 * 1000
_STATUSES: dict[Status, Literal["working", "completed", "cancelled"]] = {
    Status.QUEUED: "working",
    Status.RUNNING: "working",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "completed",
    Status.CANCELED: "cancelled",
}
"""`failed` is for protocol errors. A failed image is a result of its call, as without the extension."""


class StudioTasks:
    """A principal's tasks in the studio; a `TaskSource`."""

    def __init__(
        self,
        studio: Studio,
        defaults: Defaults,
        principal: Principal,
        *,
        catalog: Catalog | None = None,
        takes_previews: bool = False,
        has_gallery: bool = False,
    ) -> None:
        """Prepare.

        `catalog`: the part that the principal may use, if that is not all. `takes_previews`: results for the client
        have previews; `has_gallery`: it shows the gallery.
        """
        self._studio = studio
        self._defaults = defaults
        self._principal = principal
        self._catalog = catalog
        self._takes_previews = takes_previews
        self._has_gallery = has_gallery

    async def get(self, task_id: str) -> TaskView:
        """Return the task, and acknowledge a result: a client has received it."""
        found = await self._studio.fetch([task_id], self._principal)
        if task_id not in found:
            raise UnknownTask(task_id)
        task = found[task_id]
        has_preview = self._takes_previews and self._studio.previews.is_due(task)
        self._studio.acknowledge([task])
        shown = view(self._studio, task)
        if shown.status != "completed":
            return shown
        return replace(shown, outcome=await self._result(task, has_preview=has_preview))

    async def update(self, task_id: str, responses: Mapping[str, Any]) -> None:  # noqa: ARG002  # tasks need no input
        """Ignore the responses: input is requested before a task exists, never by a task."""
        if task_id not in await self._studio.fetch([task_id], self._principal):
            raise UnknownTask(task_id)

    async def cancel(self, task_id: str) -> None:
        """Cancel the task while it is queued; later only if the provider supports it, else it goes on."""
        if not await self._studio.cancel([task_id], self._principal):
            raise UnknownTask(task_id)

    async def _result(self, task: Task, *, has_preview: bool) -> dict[str, Any]:
        """Return the result that the call would have had without the extension, as JSON."""
        result = await viewing.task_result(task, self._studio, self._defaults, has_preview=has_preview)
        if self._has_gallery:
            result = tool_results.for_gallery(result, [task], self._studio, self._defaults, self._catalog)
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def view(studio: Studio, task: Task, notice: Notice | None = None) -> TaskView:
    """Return a task in the extension's terms, without its result."""
    now = studio.now()
    return TaskView(
        task_id=task.id,
        status=_STATUSES[task.status],
        created_at=task.created_at,
        updated_at=task.updated_at,
        ttl_ms=studio.settings.keep_days * _DAY_MS,
        poll_interval_ms=_poll_interval_ms(task, now),
        message=str(notice or studio.elsewhere(task) or stage(task, studio.position(task.id))),
    )


def _poll_interval_ms(task: Task, now: float) -> int:
    """Return the poll interval of the provider: the status seldom changes in between."""
    return 2_000 if now - task.created_at < 60 else 10_000  # noqa: PLR2004  # a minute

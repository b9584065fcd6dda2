"""Results of `fetch_task` for finished tasks: the same result again as long as the task is the same in memory."""

from collections import OrderedDict

import mcp_types as types

from journey_mcp.core.tasks import SANDBOX, Task

_MOST = 1_000


class FinishedResults:
    """Results for one finished task each, of the tasks that were fetched last.

    A task that is read again is another object, so no result outlives the task in memory.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Task, types.CallToolResult]] = OrderedDict()

    def get(self, task: Task) -> types.CallToolResult | None:
        """Return the result of this very task, if there is one."""
        before, result = self._kept.get(task.id, (None, None))
        return result if before is task else None

    def add(self, task: Task, result: types.CallToolResult) -> None:
        """Keep the result of a task, unless time or files can change it: links expire, sandboxes end."""
        if not task.status.is_final or task.provider == SANDBOX:
            return
        if any(image.expires_at is not None or image.path is not None for image in task.images):
            return
        self._kept[task.id] = task, result
        self._kept.move_to_end(task.id)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

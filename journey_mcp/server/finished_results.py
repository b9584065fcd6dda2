"""Results of `fetch_task` for finished tasks: the same result again as long as the task is the same in memory."""

import mcp_types as types

from journey_mcp.core.task_values import TaskValues
from journey_mcp.core.tasks import SANDBOX, Task


class FinishedResults:
    """Results for one finished task each, of the tasks that were fetched last."""

    def __init__(self) -> None:
        self._kept = TaskValues[types.CallToolResult]()

    def get(self, task: Task) -> types.CallToolResult | None:
        """Return the result of this very task, if there is one."""
        return self._kept.get(task)

    def add(self, task: Task, result: types.CallToolResult) -> None:
        """Keep the result of a task, unless time or files can change it: links expire, sandboxes end."""
        if not task.status.is_final or task.provider == SANDBOX:
            return
        if any(image.expires_at is not None or image.path is not None for image in task.images):
            return
        self._kept.add(task, result)

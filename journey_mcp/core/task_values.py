"""Values that were worked out for a task, kept as long as the task is the same in memory."""

from collections import OrderedDict
from typing import Generic, TypeVar

from journey_mcp.core.tasks import Task

_MOST = 1_000

_Value = TypeVar("_Value")


class TaskValues(Generic[_Value]):
    """One value for each of the last thousand tasks.

    A task that is read again is another object, so no value outlives the task in memory.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Task, _Value]] = OrderedDict()

    def get(self, task: Task) -> _Value | None:
        """Return the value of this very task, if there is one."""
        kept = self._kept.get(task.id)
        return kept[1] if kept is not None and kept[0] is task else None

    def add(self, task: Task, value: _Value) -> None:
        """Keep the value of a task."""
        self._kept[task.id] = task, value
        self._kept.move_to_end(task.id)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

"""Finished tasks in memory: most calls of `fetch_task` are for tasks that have just ended."""

from collections import OrderedDict
from typing import NamedTuple

from journey_mcp.core.clock import Clock
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Task

_MOST = 1_000
_KEPT_S = 60.0
"""How long a task that another process has deleted is still returned at most, if no news of that arrive."""


class _Kept(NamedTuple):
    task: Task
    until: float
    """By `Clock.elapsed`."""


class FinalTasks:
    """The finished tasks that were read last, a thousand at most, each for a minute at most.

    A task that may still change is not kept: one that is running, or whose duplicate policy the store will change. None
    is returned that is older than `keep_s`, after which tasks are deleted.
    """

    def __init__(self, clock: Clock, *, keep_s: float) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def get(self, task_id: str, *, principal: Principal) -> Task | None:
        """Return the principal's task of this id, if it is kept."""
        kept = self._kept.get(task_id)
        if kept is None or kept.task.principal != principal:
            return None
        if self._clock.elapsed() >= kept.until or kept.task.created_at < self._clock.now() - self._keep_s:
            del self._kept[task_id]
            return None
        self._kept.move_to_end(task_id)
        return kept.task

    def add(self, task: Task) -> None:
        """Keep a task as it was just read from the store, if it changes no more."""
        if not task.status.is_final or task.duplicate_policy is not None:
            return
        self._kept[task.id] = _Kept(task, self._clock.elapsed() + _KEPT_S)
        self._kept.move_to_end(task.id)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def forget(self, task_id: str) -> None:
        """Keep a task no more, because it may have been deleted."""
        self._kept.pop(task_id, None)

    def clear(self) -> None:
        """Keep none of these tasks any more."""
        self._kept.clear()

"""News of changed tasks between the processes on one database, for callers that wait at another process."""

from collections.abc import Callable
from typing import Protocol


class TaskNews(Protocol):
    """Carries the ids of tasks that have changed. News are hints: they may be late, lost, or come twice."""

    @property
    def is_live(self) -> bool:
        """Whether this process hears the others now."""
        ...

    async def notify(self, task_id: str) -> None:
        """Notify every process, this one included, of a change that is stored. Never raises."""
        ...

    async def run(self, on_task: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        """Listen, for as long as there is something to hear.

        Calls `on_task` with the id of each task that has changed, and `on_gap` when news may have been missed; both on
        the event loop.
        """
        ...

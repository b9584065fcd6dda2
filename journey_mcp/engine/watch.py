"""Changes of some tasks, for a caller that waits for them."""

import asyncio

from journey_mcp.core.clock import Clock
from journey_mcp.core.tasks import Task


class Watch:
    """The tasks of one caller that have changed since it last looked."""

    def __init__(self) -> None:
        self._changed: dict[str, Task] = {}
        self._stale: set[str] = set()
        self._event = asyncio.Event()

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Wait until one has changed, or may have changed, at most so long."""
        if not (self._changed or self._stale):
            self._event.clear()
            await clock.wait(self._event, seconds)

    def take(self) -> tuple[dict[str, Task], set[str]]:
        """Return what was added since the last call: changed tasks, and ids that another process may have changed."""
        taken = self._changed, self._stale
        self._changed, self._stale = {}, set()
        return taken

    def notify(self, task: Task) -> None:
        """Add a task that has changed."""
        self._changed[task.id] = task
        self._event.set()

    def refresh(self, task_id: str) -> None:
        """Add a task that another process may have changed."""
        self._stale.add(task_id)
        self._event.set()

    def end(self) -> None:
        """End the wait."""
        self._event.set()

"""Changes of some tasks, for a caller that waits for them."""

import anyio

from journey_mcp.core.clock import Clock
from journey_mcp.core.tasks import Task


class Watch:
    """The tasks of one caller that have changed since it last looked."""

    def __init__(self) -> None:
        self.latest: dict[str, Task] = {}
        """The newest state of those that changed since they were last taken out."""
        self._event = anyio.Event()

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Wait until one has changed, at most so long."""
        if not self.latest:
            self._event = anyio.Event()
            await clock.wait(self._event, seconds)

    def notify(self, task: Task) -> None:
        """Add a task that has changed."""
        self.latest[task.id] = task
        self._event.set()

    def end(self) -> None:
        """End the wait."""
        self._event.set()

"""Tasks and their way from accepted to over, told by the clock and by nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from journey_mcp.sandbox.recipes import Recipe

KEPT_TASKS = 2_000
KEPT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of accepted work."""

    task_id: str
    kind: str
    model: str
    origin: str
    """Where the sandbox was reached when the task was made; its pictures' addresses start so."""
    accepted_at: float
    ends_at: float
    """When it is over, unless it is held."""
    credits: float
    seed: int
    pictures: Mapping[str, Recipe] = field(default_factory=dict)
    """The results, by file name."""
    failure: str | None = None
    """Why it ends without pictures."""
    is_held: bool = False
    """Not over however late it is: its source picture is not here yet, or a fault lets it hang."""
    kept_bytes: int = 0
    """Memory that this task holds on to."""

    @property
    def duration_s(self) -> float:
        """How long it takes, unless it is held."""
        return self.ends_at - self.accepted_at

    def is_over(self, now: float) -> bool:
        """Whether it has finished or failed by `now`."""
        return not self.is_held and now >= self.ends_at

    def progress(self, now: float) -> float:
        """How far it is, 0.0 to 1.0, as the clock alone tells it."""
        return min((now - self.accepted_at) / self.duration_s, 1.0) if self.duration_s else 1.0


class Tasks:
    """All tasks that are running, and the latest of those that are over."""

    def __init__(self, *, kept_tasks: int = KEPT_TASKS, kept_bytes: int = KEPT_BYTES) -> None:
        self._running: dict[str, Task] = {}
        self._over: dict[str, Task] = {}
        self._kept_tasks = kept_tasks
        self._kept_bytes = kept_bytes
        self._bytes = 0

    @property
    def running(self) -> int:
        """How many were running when `settle` was last called, or have started since."""
        return len(self._running)

    def find(self, task_id: str) -> Task | None:
        """Return a task; None for one that never was or is forgotten."""
        return self._running.get(task_id) or self._over.get(task_id)

    def put(self, task: Task) -> None:
        """Add a running task, or replace one by its later form."""
        self._running[task.task_id] = task

    def settle(self, now: float) -> list[Task]:
        """Move the tasks that are over by `now` out of the running ones and return them."""
        ended = [task for task in self._running.values() if task.is_over(now)]
        for task in ended:
            del self._running[task.task_id]
            self._over[task.task_id] = task
            self._bytes += task.kept_bytes
        self._forget()
        return ended

    def _forget(self) -> None:
        while len(self._over) > self._kept_tasks or self._bytes > self._kept_bytes:
            oldest = self._over.pop(next(iter(self._over)))
            self._bytes -= oldest.kept_bytes

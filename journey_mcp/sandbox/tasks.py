"""Tasks; the clock alone determines their progress and end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from journey_mcp.sandbox.render_specs import RenderSpec

KEPT_TASKS = 2_000
KEPT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Link:
    """The restrictions of a task's image URLs."""

    signature: str | None = None
    """The required query parameter `sig`; without it the image is refused."""
    expires_at: float | None = None
    """The expiry by the sandbox's clock; None: never."""
    gone_status: int = 403
    """The HTTP status of a URL that is refused or has expired."""

    def is_good(self, signature: str | None, now: float) -> bool:
        """Return whether the image is available with this signature."""
        is_signed = self.signature is None or signature == self.signature
        return is_signed and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One accepted task."""

    task_id: str
    service: str
    kind: str
    model: str
    origin: str
    """The origin at which the task was created; its image URLs start with it."""
    accepted_at: float
    ends_at: float
    """Its end, unless it is held."""
    charged: float
    """The amount charged, in the service's unit."""
    seed: int
    images: Mapping[str, RenderSpec] = field(default_factory=dict)
    """The results by file name."""
    failure: str | None = None
    """Why it ends without images."""
    is_held: bool = False
    """Whether it cannot end: its input image is still loading, or a fault lets it hang."""
    kept_bytes: int = 0
    """The memory that this task uses."""
    link: Link = field(default_factory=Link)
    """The restrictions of its image URLs."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Further data of its service."""

    @property
    def image_urls_of(self) -> list[str]:
        """The URLs of its results, valid once it has ended."""
        query = f"?sig={self.link.signature}" if self.link.signature else ""
        return [f"{self.origin}/pictures/{self.task_id}/{name}{query}" for name in self.images]

    @property
    def duration_s(self) -> float:
        """Its duration, unless it is held."""
        return self.ends_at - self.accepted_at

    def is_over(self, now: float) -> bool:
        """Return whether it has finished or failed by `now`."""
        return not self.is_held and now >= self.ends_at

    def progress(self, now: float) -> float:
        """Return its progress by the clock, 0.0 to 1.0."""
        return min((now - self.accepted_at) / self.duration_s, 1.0) if self.duration_s else 1.0


class Tasks:
    """All running tasks, and the latest ended ones."""

    def __init__(self, *, kept_tasks: int = KEPT_TASKS, kept_bytes: int = KEPT_BYTES) -> None:
        self._running: dict[str, Task] = {}
        self._over: dict[str, Task] = {}
        self._kept_tasks = kept_tasks
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._changed = anyio.Event()

    @property
    def running(self) -> int:
        """The number of tasks that were running at the last `settle` or have started since."""
        return len(self._running)

    def running_of(self, service: str, model: str | None = None) -> int:
        """Return the number of a service's or model's tasks that ran at its last `settle` or have started since."""
        return sum(task.service == service and model in (None, task.model) for task in self._running.values())

    def find(self, task_id: str) -> Task | None:
        """Return a task; None for an unknown or dropped one."""
        return self._running.get(task_id) or self._over.get(task_id)

    def put(self, task: Task) -> None:
        """Add a running task, or replace a running or ended one."""
        tasks = self._over if task.task_id in self._over else self._running
        tasks[task.task_id] = task
        self._changed.set()
        self._changed = anyio.Event()

    async def wait_for_change(self, seconds: float) -> None:
        """Wait until a task is added or replaced, for at most `seconds`."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    def settle(self, now: float, service: str) -> list[Task]:
        """Move the tasks of a service that have ended by `now` out of the running ones and return them."""
        ended = [task for task in self._running.values() if task.service == service and task.is_over(now)]
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

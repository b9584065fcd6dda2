"""Tasks and their way from accepted to over, told by the clock and by nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from journey_mcp.sandbox.render_specs import RenderSpec

KEPT_TASKS = 2_000
KEPT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Link:
    """How the addresses of a task's pictures are limited."""

    signature: str | None = None
    """Must stand in the query as `sig`; without it the picture is refused."""
    expires_at: float | None = None
    """By the sandbox's clock; None never."""
    gone_status: int = 403
    """The HTTP status of an address that is refused or has expired."""

    def is_good(self, signature: str | None, now: float) -> bool:
        """Whether a picture is shown to somebody who comes with this signature."""
        is_signed = self.signature is None or signature == self.signature
        return is_signed and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of accepted work."""

    task_id: str
    service: str
    kind: str
    model: str
    origin: str
    """Where the sandbox was reached when the task was made; its pictures' addresses start so."""
    accepted_at: float
    ends_at: float
    """When it is over, unless it is held."""
    charged: float
    """What was taken from the balance, in the service's own unit."""
    seed: int
    images: Mapping[str, RenderSpec] = field(default_factory=dict)
    """The results, by file name."""
    failure: str | None = None
    """Why it ends without pictures."""
    is_held: bool = False
    """Not over however late it is: its source picture is not here yet, or a fault lets it hang."""
    kept_bytes: int = 0
    """Memory that this task holds on to."""
    link: Link = field(default_factory=Link)
    """How long, and to whom, its pictures are shown."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What its service must remember of it besides."""

    @property
    def image_urls_of(self) -> list[str]:
        """Where its results are found once it is over."""
        query = f"?sig={self.link.signature}" if self.link.signature else ""
        return [f"{self.origin}/pictures/{self.task_id}/{name}{query}" for name in self.images]

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
        self._changed = anyio.Event()

    @property
    def running(self) -> int:
        """How many were running when `settle` was last called, or have started since."""
        return len(self._running)

    def running_of(self, service: str, model: str | None = None) -> int:
        """How many of a service, or of one model there, were running when it was last settled, or started since."""
        return sum(task.service == service and model in (None, task.model) for task in self._running.values())

    def find(self, task_id: str) -> Task | None:
        """Return a task; None for one that never was or is forgotten."""
        return self._running.get(task_id) or self._over.get(task_id)

    def put(self, task: Task) -> None:
        """Add a running task, or replace one by its later form, whether running or over."""
        tasks = self._over if task.task_id in self._over else self._running
        tasks[task.task_id] = task
        self._changed.set()
        self._changed = anyio.Event()

    async def wait_for_change(self, seconds: float) -> None:
        """Return when a task was added or replaced, at the latest after `seconds`."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()

    def settle(self, now: float, service: str) -> list[Task]:
        """Move the tasks of a service that are over by `now` out of the running ones and return them."""
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

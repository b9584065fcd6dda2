"""Which workers still run: by the process table on this machine, by their heartbeats elsewhere."""

import math
from collections.abc import Collection, Mapping
from typing import Protocol

from journey_mcp.core.clock import Clock
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.worker_id import is_alive
from journey_mcp.providers.http import MAX_SUBMIT_S

DEAD_AFTER_S = 60.0
"""A worker of another machine that was not seen for so long is dead."""
_BEAT_EVERY_S = 15.0
ANSWERED_WITHIN_S = MAX_SUBMIT_S + 60.0
"""No creating request is awaited longer; an upload before it costs nothing if it is lost."""


class Workers(Protocol):
    """The heartbeats of all workers on one database."""

    async def beat(self, worker_id: str) -> None:
        """Record that this worker runs.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        ...

    async def seen_at(self, worker_ids: Collection[str]) -> Mapping[str, float]:
        """Return when each was last seen, in seconds of the Unix epoch by the caller's clock; none that never was.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        ...


class Liveness:
    """Heartbeat of this worker, and check of the others."""

    def __init__(self, workers: Workers, clock: Clock, worker_id: str) -> None:
        self._workers = workers
        self._clock = clock
        self._worker_id = worker_id
        self._beat_at = -math.inf

    async def beat(self) -> None:
        """Record that this worker runs, if that is due.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        if self._clock.elapsed() >= self._beat_at:
            await self._workers.beat(self._worker_id)
            self._beat_at = self._clock.elapsed() + _BEAT_EVERY_S

    async def running(self, worker_ids: Collection[str]) -> dict[str, bool | None]:
        """Return of each worker whether it runs; `None` if that cannot be seen from here.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        found = {worker_id: is_alive(worker_id) for worker_id in worker_ids}
        if unknown := [worker_id for worker_id, is_running in found.items() if is_running is None]:
            now = self._clock.now()
            for worker_id, at in (await self._workers.seen_at(unknown)).items():
                # a worker that is only cut off from the database is not seen either
                found[worker_id] = True if now - at < DEAD_AFTER_S else None
        return found


def may_still_run(task: Task, now: float, *, is_running: bool | None) -> bool:
    """Return whether to leave a task to its worker, which may be paused and not dead; its lease has expired.

    A running worker keeps the tasks that it has not sent, or whose answer it awaits. If it is unknown whether it runs,
    it keeps only the latter: what it has not sent, it cannot send once another worker has the lease.
    """
    if task.submission is Submission.ACCEPTED or is_running is False:
        return False
    if task.submission is Submission.PREPARED:
        return is_running is True
    return now - task.updated_at < ANSWERED_WITHIN_S

"""Recovery: renew the leases of this process, and take over the tasks of processes that have died."""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Protocol

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import NotSubmitted, SubmissionUnconfirmed
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.callbacks import unconfirmed
from journey_mcp.engine.journal import LEASE_S, Journal
from journey_mcp.engine.liveness import Liveness, may_still_run
from journey_mcp.engine.poller import MAX_UNKNOWN_S, key_lost
from journey_mcp.engine.retention import Retention
from journey_mcp.store import Store

RENEW_AFTER_S = 2.0
"""Of the 6 s of a lease: a renewal may fail twice, or come 4 s late."""
_PURGE_EVERY_S = 3600.0

_log = logging.getLogger(__name__)


class Addresses(Protocol):
    """Source of the tasks that this process can poll."""

    def addresses(self) -> Iterable[tuple[str, str | None]]:
        """Return provider and base URL of each account; the URL is `None` where any counts."""
        ...

    def serves(self, task: Task) -> bool:
        """Return whether this process may poll the task, with the key that made it."""
        ...

    def lacks_key_of(self, task: Task) -> bool:
        """Return whether only the caller's own key is missing here to poll the task."""
        ...


class Polls(Protocol):
    """Poller of tasks."""

    def add(self, task: Task, *, now: bool = False) -> None:
        """Poll a leased task until it is final; with `now`, for the first time at once."""
        ...


class Recovery:
    """Renewal of this process's leases, takeover of tasks whose lease has expired, and deletion of what is too old.

    Only tasks at the addresses of `upstreams` are taken over; `poller` polls them. Tasks and copies of images are
    deleted `keep_s` seconds after they were made.

    It has one collaborator more than a class should have, since leases, expired tasks and old ones are of different
    parts.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        clock: Clock,
        upstreams: Addresses,
        poller: Polls,
        retention: Retention,
        liveness: Liveness,
        *,
        keep_s: float,
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._upstreams = upstreams
        self._poller = poller
        self._retention = retention
        self._liveness = liveness
        self._keep_s = keep_s
        self._purge_at = -math.inf
        self._keyless_since: Mapping[str, float] = {}
        """Since when this process sees tasks without a worker whose caller's key it cannot open."""
        self._wakes_at = math.inf
        """Until when, by `Clock.elapsed`, it sleeps at most; infinite while it works."""
        self._acquired = Wakeup()

    async def run(self) -> None:
        """Do all of this for ever.

        Between two cycles it sleeps until the next renewal or expiry, at most for the length of a lease.
        """
        self._journal.on_acquired(self._on_acquired)
        due = self._clock.now()
        while True:
            pause_s, has_failed = RENEW_AFTER_S, False
            try:
                pause_s = await self._cycle(due)
            except Exception:  # noqa: BLE001  # without this loop other processes would take over all tasks of this one
                _log.exception("leases cannot be renewed; it is tried again")
                has_failed = True
            due = await self._sleep(pause_s)
            if has_failed:
                due = -math.inf

    async def _cycle(self, due: float) -> float:
        """Do what is due; return the seconds until the next cycle."""
        pause_s = RENEW_AFTER_S
        await self._journal.renew()
        if self._journal.leased:  # no process asks about a worker without tasks, and an idle disk may sleep
            await self._liveness.beat()
        now = self._clock.now()
        # After the whole machine was suspended, or the database was away, every lease has expired. The other processes
        # continue at the same time: they get one cycle to renew before this one takes over their tasks.
        if now - due < LEASE_S - RENEW_AFTER_S:
            await self._take_over(now)
            pause_s = await self._until_due(self._clock.now())
        if self._clock.elapsed() >= self._purge_at:
            self._purge_at = self._clock.elapsed() + _PURGE_EVERY_S
            await self._store.tasks.delete_older(than=now - self._keep_s)
            await self._store.cooldowns.delete_ended(now)
            await self._retention.forget_older(now - self._keep_s)
        return pause_s

    async def _until_due(self, now: float) -> float:
        """Return the seconds until leases of this process are to be renewed, or one of another process expires."""
        local_s = RENEW_AFTER_S if self._journal.leased else LEASE_S
        expires_at = await self._store.leases.next_expiry(after=now, except_worker=self._journal.worker_id)
        return min(local_s, math.inf if expires_at is None else expires_at - now)

    async def _sleep(self, seconds: float) -> float:
        """Sleep until the next cycle, which an acquired task brings forward; return when it was due by the calendar."""
        self._wakes_at, due = self._clock.elapsed() + seconds, self._clock.now() + seconds
        while (left_s := self._wakes_at - self._clock.elapsed()) > 0:
            if await self._acquired.wait(self._clock, left_s):
                self._wakes_at = min(self._wakes_at, self._clock.elapsed() + RENEW_AFTER_S)
                due = min(due, self._clock.now() + RENEW_AFTER_S)
        self._wakes_at = math.inf
        return due

    def _on_acquired(self, _task: Task) -> None:
        """End the sleep, unless it ends early enough for the task: most tasks come while others are leased."""
        if self._wakes_at > self._clock.elapsed() + RENEW_AFTER_S:
            self._acquired.notify()

    async def _take_over(self, now: float) -> None:
        journal = self._journal
        addresses = list(self._upstreams.addresses())
        found = await self._store.leases.orphans(now=now, addresses=addresses, with_own_keys=True)
        since = self._clock.elapsed()
        self._keyless_since = {
            task.id: self._keyless_since.get(task.id, since) for task, _ in found if self._upstreams.lacks_key_of(task)
        }
        orphans = [(task, worker_id) for task, worker_id in found if self._goes_on_here(task)]
        running = await self._liveness.running({worker_id for _, worker_id in orphans})
        # a task that is leased to this process but not in its memory has no worker: its acquisition was interrupted
        expired = [
            task.id
            for task, worker_id in orphans
            if (worker_id == journal.worker_id and task.id not in journal)
            or not may_still_run(task, now, is_running=running[worker_id])
        ]
        if not expired:
            return
        taken_over = await self._store.leases.acquire(
            expired, worker_id=journal.worker_id, lease_until=now + LEASE_S, now=now
        )
        ours = [task for task in taken_over if task.id not in journal]
        journal.add_leased(ours)
        for task in ours:
            _log.info("task %s (%s) is taken over", task.id, task.submission)
            if task.submission is not Submission.ACCEPTED:
                await journal.change(task.id, _after_crash)
            elif self._upstreams.serves(task):
                self._poller.add(task, now=True)
            else:
                await journal.change(task.id, _without_key)

    def _goes_on_here(self, task: Task) -> bool:
        """Return whether a task can be taken over here.

        One whose caller's key cannot be opened is left to processes with another secret, until none has come for long.
        """
        if task.id not in self._keyless_since:
            return self._upstreams.serves(task)
        has_waited = self._clock.elapsed() - self._keyless_since[task.id] > MAX_UNKNOWN_S
        return has_waited or task.submission is not Submission.ACCEPTED


def _without_key(task: Task, now: float) -> Task:
    return key_lost("The key with which the caller made this task cannot be opened any more.", task, now)


def _after_crash(task: Task, now: float) -> Task:
    """Return a task that had no answer when its process died, as it ends."""
    if task.submission is Submission.SENT:
        error = SubmissionUnconfirmed(
            "The server ended while the provider had the request and had not answered: it may have been charged."
        )
        return unconfirmed(task, error.failure, now)
    return task.refused(NotSubmitted("The server ended before the request was sent.").failure, now)

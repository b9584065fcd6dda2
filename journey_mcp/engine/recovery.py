"""Taking over what other processes left behind, and keeping what this one holds."""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import NotSubmitted, SubmissionUnconfirmed
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.worker_id import is_alive
from journey_mcp.engine.callbacks import unconfirmed
from journey_mcp.engine.journal import LEASE_S, Journal
from journey_mcp.providers.http import MAX_SUBMIT_S
from journey_mcp.store import Store

RENEW_AFTER_S = 2.0
"""Of the lease's 6 s: a renewal may fail twice, or come 4 s late."""
_PURGE_EVERY_S = 3600.0
_ANSWERED_WITHIN_S = MAX_SUBMIT_S + 60.0
"""No creating request is waited for longer than that; an upload before it costs nothing when it is lost."""

_log = logging.getLogger(__name__)


async def keep(
    journal: Journal,
    store: Store,
    clock: Clock,
    *,
    addresses: Callable[[], Iterable[tuple[str, str | None]]],
    resume_polling: Callable[[Task], None],
    forget_older: Callable[[float], Awaitable[None]],
    keep_s: float,
) -> None:
    """Renew the leases of this process, take over tasks whose lease has expired, delete old tasks; for ever.

    Only tasks at these addresses are taken over. `resume_polling` is called with every task that was taken over and is
    to be polled, `forget_older` with the time before which nothing is kept. Between two cycles it sleeps until the next
    lease is due, at most one lease.
    """
    purge_at, due = -math.inf, clock.now()
    acquired = Wakeup()
    journal.on_acquired(lambda _task: acquired.notify())
    while True:
        pause_s = RENEW_AFTER_S
        try:
            await journal.renew()
            now = clock.now()
            # After a pause of the whole machine every lease has expired. The other processes wake at the same time:
            # give them a round to renew before taking over what is theirs.
            if now - due < LEASE_S - RENEW_AFTER_S:
                await _take_over(journal, store, list(addresses()), resume_polling, now)
                pause_s = await _until_due(journal, store, clock.now())
            if clock.elapsed() >= purge_at:
                purge_at = clock.elapsed() + _PURGE_EVERY_S
                await store.tasks.delete_older(than=now - keep_s)
                await forget_older(now - keep_s)
        except Exception:  # noqa: BLE001  # without this loop other processes would take over all tasks of this one
            _log.exception("leases cannot be renewed; it is tried again")
        due = await _sleep(clock, acquired, pause_s)


async def _until_due(journal: Journal, store: Store, now: float) -> float:
    """Return the seconds until a lease of this process is to be renewed, or one of another process may expire."""
    local_s = RENEW_AFTER_S if journal.leased else LEASE_S
    expires_at = await store.leases.next_expiry(after=now, except_worker=journal.worker_id)
    return min(local_s, math.inf if expires_at is None else expires_at - now)


async def _sleep(clock: Clock, acquired: Wakeup, seconds: float) -> float:
    """Sleep until the next round, which an acquired task brings nearer; return when that was to be, by the calendar."""
    wake_at, due = clock.elapsed() + seconds, clock.now() + seconds
    while (left_s := wake_at - clock.elapsed()) > 0:
        if await acquired.wait(clock, left_s):
            wake_at = min(wake_at, clock.elapsed() + RENEW_AFTER_S)
            due = min(due, clock.now() + RENEW_AFTER_S)
    return due


async def _take_over(
    journal: Journal,
    store: Store,
    addresses: list[tuple[str, str | None]],
    resume_polling: Callable[[Task], None],
    now: float,
) -> None:
    orphans = await store.leases.orphans(now=now, addresses=addresses)
    # what we hold by the store and not in memory is nobody's: something broke off in between
    expired = [
        task.id
        for task, worker_id in orphans
        if (worker_id == journal.worker_id and task.id not in journal) or not _may_still_run(task, worker_id, now)
    ]
    if not expired:
        return
    taken_over = await store.leases.acquire(expired, worker_id=journal.worker_id, lease_until=now + LEASE_S, now=now)
    ours = [task for task in taken_over if task.id not in journal]
    journal.add_leased(ours)
    for task in ours:
        _log.info("task %s (%s) is taken over", task.id, task.submission)
        if task.submission is Submission.ACCEPTED:
            resume_polling(task)
        else:
            await journal.change(task.id, _after_crash)


def _may_still_run(task: Task, worker_id: str, now: float) -> bool:
    """A process that does not renew may be paused and not dead: what it has not sent yet, or waits for, is its own.

    Where it cannot be seen whether it lives, only an answer that may come is left to it: what it has not sent, it
    cannot send any more once somebody else holds it.
    """
    is_running = is_alive(worker_id)
    if task.submission is Submission.ACCEPTED or is_running is False:
        return False
    if task.submission is Submission.PREPARED:
        return is_running is True
    return now - task.updated_at < _ANSWERED_WITHIN_S


def _after_crash(task: Task, now: float) -> Task:
    """What is right for a task that had no answer when its process ended."""
    if task.submission is Submission.SENT:
        error = SubmissionUnconfirmed(
            "The server ended while the provider had the request and had not answered: it may have been charged."
        )
        return unconfirmed(task, error.failure, now)
    return task.refused(NotSubmitted("The server ended before the request was sent.").failure, now)

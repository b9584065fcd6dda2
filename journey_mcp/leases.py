"""Taking over what other processes left behind, and keeping what this one holds."""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable

from journey_mcp.errors import NotSubmitted, SubmissionUnconfirmed
from journey_mcp.holdings import LEASE_S, Holdings
from journey_mcp.owners import is_alive
from journey_mcp.providers.client import LONGEST_SUBMIT_S
from journey_mcp.tasks import Submission, Task
from journey_mcp.webhooks import unanswered

_LOOK_EVERY_S = 2.0
_PURGE_EVERY_S = 3600.0
_ANSWERED_WITHIN_S = LONGEST_SUBMIT_S + 60.0
"""No creating request is waited for longer than that; an upload before it costs nothing when it is lost."""

_log = logging.getLogger(__name__)


async def keep(
    holdings: Holdings,
    *,
    addresses: Callable[[], Iterable[tuple[str, str | None]]],
    go_on: Callable[[Task], None],
    forget_older: Callable[[float], Awaitable[None]],
    keep_s: float,
) -> None:
    """Renew our leases, take over what runs at our addresses and nobody holds, delete what is too old; for ever.

    `go_on` is told of every task that was taken over and is to be polled, `forget_older` of the time before which
    nothing is kept.
    """
    clock, purge_at, last_look = holdings.clock, -math.inf, holdings.clock.now()
    while True:
        try:
            await holdings.renew()
            now = clock.now()
            # After a pause of the whole machine every lease looks old. The others wake in this moment too:
            # give them a round to renew before taking what is theirs.
            if now - last_look < LEASE_S:
                await _take_over(holdings, list(addresses()), go_on)
            last_look = now
            if clock.elapsed() >= purge_at:
                purge_at = clock.elapsed() + _PURGE_EVERY_S
                await holdings.store.delete_older(than=now - keep_s)
                await forget_older(now - keep_s)
        except Exception:  # noqa: BLE001  # without this loop every task of ours would be taken for orphaned
            _log.exception("leases cannot be looked after; it is tried again")
        await clock.sleep(_LOOK_EVERY_S)


async def _take_over(
    holdings: Holdings, addresses: list[tuple[str, str | None]], go_on: Callable[[Task], None]
) -> None:
    now = holdings.clock.now()
    orphans = await holdings.store.orphans(now=now, addresses=addresses)
    # what we hold by the store and not in memory is nobody's: something broke off in between
    wanted = [
        task.id
        for task, owner in orphans
        if (owner == holdings.owner and task.id not in holdings) or not _may_still_go_on(task, owner, now)
    ]
    if not wanted:
        return
    adopted = await holdings.store.adopt(wanted, owner=holdings.owner, lease_until=now + LEASE_S, now=now)
    ours = [task for task in adopted if task.id not in holdings]
    holdings.take(ours)
    for task in ours:
        _log.info("task %s (%s) is taken over", task.id, task.submission)
        if task.submission is Submission.ACCEPTED:
            go_on(task)
        else:
            await holdings.change(task.id, _ended_by_a_crash)


def _may_still_go_on(task: Task, owner: str, now: float) -> bool:
    """A process that does not renew may be paused and not dead: what it has not sent yet, or waits for, is its own.

    Where it cannot be seen whether it lives, only an answer that may come is left to it: what it has not sent, it
    cannot send any more once somebody else holds it.
    """
    is_there = is_alive(owner)
    if task.submission is Submission.ACCEPTED or is_there is False:
        return False
    if task.submission is Submission.PREPARED:
        return is_there is True
    return now - task.updated_at < _ANSWERED_WITHIN_S


def _ended_by_a_crash(task: Task, now: float) -> Task:
    """What is right for a task that had no answer when its process ended."""
    if task.submission is Submission.SENT:
        unconfirmed = SubmissionUnconfirmed(
            "The server ended while the provider had the request and had not answered: it may have been charged."
        )
        return unanswered(task, unconfirmed.failure, now)
    return task.refused(NotSubmitted("The server ended before the request was sent.").failure, now)

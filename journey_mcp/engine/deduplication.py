"""Deduplication: a duplicate call returns the task of the first one, which is not paid for twice."""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import PerhapsPaid, StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.runs import RunEntry
from journey_mcp.core.tasks import RUN_KEY, DuplicatePolicy, Task
from journey_mcp.engine.journal import Journal
from journey_mcp.store import Store

KEPT_S = 600.0
"""How long a duplicate call gets a result that no client has received, and is refused after an unconfirmed end."""
_QUICK_S = 5.0
"""Every client still waits for an answer that comes within this time. A later one may reach a client that gave up and
repeats the call."""
_REPEATED_WITHIN_S = 60.0
"""Such a client repeats its call sooner than this; a person who wants another image does so later."""
_STORED_AFTER_S = 0.05
_STORED_AGAIN_S = 1.0
"""How long after a failure acknowledgements are stored again."""

_NO_ACCOUNTS: Mapping[str, str] = MappingProxyType({})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Created:
    """The result of a call: a new task, or the task of the call that it duplicates."""

    task: Task
    notice: Notice | None = None
    """Why the task is that of another call; for this caller only."""


def digest(
    request: ImageRequest,
    images: Sequence[str] = (),
    sandbox_url: str | None = None,
    own_accounts: Mapping[str, str] = _NO_ACCOUNTS,
    entry: RunEntry | None = None,
) -> str:
    """Return the deduplication key: every argument, the content of the files that they name, and the place in a run.

    The request names its images as `InputImages.named_in` does. A sandbox ends with its server, so its tasks have
    keys that no other server has. `own_accounts` are the ids of the caller's own accounts that may run it, by provider:
    a call that another account pays is no duplicate. The key of a request of a run equals that of no other request.
    """
    # "pictures": the word in the keys that are stored
    plain: dict[str, Any] = {"request": request.as_plain(), "pictures": list(images)}
    if sandbox_url:
        plain["sandbox"] = sandbox_url
    if own_accounts:
        plain["accounts"] = dict(own_accounts)
    if entry:
        plain["run"] = [entry.run_id, entry.index]
    key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return RUN_KEY + key if entry else key


class Deduplication:
    """Search for the task that a call duplicates, and record of the results that a client has (acknowledged)."""

    def __init__(self, journal: Journal, store: Store, clock: Clock) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._acknowledged: dict[str, float] = {}
        """Acknowledged tasks that are not stored as such, each with the time from which that counts."""
        self._wakeup = Wakeup()

    async def find(self, principal: Principal, key: str) -> Created | None:
        """Return the task of a duplicate call, if it is running or no client has received its result.

        A task of a run is returned for good: the run has paid for it, or may have.

        Raises:
            PerhapsPaid: a duplicate call ended a short while ago without an answer.
        """
        now = self._clock.now()
        # before the store is read: by then it may know them, and they are not in `_acknowledged` any more
        acknowledged = self._due(now)
        while True:
            task = await self._store.deduplication.find(
                principal=principal, deduplication_key=key, unconfirmed_since=now - KEPT_S
            )
            if task is None:
                return None
            task = self._journal.get(task.id) or task
            age_s = now - (task.updated_at if task.status.is_final else task.created_at)
            if task.duplicate_policy is DuplicatePolicy.REJECT:
                raise PerhapsPaid(
                    f"An identical request ended {age_s:.0f} s ago as task {task.id} without an answer. "
                    "It may have been charged."
                )
            if task.is_of_run or not (task.id in acknowledged or (task.status.is_final and age_s > KEPT_S)):
                return _joined(task, age_s)
            # behind it there may be one that ended unconfirmed
            await self._store.deduplication.detach(task.id)

    async def detach_all(self, principal: Principal, key: str) -> None:
        """Let later duplicate calls find none of the principal's tasks with this key."""
        await self._store.deduplication.detach_all(principal=principal, deduplication_key=key)

    def acknowledge(self, tasks: Sequence[Task], *, asked_at: float | None = None, may_be_lost: bool = False) -> None:
        """Note that a client has these results: duplicate calls create new images from now on.

        With `asked_at`, by `Clock.elapsed`, they answer the call that created them. If that took long, the client may
        have given up, and a repeated call gets the same task for another minute; so it does if the answer `may_be_lost`
        on its way, because a proxy or this process dies.
        """
        is_quick = asked_at is None or (self._clock.elapsed() - asked_at <= _QUICK_S and not may_be_lost)
        since = self._clock.now() + (0.0 if is_quick else _REPEATED_WITHIN_S)
        for task in tasks:
            if task.status is Status.SUCCEEDED and task.duplicate_policy and not task.is_of_run:
                self._acknowledged[task.id] = min(since, self._acknowledged.get(task.id, math.inf))
        if self._acknowledged:
            self._wakeup.notify()

    async def store_acknowledged(self) -> None:
        """Store which results were acknowledged, for the other processes; all at once, and no call waits for it."""
        stored = {task_id for task_id in self._due(self._clock.now()) if self._journal.is_stored(task_id)}
        if not stored:
            return
        try:
            await self._store.deduplication.acknowledge(list(stored))
        except StoreUnavailable:
            _log.exception("acknowledged results cannot be stored; it is tried again")
        else:
            for task_id in stored:
                self._acknowledged.pop(task_id, None)  # the end of the process stores them at the same time

    async def run(self) -> None:
        """Store acknowledgements when they are due, for ever."""
        while True:
            next_s = min(self._acknowledged.values(), default=math.inf) - self._clock.now()
            await self._wakeup.wait(self._clock, max(next_s, _STORED_AGAIN_S))
            # the answer goes out first: it and this would slow each other down
            await self._clock.sleep(_STORED_AFTER_S)
            await self.store_acknowledged()

    def _due(self, now: float) -> frozenset[str]:
        return frozenset(task_id for task_id, since in self._acknowledged.items() if since <= now)


def _joined(task: Task, age_s: float) -> Created:
    code = "duplicate_finished" if task.status.is_final else "duplicate_running"
    return Created(task, Notice.of(code, age_s=round(age_s)))

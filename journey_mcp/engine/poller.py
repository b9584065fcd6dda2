"""Polling: a schedule of leased tasks for every address, in batches if it takes several in one request."""

import itertools
import logging
import math
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from journey_mcp.core import telemetry
from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import (
    CredentialsRejected,
    JourneyError,
    KeyLost,
    LostUpstream,
    NoImage,
    SandboxGone,
    Unreachable,
)
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.tasks import Task
from journey_mcp.core.text import encoded_id, timestamp
from journey_mcp.engine import backoff
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.engine.poll_schedule import PollSchedule
from journey_mcp.engine.upstreams import Upstreams
from journey_mcp.providers.clients import Upstream
from journey_mcp.registry import Offer

MAX_UNKNOWN_S = 900.0
"""A task that its provider does not know for so long is lost; a gateway may answer 404 while it is redeployed."""
_MAX_EMPTY = 5
"""How often a finished task without an image is polled: the image may come later."""
_NOTICE_AFTER = 5
"""After so many failed polls in a row, or answers that do not know the task, it gets a notice."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Polled:
    """What the schedule keeps of a task; small, because there may be thousands."""

    task_id: str
    offer: Offer | None
    polls: int = 0
    failures: int = 0
    """Failed polls in a row, or answers that do not know the task."""
    failing_since: float = 0.0
    empties: int = 0
    """Answers that called it finished without an image."""
    due: float = 0.0
    """When it is, or was last, to be polled."""
    is_scheduled: bool = False


class Poller:
    """The schedule of all polls.

    `takes_webhooks`: this process takes webhooks, and polls of tasks that have one are only its backup.
    """

    def __init__(
        self,
        journal: Journal,
        outcomes: Outcomes,
        clock: Clock,
        upstreams: Upstreams,
        *,
        takes_webhooks: bool = False,
    ) -> None:
        self._journal = journal
        self._outcomes = outcomes
        self._clock = clock
        self._upstreams = upstreams
        self._takes_webhooks = takes_webhooks
        self._schedules: dict[Upstream, PollSchedule[_Polled]] = {}
        """For every address at which something is polled."""
        self._polled: dict[str, _Polled] = {}
        """What is scheduled or being polled: a task that is added twice is polled once."""
        self._next = math.inf
        """When `run` continues."""
        self._wakeup = Wakeup()

    def add(self, task: Task, *, now: bool = False) -> None:
        """Poll this leased task until it is final; with `now`, for the first time at once."""
        polled = self._polled.setdefault(task.id, _Polled(task.id, self._upstreams.offer_of(task)))
        self._schedule(polled, at_once=now)

    async def run(self) -> None:
        """Poll what is due, for ever."""
        async with anyio.create_task_group() as group:
            while True:
                due = (schedule.next_due for schedule in self._schedules.values())
                self._next = min(due, default=self._clock.elapsed() + 3600.0)
                # also if a poll is late already: other work of the process runs in between
                if not await self._wakeup.wait(self._clock, self._next - self._clock.elapsed()):
                    self._start_due(group, self._clock.elapsed())

    def _start_due(self, group: TaskGroup, now: float) -> None:
        """Start the polls that are due, at every address."""
        for upstream, schedule in list(self._schedules.items()):
            while batch := self._batch(schedule, now):
                group.start_soon(self._poll, upstream, batch)
            if not schedule:
                # the account may be a caller's, whose key does not stay in memory; nothing is booked in the calendar
                del self._schedules[upstream]

    def _batch(self, schedule: PollSchedule[_Polled], now: float) -> list[_Polled]:
        """Take one batch from a schedule: what is due, filled up with what is due next and may be early."""
        batch: list[_Polled] = []
        while len(batch) < schedule.batch_limit and (polled := schedule.pop(now, early=bool(batch))) is not None:
            polled.is_scheduled = False
            if polled.task_id in self._journal:
                batch.append(polled)
            else:
                self._polled.pop(polled.task_id, None)
        return batch

    async def _poll(self, upstream: Upstream, batch: list[_Polled]) -> None:
        try:
            await self._fetch(upstream, batch)
        except Exception:  # noqa: BLE001  # the outermost boundary of a poll: other polls continue
            _log.exception("a poll failed in our own code; it is tried again")
            for polled in batch:
                polled.polls += 1
                self._schedule(polled)

    async def _fetch(self, upstream: Upstream, batch: list[_Polled]) -> None:
        handles: dict[Handle, list[_Polled]] = {}
        ours = await self._journal.verify_leases([polled.task_id for polled in batch])
        for polled in batch:
            if polled.task_id not in ours:
                self._polled.pop(polled.task_id, None)
            elif (task := self._journal.get(polled.task_id)) and task.handle:
                handles.setdefault(task.handle, []).append(polled)
        if not handles:
            return
        try:
            async with upstream.room:
                late_s = max(self._clock.elapsed() - min(polled.due for polled in batch), 0.0)
                with telemetry.measure("request", purpose="poll", provider=upstream.name) as request:
                    request.set(tasks=len(handles), late_s=late_s)
                    answers = await upstream.provider.fetch(list(handles))
        except JourneyError as error:
            for polled in itertools.chain(*handles.values()):
                await self._on_error(polled, upstream, error)
            return
        for handle, tasks in handles.items():
            for polled in tasks:
                await self._on_prediction(polled, upstream, answers.get(handle.prediction_id))

    async def _on_prediction(self, polled: _Polled, upstream: Upstream, prediction: Prediction | None) -> None:
        if prediction is None:
            unknown_s = self._count_failure(polled)
            if unknown_s > MAX_UNKNOWN_S or (upstream.is_sandbox and polled.failures > 1):
                await self._end_without_image(polled, None, _lost(upstream))
                return
            await self._notice_failures(polled, Notice.of("poll_unknown"))
        else:
            polled.failures = 0
            polled.empties += prediction.is_empty
            if polled.empties >= _MAX_EMPTY:
                await self._end_without_image(polled, prediction, _without_image())
                return
            await self._outcomes.apply(polled.task_id, prediction, polled.offer)
        polled.polls += 1
        self._schedule(polled)

    async def _end_without_image(self, polled: _Polled, last: Prediction | None, reason: JourneyError) -> None:
        """End a task of which no more is to come: succeeded if images were reported before, else failed."""
        task = self._journal.get(polled.task_id)
        if task is None or task.prediction_id is None or not task.images:
            await self._fail(polled, reason)
            return
        latest = last or Prediction(prediction_id=task.prediction_id, status=Status.RUNNING)
        finished = replace(latest, status=Status.SUCCEEDED, images=task.images)
        await self._outcomes.apply(polled.task_id, finished, polled.offer)

    async def _on_error(self, polled: _Polled, upstream: Upstream, error: JourneyError) -> None:
        """Schedule the next poll, which is free; end the task if it ran in a sandbox that has ended."""
        failing_s = self._count_failure(polled)
        if upstream.is_sandbox and isinstance(error, Unreachable) and polled.failures > 1:
            await self._fail(polled, _lost(upstream))
            return
        if isinstance(error, CredentialsRejected):
            if upstream.is_of_caller and failing_s > MAX_UNKNOWN_S:
                await self._journal.change(polled.task_id, partial(key_lost, str(error)))
                return
            notice = Notice.of("key_rejected", reason=str(error))
            await self._journal.change(polled.task_id, lambda task, now: task.noticed(notice, now))
        else:
            await self._notice_failures(polled, Notice.of("poll_failed", reason=str(error)))
        # a sandbox that has ended is normal
        level = logging.INFO if upstream.is_sandbox else logging.WARNING
        _log.log(level, "poll of task %s: %s", polled.task_id, error)
        polled.polls += 1
        self._schedule(polled, error.failure.retry_after_s)

    def _count_failure(self, polled: _Polled) -> float:
        """Count a failure; return for how many seconds polls have failed."""
        now = self._clock.elapsed()
        if not polled.failures:
            polled.failing_since = now
        polled.failures += 1
        return now - polled.failing_since

    async def _notice_failures(self, polled: _Polled, notice: Notice) -> None:
        if polled.failures == _NOTICE_AFTER:
            await self._journal.change(polled.task_id, lambda task, now: task.noticed(notice, now))

    async def _fail(self, polled: _Polled, reason: JourneyError) -> None:
        await self._journal.change(polled.task_id, lambda task, now: task.failed(reason.failure, now))

    def _schedule(self, polled: _Polled, retry_after_s: float | None = None, *, at_once: bool = False) -> None:
        task = self._journal.get(polled.task_id)
        if task is None or task.status.is_final:
            self._polled.pop(polled.task_id, None)
            return
        if polled.is_scheduled:
            return
        usual_s = polled.offer.usual_duration_s if polled.offer else None
        age_s = self._clock.now() - task.created_at
        is_backup = self._takes_webhooks and task.callback_deadline is not None  # its webhook usually comes first
        delay_s = 0.0
        if not at_once:
            delay_s = backoff.poll_delay(
                polled.polls, age_s=age_s, usual_s=usual_s, retry_after_s=retry_after_s, is_backup=is_backup
            )
        slack_s = backoff.poll_slack(delay_s, retry_after_s=retry_after_s, is_backup=is_backup)
        upstream = self._upstreams.upstream_of(task)
        schedule = self._schedules.get(upstream)
        if schedule is None:
            schedule = self._schedules[upstream] = PollSchedule(upstream.batch_limit)
        polled.due = schedule.add(polled, self._clock.elapsed() + delay_s, slack_s=slack_s)
        polled.is_scheduled = True
        if polled.due < self._next:
            self._wakeup.notify()


def key_lost(reason: str, task: Task, now: float) -> Task:
    """Return a task of which nothing can be asked any more, because the caller's own key is of no use."""
    known = f" (its id there: {encoded_id(task.prediction_id)})" if task.prediction_id else ""
    failure = KeyLost(
        f"{reason} For {MAX_UNKNOWN_S / 60:.0f} minutes the task could not be asked about at {task.provider}. "
        "The image may have been made, and charged to your own account there.",
        next_step=ask_person(
            f"Look into the account whose key was used at {task.provider}, for the task{known} of {task.request.label} "
            f"made at about {timestamp(task.created_at)}, before this call is repeated."
        ),
    ).failure
    return task.failed(failure, now)


def _lost(upstream: Upstream) -> JourneyError:
    if upstream.is_sandbox:
        return SandboxGone("The sandbox that was making this image has ended.")
    return LostUpstream("The provider does not know this task any more: it may have been charged.")


def _without_image() -> JourneyError:
    return NoImage("The provider reports this task as finished, but returns no image: it may have been charged.")

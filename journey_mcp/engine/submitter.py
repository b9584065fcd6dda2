"""Submission of one creating request: stored before it is sent, and after it is answered.

It is sent once. It is sent again, or to the next provider, only if it is known that nothing was created.
"""

from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction

from journey_mcp.core import telemetry
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import (
    Failure,
    JourneyError,
    NotSubmitted,
    RateLimited,
    StoreUnavailable,
    SubmissionUnconfirmed,
    Unreachable,
)
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Prediction
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine import backoff
from journey_mcp.engine.callbacks import CallbackUrls, unconfirmed
from journey_mcp.engine.failover import Attempt, Failover
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outage import outlast
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.engine.queue import HasAlternative, Queues, Slot
from journey_mcp.providers.base import Account, SupportsUpload
from journey_mcp.providers.http import Later
from journey_mcp.registry import Offer

_NOT_STORED = "The store cannot be written, so nothing was sent: after a crash the task would be lost."


class _Obsolete(Exception):
    """There is nothing to send: another worker leases the task, it was canceled, or a webhook reported it."""


class Submitter:
    """A stored task on its way to the first provider that accepts it."""

    def __init__(
        self,
        task_id: str,
        failover: Failover,
        journal: Journal,
        outcomes: Outcomes,
        queues: Queues,
        clock: Clock,
        callback_urls: CallbackUrls,
    ) -> None:
        self._task_id = task_id
        self._failover = failover
        self._journal = journal
        self._outcomes = outcomes
        self._queues = queues
        self._clock = clock
        self._callback_urls = callback_urls
        self._at_once: tuple[Slot | None, Awaitable[Prediction] | None] = None, None
        """The slot and the encoded request of a task that is stored as sent."""

    async def sent_at_once(self, task: Task) -> Task:
        """Return a task that is not stored yet as it is to be stored: as sent, if nothing delays its request.

        That saves the write between storing and sending. The request is encoded already: only what can be sent is
        stored as sent.
        """
        attempt = self._failover.first
        slot = self._queues.of(attempt.account).grant(task, self._has_alternative())
        request, _ = await attempt.prepare()
        may_upload = request.has_images and isinstance(attempt.provider, SupportsUpload)
        if slot is None or may_upload or iscoroutinefunction(attempt.provider.submit):
            return task
        try:
            self._at_once = slot, self._encoded(request, task, attempt)
        except JourneyError:
            return task  # it is encoded again, and fails, once the task is stored
        return self._sent(attempt.account, task, self._clock.now())

    async def run(self) -> tuple[Task | None, Offer]:
        """Make one attempt after another until the task is accepted or final.

        Return the task, or `None` if it is not leased any more, and the offer of the last attempt.
        """
        attempt = self._failover.first
        while True:
            try:
                return await self._try(attempt), attempt.offer
            except _Obsolete:
                return self._journal.get(self._task_id), attempt.offer
            except SubmissionUnconfirmed as error:
                return await self._journal.change(self._task_id, partial(_unconfirmed, error.failure)), attempt.offer
            except JourneyError as error:
                # nothing was created: that is stored before another provider is tried
                task = await self._journal.change(self._task_id, Task.requeue)
                if task is None or task.submission is Submission.ACCEPTED:
                    return task, attempt.offer  # a webhook has reported that it was created
                if next_attempt := await self._failover.after(attempt, error):
                    attempt = next_attempt
                    continue
                end = partial(_refused, self._failover.failure)
                return await self._journal.change(self._task_id, end), attempt.offer

    async def _try(self, attempt: Attempt) -> Task | None:
        request, _ = await attempt.prepare()
        prediction = await self._send(request, attempt)
        # the provider's id is paid for: it is stored before anything else
        task = await self._outcomes.accepted(self._task_id, prediction, attempt.offer)
        await self._failover.accepted(attempt)
        return task

    async def _send(self, request: PreparedRequest, attempt: Attempt) -> Prediction:
        """Return the provider's answer. Without a connection, or at its limit, the request is sent again."""
        request = await self._with_uploads(request, attempt)
        task = self._journal.get(self._task_id)
        if task is None:
            raise _Obsolete
        queue = self._queues.of(attempt.account)
        (previous, answer), self._at_once = self._at_once, (None, None)
        while True:
            async with queue.slot(task, self._has_alternative(), previous=previous) as slot:
                self._check_obsolete()
                answer = answer or await self._journal_sent(request, attempt)
                try:
                    with _request("submit", attempt):
                        prediction = await answer
                except (RateLimited, Unreachable) as error:
                    is_retried = await slot.report(error)
                    await self._requeue(error, is_retried=is_retried)
                    if not is_retried:
                        raise
                else:
                    await slot.report(None)
                    return prediction
            previous, answer = slot, None

    def _has_alternative(self) -> HasAlternative | None:
        return None if self._failover.is_exhausted else self._failover.has_next

    async def _with_uploads(self, request: PreparedRequest, attempt: Attempt) -> PreparedRequest:
        """Upload what is too large for the request; return the request with its address.

        The task is not `sent` meanwhile: nothing that fails here can have been charged.
        """
        started, tries = self._clock.elapsed(), 0
        while request.has_images and isinstance(attempt.provider, SupportsUpload):
            self._check_obsolete()
            try:
                with _request("upload", attempt):
                    return await attempt.provider.upload(request)
            except (RateLimited, Unreachable) as error:
                has_alternative, refused_s = await self._failover.has_next(), self._clock.elapsed() - started
                delay_s = backoff.retry_delay(error, tries, refused_s, has_alternative=has_alternative)
                if delay_s is None:
                    raise
                await self._requeue(error, is_retried=True)
                await self._clock.sleep(delay_s)
                tries += 1
        return request

    async def _requeue(self, error: RateLimited | Unreachable, *, is_retried: bool) -> None:
        """Put the task back: nothing was created. The caller is notified if the same provider is its only chance."""
        is_noticed = is_retried and self._failover.is_exhausted
        await self._journal.change(self._task_id, partial(_requeue, error) if is_noticed else Task.requeue)

    def _check_obsolete(self) -> None:
        """Raise if the process shuts down, if another worker leases the task, or if it was canceled."""
        if self._journal.is_shutting_down:
            raise NotSubmitted("The server ended before the request was sent.")
        task = self._journal.get(self._task_id)
        if task is None or task.status.is_final:
            raise _Obsolete

    async def _journal_sent(self, request: PreparedRequest, attempt: Attempt) -> Awaitable[Prediction]:
        """Encode the creating request, and store the task as sent; return the answer, which is to be awaited at once.

        A task that cannot be stored stays unsent, and is tried again: nothing is lost by that.

        Raises:
            _Obsolete: the task is leased by another worker, has ended, or was reported by a webhook.
            NotSubmitted: the process shuts down.
            SetupError: the request cannot be encoded.
            StoreUnavailable: the task could not be stored for `OUTAGE_S`.
        """
        return await outlast(
            self._clock, partial(self._store_sent, request, attempt), lambda: self._journal.is_shutting_down
        )

    async def _store_sent(self, request: PreparedRequest, attempt: Attempt) -> Awaitable[Prediction]:
        self._check_obsolete()
        task = self._journal.get(self._task_id)
        if task is None:
            raise _Obsolete
        answer = self._encoded(request, task, attempt)
        task = await self._journal.change(self._task_id, partial(self._sent, attempt.account))
        if task is None or task.submission is not Submission.SENT:
            raise _Obsolete
        if not self._journal.is_stored(self._task_id):
            await self._journal.change(self._task_id, _unsent)
            raise StoreUnavailable(_NOT_STORED)
        return answer

    def _encoded(self, request: PreparedRequest, task: Task, attempt: Attempt) -> Awaitable[Prediction]:
        webhook = self._callback_urls.of(task, attempt.account)
        request = replace(request, webhook=webhook) if webhook else request
        encode = partial(attempt.provider.submit, request, attempt.offer)
        return Later(encode) if iscoroutinefunction(attempt.provider.submit) else encode()

    def _sent(self, account: Account, task: Task, now: float) -> Task:
        return task.sent(now, self._callback_urls.callback_deadline(task, account, now))


def _request(purpose: str, attempt: Attempt) -> telemetry.Operation:
    return telemetry.measure("request", purpose=purpose, provider=attempt.account.provider, model=attempt.offer.model)


def _requeue(error: RateLimited | Unreachable, task: Task, now: float) -> Task:
    if isinstance(error, RateLimited):
        notice = Notice.of("retrying_for", reason=str(error), minutes=backoff.RATE_LIMIT_MAX_WAIT_S / 60)
    else:
        notice = Notice.of("retrying", reason=str(error))
    return task.requeue(now).noticed_transiently(notice, now)


def _unsent(task: Task, now: float) -> Task:
    return task.requeue(now).noticed_transiently(Notice.of("database_awaited"), now)


def _refused(failure: Failure, task: Task, now: float) -> Task:
    return task.refused(failure, now)


def _unconfirmed(failure: Failure, task: Task, now: float) -> Task:
    return unconfirmed(task, failure, now)

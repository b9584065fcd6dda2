"""One creating request, carried through: journaled before it leaves and after it is answered.

It is sent once; again, or to the next provider, only where it is known that nothing was created.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import iscoroutinefunction

from journey_mcp.core.errors import (
    CredentialsRejected,
    Failure,
    InvalidRequest,
    JourneyError,
    NotSubmitted,
    OutOfCredits,
    RateLimited,
    StoreUnavailable,
    SubmissionUnconfirmed,
    Unreachable,
)
from journey_mcp.core.money import Charges, Cost
from journey_mcp.core.notices import AnyNotice
from journey_mcp.core.predictions import Prediction
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.engine import backoff
from journey_mcp.engine.budget import Budget
from journey_mcp.engine.callbacks import CallbackUrls, unconfirmed
from journey_mcp.engine.cooldowns import Cooldowns
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.engine.queue import Queues, Slot
from journey_mcp.providers import Account, Provider, TellsBalance, Uploads
from journey_mcp.providers.http import Later
from journey_mcp.registry import Offer

_NOT_STORED = "The store cannot be written, so nothing was sent: after a crash nobody would know of it."
_TRY_NEXT = (Unreachable, CredentialsRejected, OutOfCredits, RateLimited)
"""Refusals that are the provider's own trouble: another one may do better."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One provider that may run the task."""

    offer: Offer
    account: Account
    provider: Provider
    cost: Cost | None
    charges: Charges
    notices: tuple[AnyNotice, ...]
    prepare: Callable[[], Awaitable[tuple[PreparedRequest, tuple[AnyNotice, ...]]]]
    """Brings the pictures as this offer takes them; raises `InvalidRequest` when that cannot be done."""


class _Obsolete(Exception):
    """There is nothing more to send: somebody else has the task, it was called off, or a webhook told of it."""


class Submitter:
    """A stored task on its way to the first provider that takes it.

    `callback_urls` has the addresses to which providers report it; `notices_of_first` are the notices of the task that
    apply to its first attempt only.
    """

    def __init__(
        self,
        task_id: str,
        attempts: Sequence[Attempt],
        outcomes: Outcomes,
        cooldowns: Cooldowns,
        budget: Budget,
        queues: Queues,
        *,
        callback_urls: CallbackUrls,
        notices_of_first: Sequence[AnyNotice] = (),
    ) -> None:
        self._task_id = task_id
        self._attempts = list(attempts)
        self._outcomes = outcomes
        self._journal = outcomes.journal
        self._clock = self._journal.clock
        self._cooldowns = cooldowns
        self._budget = budget
        self._callback_urls = callback_urls
        self._queues = queues
        self._attempt_notices = tuple(notices_of_first)
        self._refused: dict[str, JourneyError] = {}

    async def run(self) -> tuple[Task | None, Offer]:
        """Try one attempt after another; afterwards the task is accepted or final.

        The first attempt is where the task stands already. Returns the task, `None` when it is not ours any more,
        and the offer it ended at.
        """
        attempt = self._attempts.pop(0)
        while True:
            try:
                return await self._try(attempt), attempt.offer
            except _Obsolete:
                return self._journal.get(self._task_id), attempt.offer
            except SubmissionUnconfirmed as error:
                return await self._journal.change(self._task_id, partial(_unconfirmed, error.failure)), attempt.offer
            except JourneyError as error:
                # nothing was created: that is known, and stored, before anybody else is asked for anything
                task = await self._journal.change(self._task_id, Task.requeue)
                if task is None or task.submission is Submission.ACCEPTED:
                    return task, attempt.offer  # a webhook knows better
                self._refused[attempt.account.provider] = await _with_balance(error, attempt.provider)
                if isinstance(error, _TRY_NEXT):
                    await self._cooldowns.begin(attempt.account, str(error))
                    if next_attempt := await self._next():
                        attempt = next_attempt
                        continue
                end = partial(_refused, _combined(self._refused))
                return await self._journal.change(self._task_id, end), attempt.offer

    async def _try(self, attempt: Attempt) -> Task | None:
        request, _ = await attempt.prepare()
        prediction = await self._send(request, attempt)
        # the provider's id is paid for: nothing comes before it is stored
        task = await self._outcomes.accepted(self._task_id, prediction, attempt.offer)
        await self._cooldowns.end(attempt.account)
        return task

    async def _has_next(self) -> bool:
        """Whether there is another attempt that may be made; those that may not are left out for good."""
        while self._attempts:
            attempt = self._attempts[0]
            refusal = self._exceeds_call_limit(attempt)
            if refusal is None:
                try:
                    await attempt.prepare()
                except JourneyError as error:
                    refusal = error
                else:
                    return True
            self._refused[self._attempts.pop(0).account.provider] = refusal
        return False

    def _exceeds_call_limit(self, attempt: Attempt) -> JourneyError | None:
        """Why a person's limits on single calls keep the task from an attempt; `None` when they do not."""
        task = self._journal.get(self._task_id)
        if task is None or attempt.account.provider == SANDBOX:
            return None
        there = replace(task, provider=attempt.account.provider, cost=attempt.cost, charges=attempt.charges)
        return self._budget.exceeds_call_limit(there) or self._budget.needs_confirmation(there)

    async def _next(self) -> Attempt | None:
        """The next attempt that the budget allows, with the task at its provider; `None` when there is none.

        The task then tells what holds there, in place of what held before.
        """
        while await self._has_next():
            attempt = self._attempts.pop(0)
            _, more = await attempt.prepare()
            reasons = " ".join(f"{name} did not run it: {error}" for name, error in self._refused.items())
            notices = (f"{reasons} {attempt.account.provider} was tried next.", *attempt.notices, *more)
            task = await self._journal.change(
                self._task_id, partial(_reassigned, attempt, self._attempt_notices, notices)
            )
            self._attempt_notices = notices
            # looked at afterwards: of two tasks that move together each sees the other, and none passes the limit
            over = await self._budget.exceeds_period_limit(task) if task else None
            if over is None:
                return attempt
            self._refused[attempt.account.provider] = over
        return None

    async def _send(self, request: PreparedRequest, attempt: Attempt) -> Prediction:
        """Return the provider's answer. Without a connection, or at its limit, the request is sent again."""
        request = await self._with_uploads(request, attempt)
        task = self._journal.get(self._task_id)
        if task is None:
            raise _Obsolete
        queue, has_alternative = self._queues.of(attempt.account), self._has_next if self._attempts else None
        previous: Slot | None = None
        while True:
            async with queue.slot(task, has_alternative, previous=previous) as slot:
                answer = await self._journal_sent(request, attempt)
                try:
                    prediction = await answer
                except (RateLimited, Unreachable) as error:
                    is_retried = await slot.report(error)
                    await self._requeue(error, is_retried=is_retried)
                    if not is_retried:
                        raise
                else:
                    await slot.report(None)
                    return prediction
            previous = slot

    async def _with_uploads(self, request: PreparedRequest, attempt: Attempt) -> PreparedRequest:
        """The request once what is too large to go with it is uploaded.

        The task is not `sent` meanwhile: nothing that breaks off here can have been charged.
        """
        started, tries = self._clock.elapsed(), 0
        while isinstance(attempt.provider, Uploads):
            self._check_obsolete()
            try:
                return await attempt.provider.upload(request)
            except (RateLimited, Unreachable) as error:
                has_alternative, refused_s = await self._has_next(), self._clock.elapsed() - started
                delay_s = backoff.retry_delay(error, tries, refused_s, has_alternative=has_alternative)
                if delay_s is None:
                    raise
                await self._requeue(error, is_retried=True)
                await self._clock.sleep(delay_s)
                tries += 1
        return request

    async def _requeue(self, error: RateLimited | Unreachable, *, is_retried: bool) -> None:
        """Put the task back: nothing was created. The caller is notified if the same provider is its only chance."""
        is_noticed = is_retried and not self._attempts
        await self._journal.change(self._task_id, partial(_requeue, error) if is_noticed else Task.requeue)

    def _check_obsolete(self) -> None:
        """Nothing more leaves when the process ends, or for a task that somebody else has or that was called off."""
        if self._journal.is_shutting_down:
            raise NotSubmitted("The server ended before the request was sent.")
        task = self._journal.get(self._task_id)
        if task is None or task.status.is_final:
            raise _Obsolete

    async def _journal_sent(self, request: PreparedRequest, attempt: Attempt) -> Awaitable[Prediction]:
        """Encode the creating request, and store that it leaves now; its answer, which is to be awaited at once.

        Raises:
            _Gone, NotSubmitted, StoreUnavailable: it may not.
            SetupError: it cannot be encoded.
        """
        self._check_obsolete()
        task = self._journal.get(self._task_id)
        webhook = self._callback_urls.of(task, attempt.account) if task else None
        encode = partial(attempt.provider.submit, replace(request, webhook=webhook), attempt.offer)
        sending = Later(encode) if iscoroutinefunction(attempt.provider.submit) else encode()
        await self._store_sent(attempt.account)
        return sending

    async def _store_sent(self, account: Account) -> None:
        task = await self._journal.change(
            self._task_id, lambda task, now: task.sent(now, self._callback_urls.callback_deadline(task, account, now))
        )
        if task is None or task.submission is not Submission.SENT:
            raise _Obsolete
        if not self._journal.is_stored(self._task_id):
            raise StoreUnavailable(_NOT_STORED)


def _requeue(error: RateLimited | Unreachable, task: Task, now: float) -> Task:
    for_how_long = (
        f" for up to {backoff.RATE_LIMIT_MAX_WAIT_S / 60:g} minutes" if isinstance(error, RateLimited) else ""
    )
    notice = f"{error} Nothing was created or charged so far; it is tried again by itself{for_how_long}."
    return task.requeue(now).noticed_transiently(notice, now)


def _reassigned(attempt: Attempt, old: Sequence[AnyNotice], new: Sequence[AnyNotice], task: Task, now: float) -> Task:
    task = task.reassigned(attempt.account.provider, attempt.account.base_url, attempt.cost, attempt.charges, now)
    return task.notices_replaced(old, new, now)


def _refused(failure: Failure, task: Task, now: float) -> Task:
    return task.refused(failure, now)


def _unconfirmed(failure: Failure, task: Task, now: float) -> Task:
    return unconfirmed(task, failure, now)


def _combined(refused: dict[str, JourneyError]) -> Failure:
    """One refusal as it is; several together, under the code of the last provider that was asked."""
    asked = [error for error in refused.values() if not isinstance(error, InvalidRequest)]
    if len(refused) == 1:
        return asked[-1].failure
    listed = " ".join(f"{name}: {error}" for name, error in refused.items())
    is_retryable = any(error.retryable for error in asked)
    hope = "Wait a minute and call again, or ask" if is_retryable else "Ask"
    return replace(
        asked[-1].failure,
        message=f"No provider could run this. {listed}",
        retryable=is_retryable,
        next_step=f"Nothing was charged. {hope} the person to mend one of these, or choose another model.",
    )


async def _with_balance(error: JourneyError, provider: Provider) -> JourneyError:
    """Say how much there is, when too little is what stopped us and the provider tells."""
    if not isinstance(error, OutOfCredits) or not isinstance(provider, TellsBalance):
        return error
    try:
        balance = await provider.balance()
    except JourneyError:
        return error
    return OutOfCredits(f"{error} The balance is {balance.amount} {balance.unit}.", next_step=error.failure.next_step)

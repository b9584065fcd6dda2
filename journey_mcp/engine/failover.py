"""Failover: which provider tries a task next, after the providers before it created nothing."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import (
    CredentialsRejected,
    Failure,
    InvalidRequest,
    JourneyError,
    OutOfCredits,
    RateLimited,
    StoreUnavailable,
    Unreachable,
)
from journey_mcp.core.money import Charges, Cost
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.engine.budget import Budget
from journey_mcp.engine.cooldowns import Cooldowns
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outage import outlast
from journey_mcp.providers.base import Account, Provider, SupportsBalance
from journey_mcp.registry import Offer

_TRY_NEXT = (Unreachable, CredentialsRejected, OutOfCredits, RateLimited)
"""Errors that are a problem of the provider: another one may run the task."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One provider that may run the task."""

    offer: Offer
    account: Account
    provider: Provider
    cost: Cost | None
    charges: Charges
    notices: tuple[Notice, ...]
    prepare: Callable[[], Awaitable[tuple[PreparedRequest, tuple[Notice, ...]]]]
    """Prepares the images as this offer takes them, once; raises `InvalidRequest` if that is impossible."""


class Failover:
    """The attempts of one task, in the order in which they are made.

    `notices` are those of the task that apply to its first attempt only.
    """

    def __init__(
        self,
        task_id: str,
        attempts: Sequence[Attempt],
        journal: Journal,
        cooldowns: Cooldowns,
        budget: Budget,
        clock: Clock,
        *,
        notices: Sequence[Notice] = (),
    ) -> None:
        self._task_id = task_id
        self.first = attempts[0]
        """Where the task is already."""
        self._left = list(attempts[1:])
        self._journal = journal
        self._cooldowns = cooldowns
        self._budget = budget
        self._clock = clock
        self._notices = tuple(notices)
        self._refused: dict[str, JourneyError] = {}

    @property
    def is_exhausted(self) -> bool:
        """No attempt is left."""
        return not self._left

    async def has_next(self) -> bool:
        """Return whether there is another attempt that may be made; those that may not are removed."""
        while self._left:
            attempt = self._left[0]
            refusal = self._exceeds_call_limit(attempt)
            if refusal is None:
                try:
                    await attempt.prepare()
                except JourneyError as error:
                    refusal = error
                else:
                    return True
            self._refused[self._left.pop(0).account.provider] = refusal
        return False

    async def after(self, attempt: Attempt, error: JourneyError) -> Attempt | None:
        """Return the attempt that follows one that created nothing, with the task at its provider; `None` if none may.

        A provider whose error is its problem goes on cooldown; only after such an error another one is tried.
        """
        self._refused[attempt.account.provider] = await _with_balance(error, attempt.provider)
        if not isinstance(error, _TRY_NEXT):
            return None
        await self._cooldowns.begin(attempt.account, str(error))
        return await self._next()

    async def accepted(self, attempt: Attempt) -> None:
        """End the cooldown of the provider that accepted the task."""
        await self._cooldowns.end(attempt.account)

    @property
    def failure(self) -> Failure:
        """Why no provider ran the task."""
        return _combined(self._refused)

    async def _next(self) -> Attempt | None:
        """Return the next attempt that the budget allows, with the task at its provider; `None` if there is none.

        The notices of the attempt before are replaced in the task.
        """
        while await self.has_next():
            attempt = self._left.pop(0)
            _, more = await attempt.prepare()
            runner = attempt.account.provider
            failed = (
                Notice.of("provider_failed", provider=name, reason=str(error), runner=runner)
                for name, error in self._refused.items()
            )
            notices = (*failed, *attempt.notices, *more)
            task = await self._journal.change(self._task_id, partial(_reassigned, attempt, self._notices, notices))
            self._notices = notices
            # checked afterwards: of two tasks that move at once, each sees the other, and none exceeds the limit
            over = await self._exceeds_period_limit(task) if task else None
            if over is None:
                return attempt
            self._refused[attempt.account.provider] = over
        return None

    async def _exceeds_period_limit(self, task: Task) -> JourneyError | None:
        """Return why the limits per period do not allow a task, or why that cannot be read; `None` if they do."""
        try:
            return await outlast(
                self._clock, partial(self._budget.exceeds_period_limit, task), lambda: self._journal.is_shutting_down
            )
        except StoreUnavailable as error:
            return error

    def _exceeds_call_limit(self, attempt: Attempt) -> JourneyError | None:
        """Return why the limits per call do not allow an attempt; `None` if they do."""
        task = self._journal.get(self._task_id)
        if task is None or attempt.account.provider == SANDBOX:
            return None
        there = replace(
            task,
            provider=attempt.account.provider,
            cost=attempt.cost,
            charges=attempt.charges,
            sealed_key=attempt.account.sealed_key,
        )
        return self._budget.exceeds_call_limit(there) or self._budget.needs_confirmation(there)


def _reassigned(attempt: Attempt, old: Sequence[Notice], new: Sequence[Notice], task: Task, now: float) -> Task:
    account = attempt.account
    task = task.reassigned(
        account.provider, account.address, attempt.cost, attempt.charges, now, sealed_key=account.sealed_key
    )
    return task.notices_replaced(old, new, now)


def _combined(refused: dict[str, JourneyError]) -> Failure:
    """Return one error as it is; several together, under the code of the last provider that was tried."""
    asked = [error for error in refused.values() if not isinstance(error, InvalidRequest)]
    if len(refused) == 1:
        return asked[-1].failure
    listed = " ".join(f"{name}: {error}" for name, error in refused.items())
    is_retryable = any(error.retryable for error in asked)
    fix = "fix one of these, or choose another model."
    hope = "Wait a minute and call again, or " + ask_person(fix) if is_retryable else ask_person(fix.capitalize())
    return replace(
        asked[-1].failure.advising("Nothing was charged. " + hope),
        message=f"No provider could run this. {listed}",
        retryable=is_retryable,
    )


async def _with_balance(error: JourneyError, provider: Provider) -> JourneyError:
    """Add the balance to an error that says that it is too low, if the provider reports it."""
    if not isinstance(error, OutOfCredits) or not isinstance(provider, SupportsBalance):
        return error
    try:
        balance = await provider.balance()
    except JourneyError:
        return error
    return OutOfCredits(f"{error} The balance is {balance.amount} {balance.unit}.", next_step=error.failure.advice)

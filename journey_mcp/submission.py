"""One creating request, carried through: journaled before it leaves and after it is answered.

It is sent once; again, or to the next provider, only where it is known that nothing was created.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from journey_mcp import pacing
from journey_mcp.delivery import Delivery
from journey_mcp.errors import (
    CredentialsRejected,
    Failure,
    InvalidRequest,
    JourneyError,
    OutOfCredits,
    RateLimited,
    SetupError,
    SubmissionUnconfirmed,
    Unreachable,
)
from journey_mcp.providers import Account, Provider, TellsBalance
from journey_mcp.registry import Offer
from journey_mcp.requests import PreparedRequest
from journey_mcp.store import Rest
from journey_mcp.tasks import Cost, Prediction, Task

REST_S = 300.0
"""For so long a provider that refused is tried last."""
_NOT_STORED = "The store cannot be written, so nothing was sent: after a crash nobody would know of it."
_ELSEWHERE = (Unreachable, CredentialsRejected, OutOfCredits, RateLimited)
"""Refusals that are the provider's own trouble: another one may do better."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One provider that may run the task."""

    offer: Offer
    account: Account
    provider: Provider
    cost: Cost | None
    notices: tuple[str, ...]
    prepare: Callable[[], Awaitable[tuple[PreparedRequest, tuple[str, ...]]]]
    """Brings the pictures as this offer takes them; raises `InvalidRequest` when that cannot be done."""
    is_resting: bool = False


class _Gone(Exception):
    """The task is not ours any more."""


async def submit(task_id: str, attempts: Sequence[Attempt], delivery: Delivery) -> tuple[Task | None, Offer]:
    """Bring a stored task to the first provider that takes it; afterwards it is accepted or final.

    The first attempt is where the task stands already. Returns the task, `None` when it is not ours any more, and
    the offer it ended at.
    """
    refused: dict[str, JourneyError] = {}
    for number, attempt in enumerate(attempts):
        is_last = number == len(attempts) - 1
        try:
            request = await _moved(task_id, attempt, refused, delivery)
            prediction = await _sent(task_id, request, attempt, delivery, is_last=is_last)
        except _Gone:
            return None, attempt.offer
        except InvalidRequest as error:
            refused[attempt.account.provider] = error
        except SubmissionUnconfirmed as error:
            return await delivery.holdings.change(task_id, partial(_failed, error.failure)), attempt.offer
        except JourneyError as error:
            # nothing was created: that is known, and stored, before anybody else is asked for anything
            await delivery.holdings.change(task_id, Task.put_back)
            refused[attempt.account.provider] = await _with_balance(error, attempt.provider)
            if not isinstance(error, _ELSEWHERE):
                break
            await _rest(attempt.account, str(error), delivery, seconds=REST_S)
        else:
            if attempt.is_resting:
                await _rest(attempt.account, "", delivery, seconds=0.0)
            return await delivery.accepted(task_id, prediction, attempt.offer), attempt.offer
    failure = _everybody(refused)
    return await delivery.holdings.change(task_id, lambda task, now: task.refused(failure, now)), attempt.offer


async def _moved(
    task_id: str, attempt: Attempt, refused: dict[str, JourneyError], delivery: Delivery
) -> PreparedRequest:
    """The request in this attempt's form, with the task at its provider."""
    request, told = await attempt.prepare()
    if refused:
        reasons = " ".join(f"{name} did not run it: {error}" for name, error in refused.items())
        notices = (f"{reasons} {attempt.account.provider} was tried next.", *attempt.notices, *told)
        await delivery.holdings.change(task_id, partial(_at_next, attempt, notices))
    return request


async def _sent(
    task_id: str, request: PreparedRequest, attempt: Attempt, delivery: Delivery, *, is_last: bool
) -> Prediction:
    """The provider's answer. Without a connection, or at its limit, it is tried again: for long only by the last."""
    holdings, started, tries = delivery.holdings, delivery.holdings.clock.elapsed(), 0
    while True:
        if await holdings.change(task_id, Task.sent) is None:
            raise _Gone
        if not holdings.is_stored(task_id):
            raise SetupError(_NOT_STORED)
        try:
            return await attempt.provider.submit(request, attempt.offer)
        except (RateLimited, Unreachable) as error:
            gap_s = pacing.submit_gap(tries, told_s=error.failure.retry_after_s)
            waited_s = holdings.clock.elapsed() - started
            if _is_enough(error, tries, waited_s + gap_s, is_last=is_last):
                raise
            await holdings.change(task_id, partial(_put_back, error, is_last))
            await holdings.clock.sleep(gap_s)
            tries += 1


def _is_enough(error: RateLimited | Unreachable, tries: int, waited_s: float, *, is_last: bool) -> bool:
    if isinstance(error, Unreachable):
        return not is_last or tries >= pacing.SUBMIT_RETRIES
    return waited_s > (pacing.RATE_LIMIT_PATIENCE_S if is_last else pacing.RATE_LIMIT_PATIENCE_WITH_OTHERS_S)


def _put_back(error: RateLimited | Unreachable, is_last: bool, task: Task, now: float) -> Task:  # noqa: FBT001
    task = task.put_back(now)
    if not is_last:
        return task
    patience = f" for up to {pacing.RATE_LIMIT_PATIENCE_S / 60:g} minutes" if isinstance(error, RateLimited) else ""
    notice = f"{error} Nothing was created or charged so far; it is tried again by itself{patience}."
    return task.noticed(notice, now)


def _at_next(attempt: Attempt, notices: Sequence[str], task: Task, now: float) -> Task:
    task = task.moved(attempt.account.provider, attempt.account.base_url, attempt.cost, now)
    for notice in notices:
        task = task.noticed(notice, now)
    return task


def _failed(failure: Failure, task: Task, now: float) -> Task:
    return task.failed(failure, now)


async def _rest(account: Account, reason: str, delivery: Delivery, *, seconds: float) -> None:
    """Tell every process that this provider refused, or that it works again."""
    until = delivery.holdings.clock.now() + seconds
    rest = Rest(provider=account.provider, base_url=account.base_url, until=until, reason=reason)
    try:
        await delivery.holdings.store.rest(rest)
    except (SQLAlchemyError, SetupError):
        _log.exception("that %s refused cannot be stored; the others try it in the usual order", account.provider)


def _everybody(refused: dict[str, JourneyError]) -> Failure:
    """One refusal as it is; several together, under the last one's code."""
    *_, last = refused.values()
    if len(refused) == 1:
        return last.failure
    listed = " ".join(f"{name}: {error}" for name, error in refused.items())
    return replace(
        last.failure,
        message=f"No provider could run this. {listed}",
        retryable=any(error.retryable for error in refused.values()),
        next_step="Nothing was charged. Ask the person to mend one of these, or choose a model of another provider.",
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

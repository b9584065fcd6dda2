"""One creating request, carried through: journaled before it leaves and after it is answered, sent once."""

from dataclasses import replace
from functools import partial

from journey_mcp import pacing
from journey_mcp.errors import (
    Failure,
    JourneyError,
    OutOfCredits,
    RateLimited,
    SetupError,
    SubmissionUnconfirmed,
    Unreachable,
)
from journey_mcp.holdings import Holdings
from journey_mcp.providers import Provider
from journey_mcp.registry import Offer
from journey_mcp.requests import ImageRequest
from journey_mcp.tasks import Prediction, Task

_NOT_STORED = "The store cannot be written, so nothing was sent: after a crash nobody would know of it."


async def submit(
    task_id: str, request: ImageRequest, offer: Offer, provider: Provider, holdings: Holdings
) -> Task | None:
    """Bring a stored task to the provider; afterwards it is accepted or final.

    Tried again only where nothing was created: without a connection three times, at the provider's limit for
    ten minutes. Returns `None` when the task is not ours any more.
    """
    started, tries = holdings.clock.elapsed(), 0
    while True:
        sent = await holdings.change(task_id, Task.sent)
        if sent is None:
            return None
        if not holdings.is_stored(task_id):
            return await _end_free(task_id, SetupError(_NOT_STORED), holdings)
        try:
            prediction = await provider.submit(request, offer)
        except (RateLimited, Unreachable) as error:
            gap_s = pacing.submit_gap(tries, told_s=error.failure.retry_after_s)
            waited_s = holdings.clock.elapsed() - started
            if _is_enough(error, tries, waited_s + gap_s):
                return await _end_free(task_id, error, holdings)
            await holdings.change(task_id, partial(_put_back, error))
            await holdings.clock.sleep(gap_s)
            tries += 1
        except SubmissionUnconfirmed as error:
            return await holdings.change(task_id, partial(_failed, error.failure))
        except JourneyError as error:
            # nothing was created: that is known, and stored, before the balance is asked for
            await holdings.change(task_id, Task.put_back)
            return await _end_free(task_id, await _with_balance(error, provider), holdings)
        else:
            return await holdings.change(task_id, partial(_accepted, prediction, offer))


def _put_back(error: RateLimited | Unreachable, task: Task, now: float) -> Task:
    patience = f" for up to {pacing.RATE_LIMIT_PATIENCE_S / 60:g} minutes" if isinstance(error, RateLimited) else ""
    notice = f"{error} Nothing was created or charged so far; it is tried again by itself{patience}."
    return task.put_back(now).noticed(notice, now)


def _accepted(prediction: Prediction, offer: Offer, task: Task, now: float) -> Task:
    return with_expiry(task.accepted(prediction, now), offer)


def _failed(failure: Failure, task: Task, now: float) -> Task:
    return task.failed(failure, now)


def with_expiry(task: Task, offer: Offer | None) -> Task:
    """A finished task whose links are known to die, and when."""
    if offer is None or offer.expires_after_s is None or not task.images:
        return task
    dies_at = task.updated_at + offer.expires_after_s
    images = tuple(
        image if image.expires_at is not None else replace(image, expires_at=dies_at) for image in task.images
    )
    return replace(task, images=images)


def _is_enough(error: RateLimited | Unreachable, tries: int, waited_s: float) -> bool:
    if isinstance(error, Unreachable):
        return tries >= pacing.SUBMIT_RETRIES
    return waited_s > pacing.RATE_LIMIT_PATIENCE_S


async def _end_free(task_id: str, error: JourneyError, holdings: Holdings) -> Task | None:
    return await holdings.change(task_id, lambda task, now: task.refused(error.failure, now))


async def _with_balance(error: JourneyError, provider: Provider) -> JourneyError:
    """Say how much there is, when too little is what stopped us and the provider tells."""
    if not isinstance(error, OutOfCredits):
        return error
    try:
        balance = await provider.balance()
    except JourneyError:
        return error
    return OutOfCredits(f"{error} The balance is {balance.amount} {balance.unit}.", next_step=error.failure.next_step)

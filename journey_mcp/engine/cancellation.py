"""Ending a task on request: here while it is queued, upstream where the provider can, and plainly said where not."""

import anyio

from journey_mcp.core.errors import JourneyError, StoreUnavailable
from journey_mcp.core.predictions import Handle, Status
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.providers import Cancels, Provider
from journey_mcp.registry import Offer

_CHARGED = "it goes on there and will be charged; fetch_task gives its result"


async def cancel(
    task: Task, offer: Offer | None, provider: Provider, *, can_cancel: bool, journal: Journal, outcomes: Outcomes
) -> tuple[Task, str]:
    """The task as it stands afterwards, and what became of the wish, in a sentence."""
    if task.submission is Submission.PREPARED:
        try:
            # whoever is cancelled in between would leave it to nobody
            with anyio.CancelScope(shield=True):
                # one that waits in another process is taken from it: it cannot be sent there any more
                await journal.take_over_unsent(task.id)
                task = await journal.change(task.id, Task.canceled) or task
        except StoreUnavailable as error:
            return task, f"{error} It waits there, unsent."
        if task.status is Status.CANCELED:
            return task, "It was not sent yet and is ended; nothing is charged."
    if task.status.is_final:
        return task, f"It was {task.status} already."
    if task.handle is None:
        return task, f"Its request is on its way to {task.provider} and cannot be called back: {_CHARGED}."
    if not (can_cancel and isinstance(provider, Cancels)):
        return task, f"{task.provider} has no way to cancel: {_CHARGED}."
    return await _canceled_upstream(task, task.handle, offer, provider, outcomes)


async def _canceled_upstream(
    task: Task, handle: Handle, offer: Offer | None, provider: Cancels, outcomes: Outcomes
) -> tuple[Task, str]:
    try:
        prediction = await provider.cancel(handle)
    except JourneyError as error:
        return task, f"{task.provider} did not cancel it ({error}): {_CHARGED}."
    apply = await outcomes.apply(task.id, prediction, offer) or task
    if apply.status is Status.CANCELED or prediction.status is Status.CANCELED:
        return apply, f"{task.provider} has ended it; what it ran so far may be charged."
    return apply, f"{task.provider} was told to end it; it is {prediction.status}."

"""Cancellation: here while a task is queued, then at its provider if that supports it."""

import anyio

from journey_mcp.core import telemetry
from journey_mcp.core.errors import JourneyError, StoreUnavailable
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Handle, Status
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.providers.base import SupportsCancel
from journey_mcp.registry import Offer


async def cancel(
    task: Task,
    offer: Offer | None,
    provider: SupportsCancel | None,
    *,
    journal: Journal,
    outcomes: Outcomes,
) -> tuple[Task, Notice]:
    """Return the task as it is afterwards, and the result of the cancellation; `provider` can cancel what it runs."""
    if task.submission is Submission.PREPARED:
        try:
            # a caller that is cancelled in between would leave the task without a worker
            with anyio.CancelScope(shield=True):
                # a task that is queued in another process is taken over, so that it cannot be sent there any more
                await journal.take_over_unsent(task.id)
                task = await journal.change(task.id, Task.canceled) or task
        except StoreUnavailable as error:
            return task, Notice.of("cancel_leased", reason=str(error))
        if task.status is Status.CANCELED:
            return task, Notice.of("canceled_unsent")
    if task.status.is_final:
        return task, Notice.of("cancel_too_late", status=task.status.value)
    if task.handle is None:
        return task, Notice.of("cancel_in_flight", provider=task.provider)
    if provider is None:
        return task, Notice.of("cancel_unsupported", provider=task.provider)
    return await _canceled_upstream(task, task.handle, offer, provider, outcomes)


async def _canceled_upstream(
    task: Task, handle: Handle, offer: Offer | None, provider: SupportsCancel, outcomes: Outcomes
) -> tuple[Task, Notice]:
    try:
        with telemetry.measure("request", purpose="cancel", provider=task.provider):
            prediction = await provider.cancel(handle)
    except JourneyError as error:
        return task, Notice.of("cancel_refused", provider=task.provider, reason=str(error))
    apply = await outcomes.apply(task.id, prediction, offer) or task
    if apply.status is Status.CANCELED or prediction.status is Status.CANCELED:
        return apply, Notice.of("canceled_upstream", provider=task.provider)
    return apply, Notice.of("cancel_requested", provider=task.provider, status=prediction.status.value)

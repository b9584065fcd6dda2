"""Inbound webhooks: what providers report by webhook is verified, and then applied like the answer to a poll."""

import logging
import math
from collections.abc import Callable, Mapping

from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import StoreUnavailable, SubmissionUnconfirmed
from journey_mcp.core.predictions import Prediction
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.core.text import encoded_id
from journey_mcp.engine.callbacks import token_of, unconfirmed
from journey_mcp.engine.journal import LEASE_S, Journal
from journey_mcp.engine.outcomes import Outcomes
from journey_mcp.engine.upstreams import Upstreams
from journey_mcp.providers.base import SupportsWebhooks, WebhookDelivery
from journey_mcp.providers.webhook_auth import is_secret
from journey_mcp.store import Store

_log = logging.getLogger(__name__)


class InboundWebhooks:
    """Receiver of deliveries; it ends requests of which none arrived in time.

    `resume_polling` is called with every task that is to be polled by this process from now on.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        clock: Clock,
        outcomes: Outcomes,
        upstreams: Upstreams,
        *,
        resume_polling: Callable[[Task], None],
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._outcomes = outcomes
        self._upstreams = upstreams
        self._resume_polling = resume_polling
        self._wakeup = Wakeup()
        self._journal.listen(self._look_at)
        # a task that is taken over a second time is not changed any more: it has its notice
        self._journal.on_acquired(self._look_at)

    def _look_at(self, task: Task) -> None:
        if _callback_deadline(task) is not None:
            self._wakeup.notify()

    async def take(self, address: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Take in one delivery, which may arrive more than once; return False if it cannot be verified.

        `address` is the end of the path that it was sent to: `<task id>/<token>`.

        Raises:
            JourneyError: it cannot be verified or stored now; the provider may deliver it again.
        """
        task_id, _, token = address.partition("/")
        task = self._journal.get(task_id) or await self._store.tasks.find(task_id)
        is_known = task is not None and (_is_without_key(task) or self._upstreams.accepts_webhooks(task))
        secret = task.callback_secret if task and is_known else None
        if task is None or secret is None or not is_secret(token, token_of(secret)):
            return False
        if _is_without_key(task):
            return True
        prediction = await self._verified(task, secret, headers, body)
        if prediction is None:
            return False
        if task.status.is_final:
            self._log_late(task, prediction)
        elif leased := await self._acquire(task):
            if not _is_about(leased, task.provider, prediction):
                return False  # it has moved to another provider meanwhile
            await self._apply(leased, prediction)
        if not self._journal.is_stored(task_id):
            raise StoreUnavailable("The report of a webhook cannot be stored now.")
        return True

    async def _verified(self, task: Task, secret: str, headers: Mapping[str, str], body: bytes) -> Prediction | None:
        provider = self._upstreams.upstream_of(task).provider
        if not isinstance(provider, SupportsWebhooks):
            return None
        delivery = WebhookDelivery(headers=headers, body=body, secret=secret, at=self._clock.now())
        prediction = await provider.read_webhook(delivery)
        if prediction is None or not _is_about(task, task.provider, prediction):
            _log.warning(
                "a webhook for task %s cannot be verified, or reports another task; it changes nothing", task.id
            )
            return None
        return prediction

    async def _acquire(self, task: Task) -> Task | None:
        """Return the task, leased here; the worker that had the lease learns that when it writes. `None` if final."""
        if leased := self._journal.get(task.id):
            return leased
        until = self._clock.now() + LEASE_S
        try:
            taken = await self._store.leases.take_over(task.id, worker_id=self._journal.worker_id, lease_until=until)
        except StoreUnavailable as error:
            raise StoreUnavailable("The task that a webhook reports cannot be taken over now.") from error
        if leased := self._journal.get(task.id):
            return leased  # another delivery, or recovery, was first
        if taken:
            self._journal.add_leased([taken])
            if taken.submission is Submission.ACCEPTED:
                self._resume_polling(taken)
        return taken

    async def _apply(self, task: Task, prediction: Prediction) -> None:
        offer = self._upstreams.offer_of(task)
        if task.submission is Submission.ACCEPTED:
            await self._outcomes.apply(task.id, prediction, offer)
            return
        # its request has no answer (yet): this is one
        applied = await self._outcomes.accepted(task.id, prediction, offer)
        if applied and not applied.status.is_final:
            self._resume_polling(applied)

    def _log_late(self, task: Task, prediction: Prediction) -> None:
        """Log what a person needs who looks for a task that was paid."""
        if task.prediction_id is None:
            late = (task.id, task.provider, encoded_id(prediction.prediction_id), prediction.status)
            _log.warning("task %s ended without an answer; now %s reports it as %s: %s", *late)

    async def expire(self, is_in_flight: Callable[[str], bool]) -> None:
        """End tasks whose webhook cannot arrive any more, for ever; not those whose answer `is_in_flight` still.

        Between two cycles it sleeps until the next deadline, at most for the length of a lease, because the system's
        clock may be set.
        """
        while True:
            deadlines = {task.id: by for task in self._journal.leased if (by := _callback_deadline(task)) is not None}
            now = self._clock.now()
            for task_id in [id_ for id_, by in deadlines.items() if now >= by and not is_in_flight(id_)]:
                await self._journal.change(task_id, _expired)
            pauses_s = [by - now if by > now else LEASE_S for by in deadlines.values()]
            await self._wakeup.wait(self._clock, min(*pauses_s, LEASE_S) if pauses_s else math.inf)


def _is_without_key(task: Task) -> bool:
    """Return whether the caller's own key is deleted, after the end of the task: nothing can verify a delivery."""
    return task.sealed_key == ""


def _is_about(task: Task, provider: str, prediction: Prediction) -> bool:
    """Return whether a provider's prediction can be the run of this task."""
    return task.provider == provider and task.prediction_id in {None, prediction.prediction_id}


def _callback_deadline(task: Task) -> float | None:
    """Return until when a request without an answer may be reported by webhook; `None` if it may not."""
    return task.callback_deadline if task.submission is Submission.SENT else None


def _expired(task: Task, now: float) -> Task:
    return unconfirmed(task, SubmissionUnconfirmed("The provider never answered, and no webhook arrived.").failure, now)

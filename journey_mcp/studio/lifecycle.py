"""The background work behind the use cases, and the steps of shutting it down."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio

from journey_mcp.core.clock import Clock
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.engine.copies import Copies
from journey_mcp.engine.deduplication import Deduplication
from journey_mcp.engine.in_flight import InFlight
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.outage import OUTAGE_S
from journey_mcp.engine.outbound_webhooks import OutboundWebhooks
from journey_mcp.engine.waiting import Wait, Waiting, all_final
from journey_mcp.media.workers import Workers
from journey_mcp.providers.clients import ProviderClients

Loop = Callable[[], Coroutine[Any, Any, None]]
"""Background work that never ends."""

_ANSWERS_WITHIN_S = 5.0
"""How long a shut-down waits for answers to creating requests; the process may be killed soon after."""

_STORED_WITHIN_S = 2.0
"""How long it tries to store what could not be stored before; a statement on its way has a little longer."""

_COPIED_WITHIN_S = 60.0
"""How long a process whose clients have left copies images; the next one continues."""


class Lifecycle:
    """The loops, and their end: `drain`, `begin_shutdown`, `await_answers` and `finish_shutdown`, in this order.

    It has more collaborators than a class should have, since it shuts each of them down.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # as the class says
        self,
        loops: Sequence[Loop],
        clock: Clock,
        journal: Journal,
        waiting: Waiting,
        clients: ProviderClients,
        in_flight: InFlight,
        deduplication: Deduplication,
        outbound_webhooks: OutboundWebhooks,
        copies: Copies,
        workers: Workers,
    ) -> None:
        self._loops = loops
        self._clock = clock
        self._journal = journal
        self._waiting = waiting
        self._clients = clients
        self._in_flight = in_flight
        self._deduplication = deduplication
        self._outbound_webhooks = outbound_webhooks
        self._copies = copies
        self._workers = workers

    async def run(self) -> None:
        """Run the loops for ever."""
        async with anyio.create_task_group() as group:
            for loop in self._loops:
                group.start_soon(loop)

    async def drain(self, seconds: float) -> None:
        """Wait, at most so long, for what would be lost otherwise.

        That is answers to creating requests, images whose links expire soon, what could not be stored yet, webhooks
        that are due, and copies of images that finished here.
        """
        if self._journal.is_shutting_down:
            return  # a shut-down has begun: `await_answers` waits for what there is time for
        until = self._clock.elapsed() + seconds
        await self._in_flight.wait_for_answers(seconds)
        needed = {task.id: task for task in self._journal.leased if self._needs_this_process(task)}
        left_s = until - self._clock.elapsed()
        request = Wait(task_ids=list(needed), principal=None, seconds=left_s, is_enough=all_final)
        await self._waiting.wait(request, needed)
        await self._journal.store_pending(min(max(until - self._clock.elapsed(), 0.0), OUTAGE_S))
        with anyio.move_on_after(max(until - self._clock.elapsed(), 0.0)):
            await self._outbound_webhooks.drain()
        await self._copies.drain(min(max(until - self._clock.elapsed(), 0.0), _COPIED_WITHIN_S))

    def begin_shutdown(self) -> None:
        """Send nothing more, and let every wait return what is known of its tasks."""
        self._journal.end_waits()
        self._in_flight.close_queues()
        self._outbound_webhooks.shut_down()
        self._copies.shut_down()
        self._workers.end()

    async def await_answers(self) -> None:
        """Wait for the answers to requests that were sent, for a few seconds."""
        await self._in_flight.wait_for_answers(_ANSWERS_WITHIN_S)

    async def finish_shutdown(self) -> None:
        """Leave unanswered requests to the journal, and store what could not be stored before."""
        await self._in_flight.cancel_all()
        await self._journal.store_pending(_STORED_WITHIN_S)
        await self._deduplication.store_acknowledged()

    def _needs_this_process(self, task: Task) -> bool:
        """Return whether a process has to run when a running task ends.

        Only its inbound webhook can still bring its answer, its links expire soon, or its outbound webhook is due then.
        """
        if task.submission is Submission.SENT:
            return task.callback_deadline is not None
        offer = self._clients.offer_of(task)
        expires_soon = offer is not None and offer.links_die_soon
        return task.submission is Submission.ACCEPTED and (expires_soon or task.request.webhook_url is not None)

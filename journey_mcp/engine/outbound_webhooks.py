"""Outbound webhooks: results are sent to callers' webhooks at least once, as the same object for every provider.

They are in the store (the outbox) from the creation of a task, so any process on its database can send them.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from journey_mcp.core import telemetry
from journey_mcp.core.clock import Clock, Wakeup
from journey_mcp.core.errors import InvalidWebhook, StoreUnavailable
from journey_mcp.core.tasks import Task
from journey_mcp.core.urls import check_webhook_url, webhook_host
from journey_mcp.engine.journal import LEASE_S
from journey_mcp.engine.webhook_policy import WebhookPolicy
from journey_mcp.net.address_policy import FetchError
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.store import Store

_MAX_AT_ONCE = 64
"""How many webhooks are sent at once."""
_MAX_AT_ONCE_AT_HOST = 4
"""How many of them to one host, until half of all are in use: the other half is for hosts to which none is sent."""
_ANSWER_WITHIN_S = 10.0
_RETRY_DELAYS_S = (10.0, 30.0, 90.0)
"""The delays after the first, second and third try that failed, as JourneyAPI documents them for its webhooks."""
_LEASE_S = _ANSWER_WITHIN_S + 50.0
"""How long the other processes leave a webhook to the one that sends it."""

_log = logging.getLogger(__name__)


class OutboundWebhooks:
    """Sender of results to webhooks that `policy` allows; `render` makes the result object."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        safe_http: SafeHttpClient,
        *,
        policy: WebhookPolicy,
        render: Callable[[Task, float], Awaitable[dict[str, Any]]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._safe_http = safe_http
        self._policy = policy
        self._render = render
        self._in_flight: Counter[str] = Counter()
        """How many webhooks are being sent, by host."""
        self._wakeup = Wakeup()
        self._attempted = Wakeup()
        self._is_shutting_down = False
        self._due_until = math.inf
        """What is due later is not sent any more: a process that ends tries each webhook once."""

    async def check(self, url: str) -> None:
        """Refuse a webhook that could never be called.

        Raises:
            InvalidWebhook: it is not HTTPS, not a public address, or at an origin that is not allowed; states which.
        """
        check_webhook_url(url)
        try:
            self._policy.check(url)
            await self._safe_http.check(url, within_s=_ANSWER_WITHIN_S)
        except FetchError as error:
            raise InvalidWebhook(f"webhook_url cannot be used: {error}.") from error

    def on_task_changed(self, task: Task) -> None:
        """Wake the loop when a task has ended whose caller has a webhook."""
        if task.status.is_final and task.request.webhook_url is not None:
            self._wakeup.notify()

    async def run(self) -> None:
        """Send what is due, for ever; sleep until the next webhook is due, at most for the length of a lease.

        It does not sleep longer because webhooks of other processes, also of dead ones, become due without a signal.
        """
        async with anyio.create_task_group() as group:
            while True:
                next_due = await self._start_due(group)
                await self._wakeup.wait(self._clock, min(max(next_due - self._clock.now(), 0.0), LEASE_S))

    def shut_down(self) -> None:
        """End `drain`."""
        self._is_shutting_down = True
        self._attempted.notify()

    async def drain(self) -> None:
        """Wait until `run` has tried all webhooks that are due now."""
        self._due_until = now = self._clock.now()
        try:
            while not self._is_shutting_down and (self._in_flight or await self._store.outbox.next_due() <= now):
                self._wakeup.notify()
                await self._attempted.wait(self._clock, LEASE_S)
        except StoreUnavailable:
            _log.exception("the webhooks that are due cannot be read")

    async def _start_due(self, group: TaskGroup) -> float:
        """Start to send what is due, if there is room; return when to continue, unless a webhook ends first.

        A slow host delays its own webhooks only: no webhook waits for those that were started before.
        """
        try:
            while (in_flight := self._in_flight.total()) < _MAX_AT_ONCE:
                room, per_host = (
                    (_MAX_AT_ONCE // 2, _MAX_AT_ONCE_AT_HOST) if in_flight < _MAX_AT_ONCE // 2 else (_MAX_AT_ONCE, 1)
                )
                busy = [host for host, count in self._in_flight.items() if count >= per_host]
                next_due = await self._store.outbox.next_due(except_hosts=busy)
                now = self._clock.now()
                if next_due > self._due_until:
                    return math.inf
                if next_due > now:
                    return next_due
                due = await self._store.outbox.due(
                    now=min(now, self._due_until),
                    again_at=now + _LEASE_S,
                    limit=room - in_flight,
                    per_host=1,
                    except_hosts=busy,
                )
                for task, tries in due:
                    host = webhook_host(task.request.webhook_url or "")
                    self._in_flight[host] += 1
                    group.start_soon(self._deliver, host, task, tries)
        except StoreUnavailable:
            _log.exception("the webhooks that are due cannot be read; it is tried again")
        return math.inf

    async def _deliver(self, host: str, task: Task, tries: int) -> None:
        try:
            await self._attempt(task, tries)
        except Exception:  # noqa: BLE001  # the outermost boundary of one webhook: the others are sent
            _log.exception("the webhook of task %s cannot be sent; it is tried again", task.id)
        finally:
            self._in_flight -= Counter([host])
            self._wakeup.notify()
            self._attempted.notify()

    async def _attempt(self, task: Task, tries: int) -> None:
        with telemetry.measure("webhook") as operation:
            problem = await self._problem(task)
            operation.set(outcome="failed" if problem else telemetry.COMPLETED)
        if problem is None:
            await self._store.outbox.delivered(task.id)
        elif tries < len(_RETRY_DELAYS_S):
            await self._store.outbox.failed(task.id, self._clock.now() + _RETRY_DELAYS_S[tries])
            _log.info("the webhook of task %s is sent again: %s", task.id, problem)
        else:
            await self._store.outbox.failed(task.id, None)
            _log.warning("the webhook of task %s is abandoned after %d tries: %s", task.id, tries + 1, problem)

    async def _problem(self, task: Task) -> str | None:
        """Send the result once; return why the webhook has not accepted it, or `None` if it has."""
        url, now = task.request.webhook_url or "", self._clock.now()
        content = json.dumps(await self._render(task, now), ensure_ascii=False).encode()
        try:
            self._policy.check(url)  # the settings may have changed since the task was created
            headers = self._policy.headers(task.id, url, content, now)
            status = await self._safe_http.post(url, content, headers, within_s=_ANSWER_WITHIN_S)
        except (FetchError, InvalidWebhook) as error:
            return str(error)
        return None if 200 <= status < 300 else f"it answered HTTP {status}"  # noqa: PLR2004  # what success is

"""Delivery of webhooks, at least once and with retries, in the task group of the app's lifespan."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
from anyio.abc import TaskGroup

from journey_mcp.sandbox import outgoing
from journey_mcp.sandbox.clock import Clock, wait_until
from journey_mcp.sandbox.events import Event, Observer, Point
from journey_mcp.sandbox.request_log import Attempt, RequestLog
from journey_mcp.sandbox.webhook_policy import WebhookPolicy


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One webhook for one receiver."""

    task_id: str
    url: str
    content: bytes
    headers: Mapping[str, str]


class Deliveries:
    """The webhooks in delivery."""

    def __init__(
        self,
        *,
        clock: Clock,
        speed: float,
        request_log: RequestLog,
        ca_file: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._request_log = request_log
        self._ca_file = ca_file
        self._observer = observer
        self._group: TaskGroup | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Deliver while the context lasts; webhooks not delivered by its end are dropped."""
        async with anyio.create_task_group() as self._group:
            yield
            self._group.cancel_scope.cancel()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work`, which creates and delivers webhooks, beside the requests."""
        if self._group is None:
            raise RuntimeError("Webhooks need the app's lifespan; use running(), or a server that runs it.")
        self._group.start_soon(work)

    async def deliver(self, delivery: Delivery, policy: WebhookPolicy) -> None:
        """Post until the receiver accepts it or no retry is left. Raises nothing: the request log has the results."""
        for number, gap_s in enumerate((0.0, *policy.retry_gaps_s), start=1):
            if gap_s and self._speed:
                await wait_until(self._clock, self._clock() + gap_s / self._speed)
            self._notify("posting", delivery)
            is_accepted, outcome = await _post(delivery, policy.timeout_s, self._ca_file)
            attempt = Attempt(task_id=delivery.task_id, url=delivery.url, attempt=number, outcome=outcome)
            self._request_log.add_attempt(attempt)
            self._notify("posted", delivery, int(outcome) if outcome.isdigit() else None)
            if is_accepted:
                return

    def _notify(self, point: Point, delivery: Delivery, status: int | None = None) -> None:
        if self._observer:
            self._observer(Event(point=point, method="POST", path=urlsplit(delivery.url).path, status=status))


async def _post(delivery: Delivery, timeout_s: float, ca_file: str | None) -> tuple[bool, str]:
    headers = {name.encode(): value.encode() for name, value in delivery.headers.items()}
    try:
        with anyio.fail_after(timeout_s):
            async with outgoing.client(ca_file=ca_file) as client:
                response = await client.post(delivery.url, content=delivery.content, headers=headers)
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        return False, type(error).__name__
    return response.is_success, str(response.status_code)

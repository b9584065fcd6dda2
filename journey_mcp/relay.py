"""Telling the webhooks of callers: the same result object for every provider, at least once, with patience.

What is to be told stands in the store from the moment a task is made, so any process of its database can tell it.
"""

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import anyio
from sqlalchemy.exc import SQLAlchemyError

from journey_mcp.clock import Clock, Wakeup
from journey_mcp.errors import InvalidWebhook, SetupError
from journey_mcp.fetching import Fetcher, FetchError
from journey_mcp.holdings import LEASE_S
from journey_mcp.requests import check_webhook_url
from journey_mcp.store import Store
from journey_mcp.tasks import Task

_TOGETHER = 50
_ANSWER_WITHIN_S = 10.0
_GAPS_S = (10.0, 30.0, 90.0)
"""The waits after a first try that failed, the second and the third, as JourneyAPI documents them for its own."""
_OURS_S = _ANSWER_WITHIN_S + 50.0
"""How long a task that one process tells of is left alone by the others."""

_log = logging.getLogger(__name__)


class Relay:
    """The way of results to webhooks. `secret` goes along as `x-webhook-secret`; `shown` makes the result object."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        fetcher: Fetcher,
        *,
        secret: str | None,
        shown: Callable[[Task, float], dict[str, Any]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._fetcher = fetcher
        self._headers = {"content-type": "application/json", **({"x-webhook-secret": secret} if secret else {})}
        self._shown = shown
        self._one_round = anyio.Lock()
        self._wakeup = Wakeup()

    async def check(self, url: str) -> None:
        """Refuse a webhook that could never be told.

        Raises:
            InvalidWebhook: it is not HTTPS, or not a public address; says which.
        """
        check_webhook_url(url)
        try:
            await self._fetcher.check(url, within_s=_ANSWER_WITHIN_S)
        except FetchError as error:
            raise InvalidWebhook(f"webhook_url cannot be used: {error}.") from error

    def changed(self, task: Task) -> None:
        """Look again when a task of this process has ended whose caller has a webhook."""
        if task.status.is_final and task.request.webhook_url is not None:
            self._wakeup.notify()

    async def run(self) -> None:
        """Send what is due, for ever; sleep until the next webhook is due, at most one lease.

        Longer would be too long: tasks of other processes, also of dead ones, become due unseen.
        """
        while True:
            next_due = await self.round()
            await self._wakeup.wait(self._clock, min(max(next_due - self._clock.now(), 0.0), LEASE_S))

    async def round(self) -> float:
        """Send what is due now, and return when all that was tried: the time at which more is due, `inf` for never."""
        async with self._one_round:
            try:
                next_due = await self._store.relays.next_due()
                now = self._clock.now()
                if next_due > now:
                    return next_due
                due = await self._store.relays.due(now=now, again_at=now + _OURS_S, limit=_TOGETHER)
                async with anyio.create_task_group() as group:
                    for task, tries in due:
                        group.start_soon(self._tell, task, tries)
                return await self._store.relays.next_due()
            except (SQLAlchemyError, SetupError):
                _log.exception("whom webhooks are to be told of cannot be read; it is tried again")
                return math.inf

    async def _tell(self, task: Task, tries: int) -> None:
        try:
            await self._try(task, tries)
        except Exception:  # noqa: BLE001  # the outermost boundary of one webhook: the others are told
            _log.exception("the webhook of task %s cannot be told; it is tried again", task.id)

    async def _try(self, task: Task, tries: int) -> None:
        problem = await self._problem(task)
        if problem is None:
            await self._store.relays.told(task.id)
        elif tries < len(_GAPS_S):
            await self._store.relays.failed(task.id, self._clock.now() + _GAPS_S[tries])
            _log.info("the webhook of task %s is told again: %s", task.id, problem)
        else:
            await self._store.relays.failed(task.id, None)
            _log.warning("the webhook of task %s is given up after %d tries: %s", task.id, tries + 1, problem)

    async def _problem(self, task: Task) -> str | None:
        """Why the webhook has not taken the result; `None` when it has."""
        content = json.dumps(self._shown(task, self._clock.now()), ensure_ascii=False).encode()
        try:
            status = await self._fetcher.post(
                task.request.webhook_url or "", content, self._headers, within_s=_ANSWER_WITHIN_S
            )
        except FetchError as error:
            return str(error)
        return None if 200 <= status < 300 else f"it answered HTTP {status}"  # noqa: PLR2004  # what success is

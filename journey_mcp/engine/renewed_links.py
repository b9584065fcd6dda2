"""Links that have died, asked for again: a provider that still has an image may give another link to it."""

from collections import OrderedDict
from dataclasses import dataclass

import anyio

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.engine.upstreams import Upstreams
from journey_mcp.net.address_policy import TooLarge
from journey_mcp.net.safe_http import SafeHttpClient

_ASKED_WITHIN_S = 5.0
_KEPT_S = 300.0
"""How long an answer counts: a signed link may work for minutes only."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a provider answered about the images of a task."""

    urls: tuple[str, ...]
    """In the order of the task's images; empty if it has none of them, or did not answer."""
    until: float
    """When the provider may be asked again."""


class RenewedLinks:
    """Requests to providers for the images of finished tasks.

    That is free, and is done once in five minutes for a task. A finished task never changes in the store, so what is
    found is kept in memory.
    """

    def __init__(self, clock: Clock, upstreams: Upstreams, safe_http: SafeHttpClient) -> None:
        self._clock = clock
        self._upstreams = upstreams
        self._safe_http = safe_http
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._asking: dict[str, anyio.Lock] = {}
        """By the tasks that providers are being asked for."""

    async def find(self, task: Task, number: int) -> str | None:
        """Return another link than the stored one that works now; `None` if the provider gives none in seconds."""
        if task.provider == SANDBOX or not self._upstreams.serves(task):
            return None
        urls = await self._urls(task)
        url = urls[number - 1] if urls else None
        return url if url and url != task.images[number - 1].url and await self._works(url, task) else None

    async def _urls(self, task: Task) -> tuple[str, ...]:
        """Return what the provider answered lately, or answers now; calls for the same task wait for one answer."""
        lock = self._asking.setdefault(task.id, anyio.Lock())
        try:
            async with lock:
                answer = self._answers.get(task.id)
                if answer is None or answer.until <= self._clock.elapsed():
                    answer = _Answer(await self._asked(task), self._clock.elapsed() + _KEPT_S)
                    self._keep(task.id, answer)
                return answer.urls
        finally:
            if not lock.locked():
                self._asking.pop(task.id, None)

    def _keep(self, task_id: str, answer: _Answer) -> None:
        self._answers[task_id] = answer
        self._answers.move_to_end(task_id)
        if len(self._answers) > _MOST:
            self._answers.popitem(last=False)

    async def _asked(self, task: Task) -> tuple[str, ...]:
        handle = task.handle
        if handle is None:
            return ()
        try:
            with anyio.fail_after(_ASKED_WITHIN_S):
                found = await self._upstreams.upstream_of(task).provider.fetch([handle])
        except (JourneyError, TimeoutError):  # the image is as gone as it was before
            return ()
        now = found.get(handle.prediction_id)
        if now is None or now.status is not Status.SUCCEEDED or len(now.images) != len(task.images):
            return ()
        return tuple(image.url for image in now.images)

    async def _works(self, url: str, task: Task) -> bool:
        """Return whether there is an image. It is asked for no content."""
        return isinstance(await self._safe_http.with_trusted(task.base_url).probe(url), TooLarge)

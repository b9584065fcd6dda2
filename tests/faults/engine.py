"""The engine half of a case: the real engine on a real database plays a script of decisions.

The provider is scripted, and images are downloaded from a minimal server: there is no sandbox. All scripts use the
offer of one route. It has a price and its links expire soon, so that every part of the engine is used.
"""

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from manual_clock import ManualClock
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Endpoint
from support import SERVICES, running_studio, serving

from journey_mcp.core.images import OutputImage
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Handle, Prediction
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.core.tasks import Task
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.registry import Offer
from journey_mcp.settings import read_settings
from journey_mcp.store import Store, open_store
from journey_mcp.studio import Studio

from .adapters import Decision, Raised, Script
from .cases import BFL
from .observing import Observed, call

_ROUTE = BFL
_RESPONSE_S = 0.1
_BETWEEN_S = 3600.0
"""The pause between two calls: no cooldown or limit of one affects the next."""
_Item = TypeVar("_Item")

_results: dict[Script, Observed] = {}


@asynccontextmanager
async def open_engine(folder: Path) -> AsyncIterator["Engine"]:
    """Open an engine that plays scripts."""
    clock = ManualClock()
    upstream = _Upstream(clock)
    async with serving(Starlette(routes=[Endpoint("/{name}", upstream.image)])) as upstream.origin:
        key, address = SERVICES[_ROUTE.service]
        environment = {key: "secret-key", address: upstream.origin, "JOURNEY_MCP_DATA_DIR": str(folder)}
        more = {"JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1", "JOURNEY_MCP_KEEP_IMAGES": "expiring"}
        settings = read_settings({**environment, **more})
        async with (
            running_studio(settings, clock, dict.fromkeys(ADAPTERS, lambda *_: upstream)) as studio,
            open_store(settings.resolved_database_url()) as journal,
        ):
            yield Engine(studio, journal, clock, upstream)


class Engine:
    """An engine whose provider follows a script."""

    def __init__(self, studio: Studio, journal: Store, clock: ManualClock, upstream: "_Upstream") -> None:
        self._studio = studio
        self._journal = journal
        self._clock = clock
        self._upstream = upstream

    async def play(self, script: Script, texts: Mapping[str, str]) -> Observed:
        """Return the outcome of a call; `texts` are those of the script's keys. Identical scripts are played once."""
        if script not in _results:
            _results[script] = await self._play(script)
        result = _results[script]
        if result.task is None or result.seen is None:
            return result
        return replace(result, task=_with_texts(result.task, texts), seen=_with_texts(result.seen, texts))

    async def _play(self, script: Script) -> Observed:
        upstream = self._upstream
        self._clock.advance(_BETWEEN_S)
        upstream.begin(script)
        route = replace(_ROUTE, edits=script.edits or _ROUTE.edits)
        observed = await call(
            self._studio,
            self._journal,
            route.request(f"{upstream.origin}/source.png" if script.edits else None),
            upstream.injection(),
            self._clock,
            polls=(lambda: upstream.polls) if script.is_watched else None,
            ends_task=script.ends_task,
        )
        assert observed.refusal == script.refusal
        return replace(observed, requests=upstream.requests, created=upstream.created)


class _Upstream:
    """A provider that follows a script, and the server of its images."""

    origin: str
    _script: Script

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def begin(self, script: Script) -> None:
        """Follow this script from now on."""
        self._script = script
        self._clock_jump = script.clock_jump
        self._is_over = False
        self._submissions = self.polls = 0
        self.requests = self.created = 0
        """The requests that arrived at the provider, and the tasks that it created."""

    @asynccontextmanager
    async def injection(self) -> AsyncIterator[None]:
        """Keep the fault while the block runs."""
        yield
        self._is_over = True

    async def submit(self, _request: PreparedRequest, _offer: Offer) -> Prediction:
        """Return the scripted decision, as `Provider` requires."""
        await self._respond("submit")
        submitted = _at(self._script.submissions, self._submissions)
        self._submissions += 1
        self.requests += submitted.received
        self.created += submitted.created
        prediction = self._decided(submitted.decision)
        assert prediction is not None
        return prediction

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Return the scripted decision, as `Provider` requires."""
        await self._respond("fetch")
        decision = self._script.after if self._is_over else _at(self._script.polls, self.polls)
        self.polls += 1
        prediction = self._decided(decision)
        return {handle.prediction_id: prediction for handle in handles if prediction}

    async def image(self, _request: Request) -> Response:
        """Respond to the download of an image."""
        await self._respond("image")
        return Response(_png()) if self._script.has_images else Response(status_code=404)

    async def _respond(self, endpoint: str) -> None:
        await self._clock.sleep(_RESPONSE_S)
        if self._clock_jump and self._clock_jump[0] == endpoint:
            self._clock.shift_calendar(self._clock_jump[1])
            self._clock_jump = None

    def _decided(self, decision: Decision) -> Prediction | None:
        if isinstance(decision, Raised):
            kind, message, next_step, retry_after_s = decision
            raise kind(message, next_step=next_step, retry_after_s=retry_after_s)
        images = (OutputImage(url=self.origin + image.url) for image in decision.images) if decision else ()
        return decision and replace(decision, images=tuple(images))


def _at(decisions: Sequence[_Item], number: int) -> _Item:
    return decisions[min(number, len(decisions) - 1)]


@cache
def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (256, 256)).save(file, "PNG")
    return file.getvalue()


def _with_texts(task: Task, texts: Mapping[str, str]) -> Task:
    """Return the task with the texts and addresses in place of their keys."""

    def real(text: str) -> str:
        for key, known in texts.items():
            text = text.replace(key, known)
        return text

    failure = task.failure and replace(
        task.failure, message=real(task.failure.message), next_step=real(task.failure.next_step or "")
    )
    # one image represents all images of a response, and its path is the key of their addresses
    urls = ((image, url) for image in task.images for url in texts[image.url.removeprefix(task.base_url)].split("\n"))
    images = tuple(replace(image, url=url) for image, url in urls)
    notices = tuple(Notice.of("text", text=real(str(notice))) for notice in task.notices)
    return replace(task, notices=notices, failure=failure, images=images)

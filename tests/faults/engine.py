"""The engine half of a case: what the real engine, on a real database, makes of a script of decisions.

The provider is scripted, and images are downloaded from a server of two lines: there is no sandbox. The offer is that
of one route for all scripts. It has a price and its links die soon, so that the engine has all to do that it may have.
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
_ANSWERED_S = 0.1
_BETWEEN_S = 3600.0
"""Between two calls: no pause or limit of the one is left for the other."""
_Item = TypeVar("_Item")

_played: dict[Script, Observed] = {}


@asynccontextmanager
async def open_engine(folder: Path) -> AsyncIterator["Engine"]:
    """Open an engine that plays scripts."""
    clock = ManualClock()
    upstream = _Upstream(clock)
    async with serving(Starlette(routes=[Endpoint("/{name}", upstream.image)])) as upstream.origin:
        key, address = SERVICES[_ROUTE.service]
        environment = {key: "secret-key", address: upstream.origin, "JOURNEY_MCP_DATA_DIR": str(folder)}
        settings = read_settings({**environment, "JOURNEY_MCP_TRUSTED_HOSTS": "127.0.0.1"})
        async with (
            running_studio(settings, clock, dict.fromkeys(ADAPTERS, lambda *_: upstream)) as studio,
            open_store(settings.resolved_database_url()) as journal,
        ):
            yield Engine(studio, journal, clock, upstream)


class Engine:
    """An engine whose provider decides as a script says."""

    def __init__(self, studio: Studio, journal: Store, clock: ManualClock, upstream: "_Upstream") -> None:
        self._studio = studio
        self._journal = journal
        self._clock = clock
        self._upstream = upstream

    async def play(self, script: Script, texts: Mapping[str, str]) -> Observed:
        """Return what becomes of a call; `texts` are those of the script's keys. Equal scripts are played once."""
        if script not in _played:
            _played[script] = await self._play(script)
        played = _played[script]
        if played.task is None or played.seen is None:
            return played
        return replace(played, task=_with_texts(played.task, texts), seen=_with_texts(played.seen, texts))

    async def _play(self, script: Script) -> Observed:
        upstream = self._upstream
        self._clock.advance(_BETWEEN_S)
        upstream.begin(script)
        route = replace(_ROUTE, edits=script.edits or _ROUTE.edits)
        observed = await call(
            self._studio,
            self._journal,
            route.request(f"{upstream.origin}/source.png" if script.edits else None),
            upstream.strike(),
            self._clock,
            polls=(lambda: upstream.polls) if script.is_watched else None,
            lasts=script.lasts,
        )
        assert observed.refusal == script.refusal
        return replace(observed, requests=upstream.requests, created=upstream.created)


class _Upstream:
    """A provider that decides as a script says, and the server of its images."""

    origin: str
    _script: Script

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def begin(self, script: Script) -> None:
        """Decide by this script from now on."""
        self._script = script
        self._leap = script.leap
        self._is_over = False
        self._submissions = self.polls = 0
        self.requests = self.created = 0
        """What arrived at the provider, and the tasks that it created."""

    @asynccontextmanager
    async def strike(self) -> AsyncIterator[None]:
        """Let the fault last while the block runs."""
        yield
        self._is_over = True

    async def submit(self, _request: PreparedRequest, _offer: Offer) -> Prediction:
        """Decide, as `Provider` says."""
        await self._answer("submit")
        submitted = _at(self._script.submissions, self._submissions)
        self._submissions += 1
        self.requests += submitted.received
        self.created += submitted.created
        prediction = self._decided(submitted.decision)
        assert prediction is not None
        return prediction

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Decide, as `Provider` says."""
        await self._answer("fetch")
        decision = self._script.after if self._is_over else _at(self._script.polls, self.polls)
        self.polls += 1
        prediction = self._decided(decision)
        return {handle.prediction_id: prediction for handle in handles if prediction}

    async def image(self, _request: Request) -> Response:
        """Answer the download of an image."""
        await self._answer("image")
        return Response(_png()) if self._script.has_images else Response(status_code=404)

    async def _answer(self, place: str) -> None:
        await self._clock.sleep(_ANSWERED_S)
        if self._leap and self._leap[0] == place:
            self._clock.shift_calendar(self._leap[1])
            self._leap = None

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
    # one image stands for all of an answer, and its path is the key of their addresses
    urls = ((image, url) for image in task.images for url in texts[image.url.removeprefix(task.base_url)].split("\n"))
    images = tuple(replace(image, url=url) for image, url in urls)
    return replace(task, notices=tuple(real(str(notice)) for notice in task.notices), failure=failure, images=images)

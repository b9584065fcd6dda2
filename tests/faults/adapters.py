"""The adapter half of a case: the results of the real adapter and the real downloads against a faulty sandbox.

There is neither a studio nor a database. The results are recorded as a script of decisions, in which keys replace
texts and addresses: so only some dozens of scripts differ.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from manual_clock import ManualClock
from support import coarse, environment_of

from journey_mcp import sandbox
from journey_mcp.core.errors import InvalidRequest, JourneyError, RateLimited, Unreachable
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Handle, Prediction
from journey_mcp.core.requests import ImageRequest, PreparedRequest
from journey_mcp.core.tasks import new_task_id
from journey_mcp.media.blobs import Blobs
from journey_mcp.media.image_folder import ImageFolder
from journey_mcp.media.workers import CallersWorkers, Workers
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.clients import ProviderClients, open_clients
from journey_mcp.settings import read_settings
from journey_mcp.settings.trusted_hosts import TrustedHosts
from journey_mcp.studio.inputs import InputImages, Source

from .cases import Case, Route
from .injecting import endpoint_of, injecting

_TRIES = 5
"""A provider that rejects so many creating requests rejects all."""
_POLLS = 3
"""The polls that show every effect of a fault with several injections; a single one has the same effect each time."""
_PAUSE_S = 1.0
_MAX_BYTES = 50 * 1024 * 1024

_Result = TypeVar("_Result")
_Decision = TypeVar("_Decision")


class Raised(NamedTuple):
    """An error, with keys in place of its texts."""

    kind: type[JourneyError]
    message: str
    next_step: str
    retry_after_s: float | None


Raw = Prediction | JourneyError | None
"""The result or error of an adapter; `None` if the provider does not know the task."""
Decision = Prediction | Raised | None
"""The same, with keys in place of texts and addresses."""


class Submitted(NamedTuple, Generic[_Decision]):
    """The result of one creating request."""

    decision: _Decision
    received: int
    """How many requests the provider received."""
    created: int
    """How many tasks it created."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """Everything that the engine sees in a case. The last decision of a list is repeated."""

    edits: str | None
    """The model, if an image is edited."""
    clock_jump: tuple[str, float] | None
    """The request during which the calendar jumps (`submit`, `fetch` or `image`), and by how many seconds."""
    is_watched: bool
    """The fault ends when the caller has a notice."""
    ends_task: bool
    """The fault lasts and ends the task."""
    refusal: str | None = None
    """The code of the error that ends the call before a task exists."""
    has_images: bool = True
    """Images can be downloaded."""
    submissions: tuple[Submitted[Decision], ...] = ()
    polls: tuple[Decision, ...] = ()
    """The decisions of polls during the fault."""
    after: Decision = None
    """The decision of a poll after the fault."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A script, and what it omits."""

    script: Script
    texts: Mapping[str, str] = field(default_factory=dict)
    """The texts and addresses, by key."""
    notices: tuple[str, ...] = ()
    """Notices about images that could not be copied."""


@asynccontextmanager
async def open_recorder(route: Route, folder: Path) -> AsyncIterator["Recorder"]:
    """Open a sandbox and an adapter for all cases of a route."""
    async with (
        sandbox.running(coarse(speed=0, seed=7)) as upstream,
        open_clients(read_settings(environment_of(upstream, folder, route.service))) as clients,
        aclosing(Workers()) as workers,
    ):
        yield Recorder(upstream, clients, folder, workers)


class Recorder:
    """Recorder of the cases of one route, one after another."""

    def __init__(self, upstream: sandbox.Running, clients: ProviderClients, folder: Path, workers: Workers) -> None:
        self.origin = upstream.origin
        self._upstream = upstream
        self._catalog = clients.catalog
        ((self._account, self._provider),) = clients.providers()
        self._clock = ManualClock()
        self._fitter = CallersWorkers(workers, "local")
        self._safe_http = SafeHttpClient(TrustedHosts.parse(["127.0.0.1"]))
        self._blobs = Blobs(ImageFolder(folder), _MAX_BYTES, self._safe_http, self._clock)

    async def record(self, case: Case) -> Recording:
        """Inject the fault and record the results."""
        fault, endpoint = case.fault, endpoint_of(case)
        image = fault.address(self.origin)
        if case.stage == "source" and image is None:
            image = await self._finished_image(case.route)
        request = case.route.request(image)
        script = Script(
            edits=request.model if image else None,
            clock_jump=(endpoint, fault.clock_jump_s) if fault.clock_jump_s else None,
            is_watched=case.stage == "poll",
            ends_task=fault.ends_task,
        )
        is_steady = endpoint == "fetch" and len(fault.injections) == 1
        async with injecting(case, self._upstream, self._clock):
            try:
                submissions = await self._submit(request)
            except InvalidRequest as error:
                return Recording(script=replace(script, refusal=error.code, has_images=False))
            accepted = submissions[-1].decision
            polls = await self._poll(accepted, 1 if is_steady else _POLLS)
            notices = await self._copy(polls[-1]) if endpoint == "image" else ()
        after = polls[-1:] if polls and _is_final(polls[-1]) else await self._poll(accepted, 1)
        if is_steady and case.stage == "poll, twice":
            polls = [*polls, *polls, *after]
        keys = _Keys()
        script = replace(
            script,
            has_images=not notices,
            submissions=tuple(Submitted(keys.decision(raw), *counts) for raw, *counts in submissions),
            polls=tuple(map(keys.decision, polls)),
            after=keys.decision(after[-1]) if after else None,
        )
        return Recording(script=script, texts={key: text for text, key in keys.items()}, notices=notices)

    async def _submit(self, request: ImageRequest) -> list[Submitted[Raw]]:
        """Submit until the provider neither rejects the request nor is unreachable.

        Raises:
            InvalidRequest: the image to edit cannot be prepared.
        """
        (offer,) = self._catalog.offers[request.model]
        prepared = PreparedRequest(prompt=request.prompt, options=request.options)
        if request.image:
            source = Source(name="image", kind="at an address of this network only", url=request.image, is_local=True)
            inputs = InputImages(sources=(source,), mask=None)
            images, _, _ = await inputs.prepared(offer, self._account, self._safe_http, self._fitter)
            prepared = replace(prepared, images=images)
        submissions: list[Submitted[Raw]] = []
        while len(submissions) < _TRIES:
            before = len(self._upstream.sandbox.request_log.submissions)
            raw = await _outcome_of_call(self._provider.submit(prepared, offer))
            entries = self._upstream.sandbox.request_log.submissions[before:]
            submissions.append(Submitted(raw, len(entries), sum(entry.outcome == "created" for entry in entries)))
            if not isinstance(raw, RateLimited | Unreachable):
                break
            await self._clock.sleep(_PAUSE_S)
        return submissions

    async def _poll(self, accepted: Raw, times: int) -> list[Raw]:
        """Poll an accepted task until it is final, at most `times` times."""
        polls: list[Raw] = []
        if not isinstance(accepted, Prediction) or _is_final(accepted):
            return polls
        handle = Handle(prediction_id=accepted.prediction_id, poll_url=accepted.poll_url)
        while len(polls) < times and not (polls and _is_final(polls[-1])):
            raw = await _outcome_of_call(self._provider.fetch([handle]))
            polls.append(raw if isinstance(raw, JourneyError) else raw.get(handle.prediction_id))
        return polls

    async def _copy(self, final: Raw) -> tuple[str, ...]:
        """Copy the images of a finished task; return a notice for each that could not be copied."""
        assert isinstance(final, Prediction)
        images, notices = await self._blobs.with_copies(new_task_id(), self.origin, final.images, made_at=0.0)
        assert [image.path is None for image in images] == [bool(notices)] * len(images)
        return tuple(map(str, notices))

    async def _finished_image(self, route: Route) -> str:
        (submitted,) = await self._submit(route.request())
        (final,) = await self._poll(submitted.decision, 1)
        assert isinstance(final, Prediction)
        return final.images[0].url


async def _outcome_of_call(call: Awaitable[_Result]) -> _Result | JourneyError:
    try:
        raw: _Result | JourneyError = await call
    except JourneyError as error:
        raw = error
    assert "secret-key" not in repr(raw)
    return raw


def _is_final(raw: Raw) -> bool:
    return isinstance(raw, Prediction) and raw.status.is_final


class _Keys(dict[str, str]):
    """The keys of texts, and one key for all addresses of a response."""

    def decision(self, raw: Raw) -> Decision:
        """Return the decision with keys, and without what the engine only stores.

        One image represents all images of a response.
        """
        if raw is None:
            return None
        if isinstance(raw, JourneyError):
            failure = raw.failure
            return Raised(type(raw), self._key(failure.message), self._key(failure.next_step), failure.retry_after_s)
        urls = "\n".join(image.url for image in raw.images)
        return Prediction(
            prediction_id="prediction",
            status=raw.status,
            progress=None if raw.status.is_final else raw.progress,
            images=(OutputImage(url=self.setdefault(urls, f"/{len(self)}.png")),) if urls else (),
            is_empty=raw.is_empty,
            failure=raw.failure and replace(raw.failure, message=self._key(raw.failure.message)),
        )

    def _key(self, text: str | None) -> str:
        return self.setdefault(text or "", f"<{len(self)}>")

"""Carrying one call through one fault, and telling what became of it."""

import asyncio
import selectors
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
from support import FastClock, World, created, environment_of, wish

from journey_mcp import sandbox
from journey_mcp.clock import Clock
from journey_mcp.errors import InvalidRequest
from journey_mcp.sandbox import ledger
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store
from journey_mcp.studio import LOCAL, open_studio
from journey_mcp.tasks import Status, Submission, Task

from . import faults
from .faults import HURRY, NOWHERE, USUAL_SPEED, ByProvider, Fault, Strike
from .outcomes import Outcome, expected

_ASKED = 6
"""After so many questions a caller has been told whatever is told of questions that fail."""
_LONG_S = 5000.0
_STEP_S = 10.0
_MOMENT_S = 0.1
"""An answer is held back for so long, in the sandbox's own time, while the clock jumps."""


@dataclass(frozen=True, kw_only=True)
class Road:
    """One way to a picture."""

    name: str
    service: str
    model: str
    polled: str
    """The name of its questions in the ledger."""
    pictures: int = 1
    """How many a call makes."""
    has_price: bool = True
    """Whether one is known when the request leaves."""
    size: int | None = None
    """Of the picture, in pixels; where it is copied, a small one is soon drawn."""
    edits: str = "flux-kontext-pro"
    """Its model for edits whose picture the provider fetches."""


ROADS = (
    Road(name="journeyapi", service="journeyapi", model="midjourney", polled="fetch", pictures=4),
    Road(name="journeyapi (synchronous)", service="journeyapi", model="z-image", polled="fetch"),
    Road(name="vtrix", service="vtrix", model="flux-1.1-pro", polled="vtrix/task", has_price=False),
    Road(
        name="kkiai",
        service="kkiai",
        model="stable-diffusion",
        polled="kkiai/prediction",
        has_price=False,
        size=256,
    ),
    Road(
        name="replicate",
        service="replicate",
        model="flux-1.1-pro",
        polled="replicate/prediction",
        has_price=False,
        size=256,
    ),
    Road(name="bfl", service="bfl", model="flux-2-pro", polled="bfl/get_result", size=256),
)
_POLLED = tuple(road for road in ROADS if road.name != "journeyapi (synchronous)")
"""A synchronous call is asked for only when its answer did not tell all."""
_COPIED = tuple(road for road in ROADS if road.service in {"kkiai", "replicate", "bfl"})
_FILLED = tuple(replace(road, edits="flux-fill-pro") for road in ROADS if road.service == "bfl")
"""Its `flux-fill-pro` takes bytes only."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one stage of one road."""

    stage: str
    fault: Fault
    road: Road

    def __str__(self) -> str:
        return f"{self.stage}: {self.road.name}: {self.fault.name}"

    @property
    def expected(self) -> Outcome:
        """What is to become of it."""
        return expected(self.stage, self.fault.name, self.road.name)


Batch = tuple[Cell, ...]
"""Cells of one stage and one road that share a world, one after another; each has a call of its own."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Batches, each with a world of its own, that are run at once."""

    name: str
    batches: tuple[Batch, ...]
    is_hurried: bool

    @property
    def expected(self) -> dict[str, Outcome]:
        """What is to become of all, by cell."""
        return {str(cell): cell.expected for batch in self.batches for cell in batch}

    async def observed(self, folder: Path) -> dict[str, Outcome]:
        """What became of all."""
        folders = [folder / str(number) for number in range(len(self.batches))]
        everybody = asyncio.Barrier(len(self.batches))
        seen = await asyncio.gather(*(_observe(*each, everybody) for each in zip(self.batches, folders, strict=True)))
        return {name: outcome for outcomes in seen for name, outcome in outcomes.items()}


_TABLE: Mapping[str, tuple[tuple[Fault, ...], tuple[Road, ...]]] = {
    "submit": (faults.SUBMIT, ROADS),
    "poll": (faults.POLL, _POLLED),
    "poll, twice": (faults.POLL_TWICE, _POLLED),
    "copy": (faults.COPY, _COPIED),
    "copy, once": (faults.COPY_ONCE, _COPIED),
    "source": (faults.SOURCE, _FILLED),
}


def cells() -> Iterator[Cell]:
    """All of them."""
    for stage, (those, roads) in _TABLE.items():
        for road in roads:
            # how long is waited is not a model's own: once for each provider is enough
            named = [fault for fault in those if not (fault.is_hurried and road.name != road.service)]
            yield from (Cell(stage=stage, fault=fault, road=road) for fault in named)


def groups() -> Iterator[Group]:
    """The same cells: by stage and road; those whose time has a speed of its own, which mostly wait, at once."""
    found: dict[tuple[str, str, float, bool], dict[str, list[Cell]]] = {}
    for cell in cells():
        fault, road = cell.fault, cell.road.name
        where = f": {road}" if fault.speed == USUAL_SPEED else ""
        alike = (cell.stage, where, fault.speed, fault.is_hurried)
        found.setdefault(alike, {}).setdefault(road, []).append(cell)
    for (stage, where, _, is_hurried), by_road in found.items():
        batches = tuple(map(tuple, by_road.values()))
        which = where or f": {', '.join(cell.fault.name for cell in batches[0])}"
        yield Group(name=f"{stage}{which}", batches=batches, is_hurried=is_hurried)


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time, and so every time limit, runs faster from some moment on."""

    def __init__(self) -> None:
        self._told = self._since = time.monotonic()
        self._hurried = _HurriedSelector()
        super().__init__(self._hurried)

    def time(self) -> float:
        """Seconds that may be over soon."""
        return self._told + (time.monotonic() - self._since) * self._hurried.rate

    def hurry(self) -> None:
        """From now on."""
        self._told, self._since, self._hurried.rate = self.time(), time.monotonic(), HURRY


class _HurriedSelector(selectors.DefaultSelector):
    rate = 1.0

    def select(self, timeout: float | None = None) -> Any:
        return super().select(timeout and timeout / self.rate)


async def _hurry(upstream: sandbox.Running, everybody: asyncio.Barrier) -> None:
    """Let time run faster when all have sent their requests: what is needed until then is not hurried."""
    while not upstream.sandbox.ledger.submissions:
        await asyncio.sleep(0.001)
    async with everybody:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HurriedLoop)
        loop.hurry()


class _LoopClock(FastClock):
    """The clock in such a loop: its pauses are the loop's."""

    speed = HURRY

    async def sleep(self, seconds: float) -> None:
        await Clock.sleep(self, seconds)

    async def wait(self, event: anyio.Event, seconds: float) -> bool:
        return await Clock.wait(self, event, seconds)


async def _observe(batch: Batch, folder: Path, everybody: asyncio.Barrier) -> dict[str, Outcome]:
    """What became of each call, by cell: read from the studio, the ledger, and the database.

    Everything is finished at once there; one provider is configured.
    """
    first, *_ = batch
    fault, road = first.fault, first.road
    clock = _LoopClock() if fault.is_hurried else FastClock()
    clock.speed = fault.speed
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        environment = environment_of(upstream, folder, road.service, JOURNEY_MCP_TRUSTED_HOSTS="127.0.0.1")
        settings = read_settings(environment)
        async with open_studio(settings, clock) as studio:
            here = World(studio, upstream, folder, clock)
            hurry = asyncio.create_task(_hurry(upstream, everybody)) if fault.is_hurried else None
            source = await _picture(here, road) if first.stage == "source" else None
            calls = [await Call(here, cell, number, source).made() for number, cell in enumerate(batch)]
            if hurry:
                await hurry
        async with open_store(settings.resolved_database_url()) as store:
            journal = await store.get([call.task.id for call in calls if call.task], principal=LOCAL)
    return {str(call.cell): call.outcome(journal) for call in calls}


class Call:
    """One call under one fault."""

    def __init__(self, here: World, cell: Cell, number: int, source: str | None) -> None:
        self.cell = cell
        self.task: Task | None = None
        """As the caller saw it in the end; `None` when the call was refused at once."""
        self._here = here
        self._source = source
        self._prompt = f"a red kite over the dunes, take {number}"
        self._seen: Task | None = None
        """As the caller saw it while the fault lasted."""
        self._refused: InvalidRequest | None = None
        self._submissions: tuple[ledger.Submission, ...] = ()

    async def made(self) -> "Call":
        """The same, when it is over."""
        before = len(self._ledger.submissions)
        try:
            await _STAGES[self.cell.stage](self)
        finally:
            self._here.faults()
        self._submissions = self._ledger.submissions[before:]
        return self

    async def submit(self) -> None:
        """The fault strikes at the creating request."""
        here, fault = self._here, self.cell.fault
        if fault.away:
            async with here.upstream.away():
                await self._create()
                if fault.away == "for long":
                    await self._end()
                while not (self._now.passing or self._now.status.is_final):
                    await self._wait(1)
        elif fault.leap_s:
            self._set("submit", {"kind": "delay", "delay_s": _MOMENT_S})
            before = len(self._ledger.submissions)
            await self._create()
            while len(self._ledger.submissions) == before:
                await here.clock.sleep(1)
            here.clock.leap(fault.leap_s)
        else:
            self._strike("submit", times=1)
            await self._create()
        await self._end()

    async def poll(self) -> None:
        """The fault strikes at questions until the caller has been told, or the task has ended."""
        if self.cell.fault.away:
            await self._poll_while_away()
        elif self.cell.fault.leap_s:
            await self._poll_over_a_leap()
        else:
            await self._poll_while_it_strikes()
        self._here.faults()
        await self._end()

    async def _poll_while_away(self) -> None:
        # until it is away, nothing is told
        self._set("fetch", {"kind": "delay", "delay_s": 600, "times": None})
        await self._create()
        while self._now.prediction_id is None:
            await self._wait(1)
        async with self._here.upstream.away():
            self._here.faults()
            while not self._now.notices:
                await self._wait(_STEP_S)
            self._seen = self._now

    async def _poll_over_a_leap(self) -> None:
        self._set("fetch", {"kind": "status_word", "word": "dreaming", "times": None})
        before = self._asked
        await self._create()
        while self._asked == before:
            await self._wait(1)
        self._here.clock.leap(self.cell.fault.leap_s)

    async def _poll_while_it_strikes(self) -> None:
        self._strike("fetch", times=None)
        before = self._asked
        await self._create()
        while self._asked < before + _ASKED and not (self._now.status.is_final or self._now.notices):
            await self._wait(_STEP_S)
        if self.cell.fault.lasts:
            await self._end()
        self._seen = self._now

    async def poll_twice(self) -> None:
        """The fault strikes at two questions."""
        self._strike("fetch", times=2)
        await self._create()
        await self._end()

    async def copy_once(self) -> None:
        """The fault strikes at one download of the finished picture."""
        self._strike("picture", times=1)
        await self._create()
        await self._end()

    async def copy(self) -> None:
        """The fault strikes at every download of the finished picture."""
        here, fault = self._here, self.cell.fault
        before = here.asked["pictures"]
        if fault.leap_s:
            self._set("picture", {"kind": "delay", "delay_s": _MOMENT_S})
        else:
            self._strike("picture", times=None)
        await self._create()
        if fault.leap_s:
            while here.asked["pictures"] == before:
                await here.clock.sleep(1)
            here.clock.leap(fault.leap_s)
        await self._end()

    async def source(self) -> None:
        """The fault strikes at the download of the picture to edit."""
        here, fault = self._here, self.cell.fault
        if fault.leap_s:
            self._set("picture", {"kind": "delay", "delay_s": _MOMENT_S})
        else:
            self._strike("picture", times=1)
        before, stored = here.asked["pictures"], len(await here.studio.newest())
        creating = asyncio.create_task(self._create())
        if fault.leap_s:
            while here.asked["pictures"] == before:
                await here.clock.sleep(1)
            here.clock.leap(fault.leap_s)
        try:
            await creating
        except InvalidRequest as error:
            self._refused = error
            assert len(await here.studio.newest()) == stored, "a task was stored"
        else:
            await self._end()

    def outcome(self, journal: Mapping[str, Task]) -> Outcome:
        """What there is to see, in the words of the expectation where they mean the same."""
        created = sum(entry.outcome == "created" for entry in self._submissions)
        wanted, requests = self.cell.expected, len(self._submissions)
        is_enough = wanted.or_more and requests >= wanted.requests
        if self._refused:
            return Outcome(
                status="not started", error=self._refused.code, requests=requests, created=created, journal="no task"
            )
        stored, seen = journal[self._now.id], self._seen or self._now
        assert (stored.status, stored.failure, stored.images) == (self._now.status, self._now.failure, self._now.images)
        self._check_truth(stored, created)
        is_free = stored.submission is Submission.REFUSED and stored.cost is None
        is_copied = seen.images[0].path is not None if seen.status is Status.SUCCEEDED else None
        return Outcome(
            status=str(seen.status),
            error=seen.failure.code if seen.failure else None,
            notices=tuple(_piece(notice, wanted.notices) for notice in seen.notices),
            progress=None if seen.status.is_final else seen.progress,
            copied=is_copied if wanted.copied is not None else None,
            requests=wanted.requests if is_enough else requests,
            or_more=is_enough,
            created=created,
            journal=f"{stored.submission}, {'free' if is_free else 'cost kept'}",
            then=None if seen.status.is_final else str(self._now.status),
        )

    def _check_truth(self, task: Task, created: int) -> None:
        """What holds in every cell, whatever is expected."""
        assert created <= 1, "paid twice"
        assert "secret-key" not in repr(task)
        assert task.submission in {Submission.SENT, Submission.ACCEPTED} or (created, task.cost) == (0, None)
        assert task.submission is Submission.REFUSED or task.cost or not self.cell.road.has_price
        if task.status is Status.SUCCEEDED:
            where = NOWHERE if self.cell.fault.points_nowhere else self._here.upstream.origin
            assert [image.url.startswith(where) for image in task.images] == [True] * self.cell.road.pictures
        if holds_off_s := self.cell.fault.holds_off_s:
            assert task.updated_at - task.created_at >= holds_off_s
        if task.failure and task.failure.code != "generation_failed":
            words = f"{task.failure.message} {task.failure.next_step}"
            is_warned = "may have been c" in words or "be paid for" in words
            is_calmed = "Nothing was charged" in words or "Nothing was sent" in words
            is_free = task.submission is Submission.REFUSED
            assert (is_warned, is_calmed) == (not is_free, is_free), words

    @property
    def _ledger(self) -> ledger.Ledger:
        return self._here.upstream.sandbox.ledger

    @property
    def _now(self) -> Task:
        assert self.task is not None
        return self.task

    @property
    def _asked(self) -> int:
        """How many questions the provider was asked."""
        return self._here.asked[self.cell.road.polled]

    async def _create(self) -> None:
        road = self.cell.road
        given: dict[str, Any] = {"model": road.model, "prompt": self._prompt, **_size(road)}
        if image := self.cell.fault.edits or self._source:
            image = image if image.startswith("http") else self._here.upstream.origin + image
            given = {"tool": "edit_image", "model": road.edits, "prompt": self._prompt, "image": image}
        self.task = await created(self._here.studio, wish(**given))

    async def _wait(self, seconds: float) -> None:
        self.task = (await self._here.studio.fetch([self._now.id], seconds=seconds))[self._now.id]

    async def _end(self) -> None:
        await self._wait(_LONG_S)

    def _strike(self, on: str, times: int | None) -> None:
        """From now on, what the cell's fault says; so often, unless it says how often."""
        self._set(on, *({"times": times, **strike} for strike in self.cell.fault.strikes))

    def _set(self, on: str, *strikes: Strike) -> None:
        service = self.cell.road.service
        found = []
        for strike in strikes:
            values = {k: v[service] if isinstance(v, ByProvider) else v for k, v in strike.items()}
            endpoint = values.pop("on", on)
            found.append(sandbox.Fault(on=f"{service}/{endpoint}", **values))
        self._here.upstream.sandbox.faults.replace(found)


_STAGES = {
    "submit": Call.submit,
    "poll": Call.poll,
    "poll, twice": Call.poll_twice,
    "copy": Call.copy,
    "copy, once": Call.copy_once,
    "source": Call.source,
}


def _size(road: Road) -> dict[str, Any]:
    return {"width": road.size, "height": road.size} if road.size else {}


async def _picture(here: World, road: Road) -> str:
    """The address of a finished one."""
    return (await here.made(model=road.model, **_size(road))).images[0].url


def _piece(notice: str, pieces: tuple[str, ...]) -> str:
    return next((piece for piece in pieces if piece in notice), notice)

"""Running a chain: servers that are killed one after the other, the one that puts all in order, and the books."""

import asyncio
import json
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from support import environment_of, free_port

from chaos.audit import Books, Death, Entry
from chaos.calls import Call, make_images
from chaos.journal import Row, read_journal
from chaos.kill_hook import Trap
from chaos.plan import Chain, Life
from chaos.process import PATIENCE_S, Ended, Server, server
from journey_mcp import sandbox
from journey_mcp.sandbox.request_log import Submission
from journey_mcp.sandbox.webhook_policy import WebhookPolicy

SPEED = 5
"""Tasks last one to four seconds: some are over at the first poll, some are not."""
_ASKED_AT_ONCE = 20
_BFL_PATIENCE = WebhookPolicy(timeout_s=30, retry_gaps_s=(SPEED * 1, SPEED * 5, SPEED * 30))
"""As it is told, in real time: servers start no sooner because tasks end so."""
_TRIES = {
    service: 1 + len(policy.retry_gaps_s)
    for service, policy in {
        "journeyapi": WebhookPolicy(),
        "replicate": sandbox.ReplicateSettings().webhooks,
        "bfl": _BFL_PATIENCE,
    }.items()
}
"""How often a webhook is posted at the most."""


@dataclass(kw_only=True)
class _Environment:
    """What the servers of one chain share."""

    upstream: sandbox.Running
    trap: Trap
    folder: Path
    images: Path
    port: int | None
    """At which webhooks are taken."""
    deaths: list[Death] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """All five providers at the sandbox."""
        public = {"JOURNEY_MCP_PUBLIC_URL": self.public_url} if self.public_url else {}
        return environment_of(self.upstream, self.folder, JOURNEY_MCP_IMAGE_DIRS=str(self.images), **public)

    @property
    def public_url(self) -> str | None:
        """Where webhooks are posted to."""
        return f"http://127.0.0.1:{self.port}" if self.port else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the command."""
        return ("serve", "--webhooks", f"127.0.0.1:{self.port}") if self.port else ()

    @property
    def log(self) -> Path:
        """What the servers said on stderr, all in one."""
        return self.folder.parent / f"{self.folder.name}.log"


async def run(chain: Chain, folder: Path, images: Path) -> Books:
    """Live the lives of a chain on a database in `folder`, and return what it comes to.

    Raises TimeoutError when a moment that was aimed at does not come, or when no rest comes.
    """
    trap = Trap()
    settings = sandbox.Settings(
        speed=SPEED,
        seed=chain.seed,
        observer=trap,
        journeyapi=sandbox.JourneyApiSettings(plan="enterprise", credits=100_000),
        vtrix=sandbox.VtrixSettings(balance_usd=100_000),
        kkiai=sandbox.KkiaiSettings(balance=100_000),
        replicate=sandbox.ReplicateSettings(balance=100_000),
        bfl=sandbox.BflSettings(credits=100_000, webhooks=_BFL_PATIENCE),
    )
    async with sandbox.running(settings) as upstream:
        port = free_port() if chain.is_listening else None
        make_environment = _Environment(upstream=upstream, trap=trap, folder=folder, images=images, port=port)
        for life in chain.lives:
            await _live(make_environment, life)
        told = await _rest(make_environment)
        rows = read_journal(folder)
        return Books(
            marks=tuple(call.mark for life in chain.lives for call in life.calls),
            entries=_entries(make_environment),
            rows=rows,
            told=told,
            deaths=tuple(make_environment.deaths),
            log=make_environment.log.read_text(encoding="utf-8"),
            spoiled=tuple([path for row in rows for path in await _spoiled(row, upstream)]),
        )


async def _live(make_environment: _Environment, life: Life) -> None:
    """Start a server, call it, and see it die at the moment that was aimed at."""
    faults = [sandbox.Fault.parse(text) for text in life.faults]
    make_environment.upstream.sandbox.faults.replace(faults)
    async with server(make_environment.environment, make_environment.log, *make_environment.arguments) as running:
        make_environment.trap.set(life.aim, running.pid)
        # the first call wakes the server up: it then looks for what others left behind
        listed = asyncio.create_task(running.call("fetch_task"))
        if life.aim.exchange is None and not life.aim.is_when_queued:
            if life.aim.is_awake:
                listed.add_done_callback(lambda _: make_environment.trap.spring_later())
            else:
                make_environment.trap.spring_later()
        calls = [asyncio.create_task(_call(make_environment, running, call)) for call in life.calls]
        try:
            await asyncio.wait_for(make_environment.trap.sprung.wait(), PATIENCE_S)
        except TimeoutError as error:
            raise TimeoutError(
                f"{life} did not come to pass; so far: {make_environment.upstream.sandbox.request_log.requests}"
            ) from error
        died_at = time.monotonic()
        if (status := await running.ended()) != -signal.SIGKILL:
            raise RuntimeError(f"a server ended by itself, with {status}; see {make_environment.log}")
        await asyncio.gather(listed, return_exceptions=True)
        answers = await asyncio.gather(*calls)
    told = tuple(answer for answer in answers if answer is not None)
    rows = read_journal(make_environment.folder)
    make_environment.deaths.append(Death(name=life.aim.name, pid=running.pid, at=died_at, rows=rows, told=told))
    make_environment.upstream.sandbox.faults.replace([])


async def _call(make_environment: _Environment, running: Server, call: Call) -> Mapping[str, Any] | None:
    """The task object that a call was answered with; None when the server ended first."""
    try:
        told = await running.call(call.tool, **call.arguments(make_environment.images))
    except Ended:
        return None
    if "task_id" not in told:
        raise ValueError(f"{call} was not taken: {told}")
    if told["status"] == "queued":
        make_environment.trap.spring_when_queued()
    return told


async def _rest(make_environment: _Environment) -> dict[str, Mapping[str, Any]]:
    """Let a last server bring all to its end; what it says of every task of the journal."""
    ids = [row.id for row in read_journal(make_environment.folder)]
    told: dict[str, Mapping[str, Any]] = {}
    async with (
        server(make_environment.environment, make_environment.log, *make_environment.arguments) as running,
        asyncio.timeout(PATIENCE_S),
    ):
        for start in range(0, len(ids), _ASKED_AT_ONCE):
            asked = ids[start : start + _ASKED_AT_ONCE]
            while asked:
                answer = await running.call("fetch_task", task_ids=asked, wait_s=1 if make_environment.port else 60)
                told |= {task["task_id"]: task for task in answer["tasks"]}
                asked = [id_ for id_ in asked if _goes_on(told.get(id_, {}))]
                if all(_waits_for_its_webhook(told[id_]) for id_ in asked) and not _is_anything_posted(
                    make_environment
                ):
                    break
        # one that waits for webhooks would stay for minutes
        if status := await (running.end() if make_environment.port else running.leave()):
            raise RuntimeError(f"the last server ended with {status}; see {make_environment.log}")
    return told


def _goes_on(told: Mapping[str, Any]) -> bool:
    return told.get("status") in ("queued", "running")


def _waits_for_its_webhook(told: Mapping[str, Any]) -> bool:
    return any("may still report it until" in notice for notice in told.get("notices", ()))


def _is_anything_posted(make_environment: _Environment) -> bool:
    """Whether the sandbox still has to tell of a task."""
    return any(entry.webhook == "pending" for entry in _entries(make_environment))


def _entries(make_environment: _Environment) -> tuple[Entry, ...]:
    """The creating requests, where the pictures of what they made are, and what became of its webhook."""
    made = []
    for entry in make_environment.upstream.sandbox.request_log.submissions:
        task = make_environment.upstream.sandbox.tasks.find(entry.task_id or "")
        made.append(
            Entry(
                service=entry.service,
                outcome=entry.outcome,
                task_id=entry.task_id,
                body=(body := json.dumps(entry.request)),
                urls=frozenset(task.image_urls_of if task else ()),
                webhook=_webhook(entry, make_environment)
                if task and make_environment.public_url and make_environment.public_url in body
                else None,
            )
        )
    return tuple(made)


def _webhook(entry: Submission, make_environment: _Environment) -> Literal["pending", "taken", "given up"]:
    tried = [
        one.outcome for one in make_environment.upstream.sandbox.request_log.deliveries if one.task_id == entry.task_id
    ]
    if any(outcome.startswith("2") for outcome in tried):
        return "taken"
    return "given up" if len(tried) >= _TRIES[entry.service] else "pending"


async def _spoiled(row: Row, upstream: sandbox.Running) -> list[str]:
    """The copies of a task's pictures that are not what the provider has, to the byte."""
    task = upstream.sandbox.tasks.find(row.prediction_id or "")
    if task is None or row.status != "succeeded" or row.provider not in ("replicate", "bfl"):
        return []
    bad = []
    for image in row.outcome["images"]:
        name = image["url"].partition("?")[0].rpartition("/")[2]
        wanted = await upstream.sandbox.image_cache.get(f"{task.task_id}/{name}", task.images[name])
        path = image.get("path")
        if path is None or not Path(path).is_file() or Path(path).read_bytes() != wanted:
            bad.append(f"{path} of {row.id}")
    return bad


async def run_all(chains: Sequence[Chain], folder: Path, *, at_once: int) -> list[Books]:
    """Run chains beside each other, so many at a time, each in a folder of its own."""
    images = folder / "given"
    images.mkdir()
    make_images(images)
    places = asyncio.Semaphore(at_once)

    async def run_one(chain: Chain) -> Books:
        async with places:
            data = folder / f"chain-{chain.name}"
            data.mkdir()
            return await run(chain, data, images)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(run_one(chain)) for chain in chains]
    return [task.result() for task in running]

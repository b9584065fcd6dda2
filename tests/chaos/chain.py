"""Running a chain: servers that are killed one after another, a last one that finishes all tasks, and the record."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postgres import Server as Postgres
from support import environment_of, free_port

from chaos.audit import Crash, Entry, Record
from chaos.calls import Call, make_images
from chaos.journal import Row, await_last_statements, read_journal, read_postgresql_journal
from chaos.kill_hook import KillHook
from chaos.originals import is_copied, originals_of
from chaos.plan import Chain, Run
from chaos.process import TIMEOUT_S, Ended, Server, server
from chaos.request_log import entries_of
from journey_mcp import sandbox
from journey_mcp.sandbox.webhook_policy import WebhookPolicy

SPEED = 5
"""Tasks take one to four seconds: some have ended at the first poll, some have not."""
_IDS_PER_CALL = 20
_BFL_POLICY = WebhookPolicy(timeout_s=30, retry_gaps_s=(SPEED * 1, SPEED * 5, SPEED * 30))
"""The stated retry delays in real time: faster tasks do not make servers start faster."""
_TRIES = {
    service: 1 + len(policy.retry_gaps_s)
    for service, policy in {
        "journeyapi": WebhookPolicy(),
        "replicate": sandbox.ReplicateSettings().webhooks,
        "bfl": _BFL_POLICY,
    }.items()
}
"""The maximum number of times a webhook is posted."""


@dataclass(kw_only=True)
class _Environment:
    """The state that the servers of one chain share."""

    upstream: sandbox.Running
    kill_hook: KillHook
    folder: Path
    images: Path
    port: int | None
    """The port that receives webhooks."""
    database_url: str | None
    """The PostgreSQL database of the servers; None: SQLite, in the folder."""
    crashes: list[Crash] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that point all providers at the sandbox."""
        more = {"JOURNEY_MCP_PUBLIC_URL": self.public_url, "JOURNEY_MCP_DATABASE_URL": self.database_url}
        given = {name: value for name, value in more.items() if value}
        return environment_of(self.upstream, self.folder, JOURNEY_MCP_IMAGE_DIRS=str(self.images), **given)

    @property
    def public_url(self) -> str | None:
        """The address to which webhooks are posted."""
        return f"http://127.0.0.1:{self.port}" if self.port else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the command."""
        return ("serve", "--webhooks", f"127.0.0.1:{self.port}") if self.port else ()

    async def journal(self) -> tuple[Row, ...]:
        """Return the rows of the journal; no server may have it open."""
        if self.database_url is None:
            return read_journal(self.folder)
        await asyncio.to_thread(await_last_statements, self.database_url)
        return read_postgresql_journal(self.database_url)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The creating requests that the sandbox has received."""
        return entries_of(self.upstream, self.public_url, _TRIES)

    @property
    def log(self) -> Path:
        """The file with the stderr of all servers."""
        return self.folder.parent / f"{self.folder.name}.log"


async def run_chain(chain: Chain, folder: Path, images: Path, database_url: str | None = None) -> Record:
    """Run the servers of a chain on this PostgreSQL database, or on SQLite in `folder`; return the record.

    Raises TimeoutError if a kill point is not reached, or if the tasks do not end.
    """
    kill_hook = KillHook()
    settings = sandbox.Settings(
        speed=SPEED,
        seed=chain.seed,
        observer=kill_hook,
        journeyapi=sandbox.JourneyApiSettings(plan="enterprise", credits=100_000),
        vtrix=sandbox.VtrixSettings(balance_usd=100_000),
        kkiai=sandbox.KkiaiSettings(balance=100_000),
        replicate=sandbox.ReplicateSettings(balance=100_000),
        bfl=sandbox.BflSettings(credits=100_000, webhooks=_BFL_POLICY),
    )
    async with sandbox.running(settings) as upstream:
        port = free_port() if chain.receives_webhooks else None
        environment = _Environment(
            upstream=upstream,
            kill_hook=kill_hook,
            folder=folder,
            images=images,
            port=port,
            database_url=database_url,
        )
        for run in chain.runs:
            await _run_until_killed(environment, run)
        results = await _run_to_completion(environment)
        rows = await environment.journal()
        return Record(
            marks=tuple(call.mark for run in chain.runs for call in run.calls),
            entries=environment.entries,
            rows=rows,
            results=results,
            crashes=tuple(environment.crashes),
            log=environment.log.read_text(encoding="utf-8"),
            corrupt_copies=tuple([path for row in rows for path in await _corrupt_copies(row, upstream)]),
        )


async def _run_until_killed(environment: _Environment, run: Run) -> None:
    """Start a server, call it, and wait until it is killed at its kill point."""
    faults = [sandbox.Fault.parse(text) for text in run.faults]
    environment.upstream.sandbox.faults.replace(faults)
    async with server(environment.variables, environment.log, *environment.arguments) as running:
        environment.kill_hook.set(run.kill_point, running.pid)
        # the first call starts the engine, which takes over the tasks that others left unfinished
        listed = asyncio.create_task(running.call("fetch_task"))
        if run.kill_point.kind is None and not run.kill_point.is_queued:
            if run.kill_point.is_awake:
                listed.add_done_callback(lambda _: environment.kill_hook.kill_later())
            else:
                environment.kill_hook.kill_later()
        calls = [asyncio.create_task(_call(environment, running, call)) for call in run.calls]
        try:
            await asyncio.wait_for(environment.kill_hook.killed.wait(), TIMEOUT_S)
        except TimeoutError as error:
            raise TimeoutError(
                f"{run} was not reached; requests so far: {environment.upstream.sandbox.request_log.requests}"
            ) from error
        died_at = time.monotonic()
        if (status := await running.ended()) != -signal.SIGKILL:
            raise RuntimeError(f"a server ended by itself, with {status}; see {environment.log}")
        await asyncio.gather(listed, return_exceptions=True)
        responses = await asyncio.gather(*calls)
    results = tuple(response for response in responses if response is not None)
    rows = await environment.journal()
    environment.crashes.append(Crash(name=run.kill_point.name, pid=running.pid, at=died_at, rows=rows, results=results))
    environment.upstream.sandbox.faults.replace([])


async def _call(environment: _Environment, running: Server, call: Call) -> Mapping[str, Any] | None:
    """Call a tool and return the task object; None if the server ended first."""
    try:
        result = await running.call(call.tool, **call.arguments(environment.images))
    except Ended:
        return None
    if "task_id" not in result:
        raise ValueError(f"{call} was not accepted: {result}")
    if result["status"] == "queued":
        environment.kill_hook.kill_if_queued()
    return result


async def _run_to_completion(environment: _Environment) -> dict[str, Mapping[str, Any]]:
    """Let a last server finish all tasks; return its results for every task of the journal."""
    ids = [row.id for row in await environment.journal()]
    results: dict[str, Mapping[str, Any]] = {}
    async with (
        server(environment.variables, environment.log, *environment.arguments) as running,
        asyncio.timeout(TIMEOUT_S),
    ):
        for start in range(0, len(ids), _IDS_PER_CALL):
            pending_ids = ids[start : start + _IDS_PER_CALL]
            while pending_ids:
                response = await running.call("fetch_task", task_ids=pending_ids, wait_s=1 if environment.port else 60)
                results |= {task["task_id"]: task for task in response["tasks"]}
                pending_ids = [id_ for id_ in pending_ids if _is_unfinished(results.get(id_, {}))]
                if all(_awaits_webhook(results[id_]) for id_ in pending_ids) and not _are_webhooks_pending(environment):
                    break
        # a server that awaits webhooks would run for minutes
        if status := await (running.end() if environment.port else running.close_stdin()):
            raise RuntimeError(f"the last server ended with {status}; see {environment.log}")
    return results


def _is_unfinished(task: Mapping[str, Any]) -> bool:
    return task.get("status") in ("queued", "running")


def _awaits_webhook(task: Mapping[str, Any]) -> bool:
    return any("may still report it until" in notice for notice in task.get("notices", ()))


def _are_webhooks_pending(environment: _Environment) -> bool:
    """Return whether the sandbox still has webhooks to post."""
    return any(entry.webhook == "pending" for entry in environment.entries)


async def _corrupt_copies(row: Row, upstream: sandbox.Running) -> list[str]:
    """Return the copies of a task's images that differ from the provider's by any byte."""
    if not is_copied(row):
        return []
    paths = [image.get("path") for image in row.outcome["images"]]
    return [
        f"{path} of {row.id}"
        for path, wanted in zip(paths, await originals_of(row, upstream), strict=False)
        if path is None or not Path(path).is_file() or Path(path).read_bytes() != wanted
    ]


async def run_all(
    chains: Sequence[Chain], folder: Path, *, at_once: int, database: Postgres | None = None
) -> list[Record]:
    """Run chains concurrently, at most `at_once`, each in its own folder, and on its own database of this server."""
    images = folder / "given"
    images.mkdir()
    make_images(images)
    limit = asyncio.Semaphore(at_once)

    async def run_one(chain: Chain) -> Record:
        async with limit:
            data = folder / f"chain-{chain.name}"
            data.mkdir()
            return await run_chain(chain, data, images, database.new_database() if database else None)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(run_one(chain)) for chain in chains]
    return [task.result() for task in running]

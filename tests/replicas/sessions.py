"""Many sessions at once: each makes images through the proxy and waits for them, whatever dies meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from chaos.audit import Entry

from replicas.caller import REVISIONS, Caller, Repeats
from replicas.fleet import Fleet

IMAGES = 2
"""So many images are made by each session, one after the other."""
_ARGUMENTS: Sequence[Mapping[str, str]] = (
    {"provider": "journeyapi", "model": "flux-pro"},
    {"provider": "bfl", "model": "flux-2-pro"},
    {"provider": "journeyapi", "model": "flux-dev"},
    {"provider": "replicate", "model": "flux-schnell"},
    {"provider": "journeyapi", "model": "z-image"},
)
"""Polled models of three providers, and one that answers only when the image is finished."""
_IDS_PER_CALL = 20
_STORED_WITHIN_S = 30


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a session learned about one image."""

    mark: str
    principal: str
    task: Mapping[str, Any]
    unconfirmed: Sequence[str] = ()
    """Earlier tasks of the same image: nobody knows of an answer, and the provider has none of them."""

    @property
    def id(self) -> str:
        """The id of the task; "" if there is none."""
        return str(self.task.get("task_id", ""))


async def run_sessions(fleet: Fleet, tokens: Mapping[str, str], count: int) -> tuple[list[Result], Repeats]:
    """Run sessions of all principals and revisions at once; return their results, and what they had to repeat."""
    repeats = Repeats()
    principals, revisions = itertools.cycle(tokens), itertools.cycle(REVISIONS)
    async with new_client() as http, asyncio.TaskGroup() as group:
        running = []
        for number in range(count):
            principal = next(principals)
            caller = Caller(
                http=http,
                url=fleet.proxy_url,
                token=tokens[principal],
                revision=next(revisions),
                repeats=repeats,
            )
            running.append(group.create_task(_session(fleet, caller, principal, number)))
    return [result for session in running for result in session.result()], repeats


async def _session(fleet: Fleet, caller: Caller, principal: str, number: int) -> list[Result]:
    await caller.initialize()
    results = []
    for image in range(IMAGES):
        mark = f"number {number} {image} of {principal}"
        prompt = f"a paper kite with the words {mark} above a quiet beach"
        arguments = {**_ARGUMENTS[(number + image) % len(_ARGUMENTS)], "prompt": prompt}
        task, unconfirmed = await _made(fleet, caller, arguments, mark)
        results.append(Result(mark=mark, principal=principal, task=task, unconfirmed=unconfirmed))
    return results


async def _made(
    fleet: Fleet, caller: Caller, arguments: Mapping[str, str], mark: str
) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Make an image; return its task at its end, and those before it of which nobody knows an answer.

    A call that is unconfirmed is made again as its error says: once the person has looked into the account at the
    provider, and nothing is there. The other prompt protects the new call against duplicates, which `fresh` would not.
    If something is there, it was paid, and is not made again.
    """
    unconfirmed: list[str] = []
    while True:
        prompt = arguments["prompt"] + ", again" * len(unconfirmed)
        task = await _ended(fleet, caller, {**arguments, "prompt": prompt}, mark)
        if task.get("error", {}).get("retryable"):
            caller.repeats.reasons[task["error"]["code"]] += 1
        elif _is_unconfirmed(task) and not _in_account(fleet, mark):
            unconfirmed.append(task["task_id"])
        else:
            return task, tuple(unconfirmed)


async def _ended(fleet: Fleet, caller: Caller, arguments: Mapping[str, str], mark: str) -> Mapping[str, Any]:
    """Return a task at its end; or earlier, if it waits for a webhook that does not come."""
    task = await caller.call("imagine", **arguments, wait_s=10)
    while task.get("status") in ("queued", "running"):
        [task] = (await caller.call("fetch_task", task_ids=[task["task_id"]], wait_s=20))["tasks"]
        if _is_unconfirmed(task) and all(entry.webhook == "given up" for entry in _in_account(fleet, mark)):
            break
    return task


def _in_account(fleet: Fleet, mark: str) -> Sequence[Entry]:
    """Return the requests of a call that its provider has not refused."""
    return [entry for entry in fleet.entries(mark) if not entry.outcome.startswith("refused")]


def _is_unconfirmed(task: Mapping[str, Any]) -> bool:
    """Return whether nobody knows an answer to the creating request; a webhook may still bring one."""
    is_awaited = any("may still report it until" in notice for notice in task.get("notices", ()))
    return is_awaited or task.get("error", {}).get("code") == "submission_unconfirmed"


async def read_everywhere(fleet: Fleet, tokens: Mapping[str, str], results: Sequence[Result]) -> list[str]:
    """Let each replica return every result to its principal, and none of them to another; return what is wrong."""
    problems = []
    strangers = dict(zip(tokens, [*list(tokens)[1:], *list(tokens)[:1]], strict=True))
    async with new_client() as http:
        for replica in fleet.replicas:
            for principal, token in tokens.items():
                own = [result for result in results if result.principal == principal]
                caller = Caller(http=http, url=replica.url, token=token, revision=REVISIONS[-1])
                found = await fetched(caller, own)
                # what a replica had in memory when the database was away is stored a moment later
                late = [result for result in own if _differs(result, found)]
                found |= await fetched(caller, late, wait_s=_STORED_WITHIN_S)
                problems += [
                    f"replica {replica.name} returns another result for {result.mark}: {_seen(result, found)}"
                    for result in own
                    if _differs(result, found)
                ]
                stranger = Caller(
                    http=http, url=replica.url, token=tokens[strangers[principal]], revision=REVISIONS[-1]
                )
                problems += [
                    f"replica {replica.name} shows {strangers[principal]} the task {id_} of {principal}: {task}"
                    for id_, task in (await fetched(stranger, own)).items()
                    if set(task) - {"task_id", "error", "next_step", "status"}
                    or task["error"]["code"] != "unknown_task"
                ]
    return problems


async def fetched(caller: Caller, results: Sequence[Result], *, wait_s: int = 0) -> dict[Any, Any]:
    """Return the tasks as a principal gets them, by id; after a wait for those that run."""
    ids = [result.id for result in results if result.id]
    found: dict[Any, Any] = {}
    for start in range(0, len(ids), _IDS_PER_CALL):
        answer = await caller.call("fetch_task", task_ids=ids[start : start + _IDS_PER_CALL], wait_s=wait_s)
        found |= {task["task_id"]: task for task in answer.get("tasks", [answer])}
    return found


def _differs(result: Result, found: Mapping[Any, Any]) -> bool:
    """Return whether a replica shows another result than the one that the session got."""
    return bool(_essence(_seen(result, found)) != _essence(result.task))


def _seen(result: Result, found: Mapping[Any, Any]) -> Any:
    return found.get(result.id)


def _essence(task: Mapping[str, Any] | None) -> Any:
    """Return what never changes in the result of a finished task; notices and links may."""
    if task is None:
        return None
    code = task.get("error", {}).get("code")
    return task.get("status"), code, task.get("provider_task_id"), [image["id"] for image in task.get("images", ())]


@asynccontextmanager
async def new_client() -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client for many connections."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=300, limits=limits) as http:
        yield http

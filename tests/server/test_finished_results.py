"""A repeated call for a finished task gets the same result, as long as nothing can change it."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from mcp import Client
from mcp.server import ServerRequestContext
from store.examples import TASK
from support import coarse, running_studio, settings_for

from journey_mcp import sandbox
from journey_mcp.auth.identity import Identity
from journey_mcp.core import telemetry
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.server.app import make_server
from journey_mcp.server.auth.identity import LOCAL_IDENTITY
from journey_mcp.server.finished_results import FinishedResults, lasts_with
from journey_mcp.server.lifespan import Lifespan

IMAGE = OutputImage(url="https://images.test/a.png")
ENDED = replace(TASK, status=Status.SUCCEEDED, images=(IMAGE,))
CALL = {"name": "fetch_task", "arguments": {"task_ids": [ENDED.id]}}


class Server:
    """The middleware before a handler, with finished tasks in memory."""

    def __init__(self, *tasks: Task) -> None:
        self.in_memory = {task.id: task for task in tasks}
        self.handled = 0
        self._results = FinishedResults(self._find)

    async def call(
        self, call: Mapping[str, Any] = CALL, *, identity: Identity = LOCAL_IDENTITY, revision: str = "2026-07-28"
    ) -> Any:
        """Return the result of a call, with the number of calls that the handler had until then."""
        unused: Any = None
        context = ServerRequestContext[Any, Any](
            session=unused,
            lifespan_context=unused,
            protocol_version=revision,
            method="tools/call",
            params=call,
            request=_Request(identity),
        )
        return await self._results(context, self._handle)

    def _find(self, task_id: str, principal: Principal) -> Task | None:
        task = self.in_memory.get(task_id)
        return task if task and task.principal == principal else None

    async def _handle(self, context: ServerRequestContext[Any, Any]) -> dict[str, Any]:
        self.handled += 1
        for task_id in context.params["arguments"]["task_ids"] if context.params else ():
            lasts_with(self.in_memory[task_id])
        return {"structuredContent": {"tasks": [{"provider": "journeyapi", "status": "succeeded"}]}}


class _Request:
    def __init__(self, identity: Identity) -> None:
        self.scope = {"state": {"identity": identity}}


class Log:
    """Recorder of the ends of operations."""

    def __init__(self) -> None:
        self.ended_with: list[dict[str, telemetry.Value]] = []

    def started(self, operation: telemetry.Operation) -> None:
        """Do nothing."""

    def ended(self, operation: telemetry.Operation, _duration_s: float) -> None:
        """Record it."""
        self.ended_with.append(operation.attributes)

    def headers(self) -> Mapping[str, str]:
        """Return none."""
        return {}


@contextmanager
def log() -> Iterator[Log]:
    """Record what ends in the block."""
    recorder = Log()
    end = telemetry.record_to(recorder)
    try:
        yield recorder
    finally:
        end()


async def test_the_same_call_gets_the_same_result() -> None:
    """What is new in each call makes no difference, and each call is recorded."""
    server = Server(ENDED)
    first = await server.call({**CALL, "_meta": {"progressToken": 1, "traceparent": "a", "client": "x"}})
    with log() as recorder:
        assert await server.call({**CALL, "_meta": {"progressToken": 2, "client": "x"}}) is first
    assert recorder.ended_with == [
        {"tool": "fetch_task", "caller": "local", "provider": "journeyapi", "outcome": "succeeded"}
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"call": {**CALL, "arguments": {"task_ids": [ENDED.id], "wait_s": 1}}},
        {"call": {**CALL, "_meta": {"client": "y"}}},
        {"identity": replace(LOCAL_IDENTITY, principal=Principal("token:other"))},
        {"identity": replace(LOCAL_IDENTITY, scopes=frozenset())},
        {"revision": "2025-11-25"},
    ],
    ids=["arguments", "client", "principal", "scopes", "revision"],
)
async def test_another_call_is_handled(other: dict[str, Any]) -> None:
    """Everything on which the result depends is compared."""
    server = Server(ENDED)
    await server.call()
    await server.call(**other)
    assert server.handled == 2


@pytest.mark.parametrize(
    "call",
    [
        {"name": "view_image", "arguments": {"task_ids": [ENDED.id]}},
        {**CALL, "_meta": {"client": "x" * 2000}},
        {"name": "fetch_task", "arguments": {"task_ids": []}},
    ],
    ids=["another tool", "a long call", "a result without a task"],
)
async def test_other_calls_are_handled_each_time(call: dict[str, Any]) -> None:
    """Only `fetch_task` for one task is kept, and no call that takes much memory."""
    server = Server(ENDED)
    await server.call()  # what it noted does not count for the next call
    handled = [await server.call(call) is not None for _ in range(2)]
    assert server.handled == 1 + len(handled)


@pytest.mark.parametrize("now", [[], [replace(ENDED)]], ids=["deleted", "read again"])
async def test_a_result_ends_with_its_task_in_memory(now: list[Task]) -> None:
    """One that was read again may be another one."""
    server = Server(ENDED)
    await server.call()
    server.in_memory = {task.id: task for task in now} or {ENDED.id: replace(ENDED, principal=Principal("token:other"))}
    await server.call()
    assert server.handled == 2


@pytest.mark.parametrize(
    "task",
    [
        replace(ENDED, status=Status.RUNNING),
        replace(ENDED, provider=SANDBOX),
        replace(ENDED, images=(IMAGE, replace(IMAGE, expires_at=200.0))),
        replace(ENDED, images=(replace(IMAGE, path="/a.png"),)),
    ],
    ids=["running", "sandbox", "link expires", "copy"],
)
async def test_what_time_or_files_can_change_is_not_kept(task: Task) -> None:
    """It is rendered for each call."""
    server = Server(task)
    await server.call()
    await server.call()
    assert server.handled == 2


async def test_the_oldest_of_a_thousand_results_is_replaced() -> None:
    """Memory is bounded."""
    tasks = [replace(ENDED, id=f"tsk_{number}") for number in range(1001)]
    server = Server(*tasks)
    for task in (*tasks, *tasks[1:], tasks[0]):
        await server.call({"name": "fetch_task", "arguments": {"task_ids": [task.id]}})
    assert server.handled == len(tasks) + 1


@asynccontextmanager
async def session(folder: Path, clock: ManualClock) -> AsyncIterator[Client]:
    """Open a client of a server on this clock, at a sandbox in which every task ends at once."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, folder, JOURNEY_MCP_KEEP_IMAGES="off")
        lifespan = Lifespan(settings, lambda given: running_studio(given, clock), is_local=False)
        async with Client(make_server(lifespan)) as client:
            yield client


async def test_a_client_gets_the_same_result_again(tmp_path: Path) -> None:
    """Also with a second id, or by the id of an image, where it is made anew."""
    async with session(tmp_path, ManualClock()) as client:
        made = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
        task_id = (made.structured_content or {})["task_id"]
        ids = ([task_id], [task_id], [task_id], [task_id, "tsk_unknown"], [f"{task_id}.1"])
        found = [await client.call_tool("fetch_task", {"task_ids": id_}) for id_ in ids]
    tasks = [(one.structured_content or {})["tasks"][0] for one in found]
    assert tasks == [tasks[0]] * len(ids)
    assert tasks[0]["images"] == (made.structured_content or {})["images"]
    assert found[0].content == found[2].content


async def test_a_task_that_was_deleted_elsewhere_is_unknown_after_a_minute(tmp_path: Path) -> None:
    """At the latest, without any news of it; until then its result needs no database."""
    clock = ManualClock()
    async with session(tmp_path, clock) as client:
        made = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
        call = {"task_ids": [(made.structured_content or {})["task_id"]]}
        before = (await client.call_tool("fetch_task", call)).structured_content
        await clock.sleep(10)  # until it is stored that this client has the result
        await client.call_tool("fetch_task", call)
        with sqlite3.connect(tmp_path / "tasks.db") as database:
            database.execute("DELETE FROM tasks")
        database.close()
        assert (await client.call_tool("fetch_task", call)).structured_content == before
        await clock.sleep(61)
        assert (await client.call_tool("fetch_task", call)).is_error

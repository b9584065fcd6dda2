"""Calls that return tasks, only for clients that declare the extension."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from conformance.fixtures import fixture_server
from manual_clock import ManualClock, until
from mcp import Client, MCPError
from mcp.server.lowlevel.server import Server
from mcp.shared.inbound import encode_header_value
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from support import (
    coarse,
    environment_for,
    environment_of,
    make_request,
    running_studio,
    serving,
    settings_for,
    until_accepted,
)
from tasks_client import EXTENSION, Handle, State, Tasks, begin, cancel, get, update, wait_for_status

from journey_mcp import sandbox
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import Task
from journey_mcp.engine.waiting import stage
from journey_mcp.server.app import make_server
from journey_mcp.server.extensions import tasks
from journey_mcp.server.extensions.tasks import Context, TaskSource
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.settings import Settings, read_settings
from journey_mcp.store import open_store

NOW = "2026-07-28"
DECLARED: dict[str, Any] = {"extensions": {EXTENSION: {}}}
METHODS = ["tasks/get", "tasks/update", "tasks/cancel"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SLOW = {"prompt": "a red kite over the dunes"}
"""A call with a task that takes several polls."""


# --- servers -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def in_memory(settings: Settings, clock: ManualClock | None = None, **more: Any) -> AsyncIterator[Client]:
    """Connect a client to a server in this process."""
    async with Client(
        make_server(Lifespan(settings, partial(running_studio, clock=clock), is_local=True)), **more
    ) as client:
        yield client


@asynccontextmanager
async def session(folder: Path, *faults: str, **more: Any) -> AsyncIterator[tuple[Client, sandbox.Running]]:
    """Connect a client in memory that declares tasks; its server uses a sandbox. Names in capitals are settings."""
    parsed = tuple(sandbox.Fault.parse(fault) for fault in faults)
    variables = {name: more.pop(name) for name in list(more) if name.isupper()}
    async with (
        sandbox.running(coarse(speed=0, seed=7, faults=parsed)) as upstream,
        in_memory(settings_for(upstream.base_url, folder, **variables), extensions=[Tasks()], **more) as client,
    ):
        yield client, upstream


def enveloped(params: dict[str, Any], capabilities: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request of the newest revision."""
    meta = {"io.modelcontextprotocol/protocolVersion": NOW, "io.modelcontextprotocol/clientCapabilities": capabilities}
    return {**params, "_meta": meta}


async def post(
    address: str, method: str, params: dict[str, Any], capabilities: dict[str, Any], **headers: str | None
) -> tuple[int, dict[str, Any]]:
    """Return status and message of the response to a request over HTTP; a header that is `None` is omitted."""
    named = params.get("taskId", params.get("name"))
    usual = {"mcp_protocol_version": NOW, "mcp_method": method, "mcp_name": named, **headers}
    sent = {name.replace("_", "-"): value for name, value in usual.items() if value is not None}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": enveloped(params, capabilities)}
    accept = {"accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        answer = await http.post(address, json=body, headers={**sent, **accept})
    text = answer.text
    if "text/event-stream" in answer.headers["content-type"]:
        text = next(line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {"))
    return answer.status_code, json.loads(text)


Connect = Callable[..., AbstractAsyncContextManager[Client]]
"""Connects a client to a server with this environment; other arguments are options of the client."""
Serve = Callable[[dict[str, str]], AbstractAsyncContextManager[str]]
"""Runs a server with this environment over HTTP, and returns its address."""
Exchange = Callable[..., Awaitable[list[dict[str, Any]]]]
"""Sends messages to a server with this environment, one after the other, and returns the responses."""


@asynccontextmanager
async def served_here(environment: dict[str, str]) -> AsyncIterator[str]:
    """Serve HTTP in this process, and return the address."""
    app = make_app(Lifespan(read_settings(environment), running_studio, is_local=False))
    async with app.router.lifespan_context(app), serving(app) as origin:
        yield f"{origin}/mcp"


@asynccontextmanager
async def over_http(environment: dict[str, str], **more: Any) -> AsyncIterator[Client]:
    """Connect a client over HTTP to a server in this process."""
    async with served_here(environment) as address, Client(address, **more) as client:
        yield client


def over_memory(environment: dict[str, str], **more: Any) -> AbstractAsyncContextManager[Client]:
    """Connect a client to a server in this process, without a transport."""
    return in_memory(read_settings(environment), **more)


async def exchanged_here(environment: dict[str, str], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the responses of a server in this process, over streams in place of stdin and stdout."""
    server = make_server(Lifespan(read_settings(environment), running_studio, is_local=True))
    answers: list[dict[str, Any]] = []
    async with (
        create_client_server_memory_streams() as ((received, sent), streams),
        anyio.create_task_group() as group,
    ):
        group.start_soon(server.run, *streams, server.create_initialization_options())
        for number, message in enumerate(messages):
            line = json.dumps({"jsonrpc": "2.0", "id": number, **message})
            await sent.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False)))
            answer = await received.receive()
            assert isinstance(answer, SessionMessage)
            answers.append(json.loads(answer.message.model_dump_json(by_alias=True, exclude_unset=True)))
        await sent.aclose()
    return answers


@pytest.fixture(params=[over_memory, over_http], ids=["memory", "http"])
def connected(request: pytest.FixtureRequest) -> Connect:
    """Return how a client connects."""
    connect: Connect = request.param
    return connect


@pytest.fixture
def served() -> Serve:
    """Return how HTTP is served."""
    return served_here


@pytest.fixture
def exchanged() -> Exchange:
    """Return how single messages are exchanged."""
    return exchanged_here


# --- the lifecycle of a task -------------------------------------------------------------------------------------


async def test_a_call_becomes_a_task_and_the_task_its_result(tmp_path: Path, connected: Connect) -> None:
    """With exactly the fields of the specification, and the id that the tools use."""
    async with (
        sandbox.running(coarse(speed=0)) as upstream,
        # a copy that is made between two results would be in the second one only
        connected(
            environment_for(upstream.base_url, tmp_path, JOURNEY_MCP_KEEP_IMAGES="off"), extensions=[Tasks()]
        ) as client,
    ):
        assert (client.server_capabilities.extensions or {})[EXTENSION] == {}
        handle = await begin(client, "imagine", prompt="a kite")
        plain = handle.model_dump(by_alias=True, exclude_none=True)
        assert set(plain) == {
            "_meta",
            "resultType",
            "taskId",
            "status",
            "statusMessage",
            "createdAt",
            "lastUpdatedAt",
            "ttlMs",
            "pollIntervalMs",
        }
        assert (handle.status, handle.status_message) == ("working", "midjourney: running")
        assert (handle.ttl_ms, handle.poll_interval_ms) == (30 * 24 * 3600 * 1000, 2000)
        assert TIMESTAMP.fullmatch(handle.created_at)
        assert TIMESTAMP.fullmatch(handle.last_updated_at)
        at_once = await get(client, handle.task_id)
        assert set(at_once.model_dump(by_alias=True, exclude_none=True)) == set(plain)
        assert (at_once.task_id, at_once.status, at_once.created_at) == (handle.task_id, "working", handle.created_at)
        done = await wait_for_status(client, handle.task_id, "completed")
        assert set(done.model_dump(by_alias=True, exclude_none=True)) == {*plain, "result"}
        assert done.last_updated_at > handle.last_updated_at
        assert done.result is not None
        assert (done.result["isError"], done.result["structuredContent"]["status"]) == (False, "succeeded")
        fetched = await client.call_tool("fetch_task", {"task_ids": [handle.task_id]})
        assert fetched.structured_content == {"tasks": [{**done.result["structuredContent"], "prompt": "a kite"}]}
        edited = await begin(client, "edit_image", prompt="blue", image=f"{handle.task_id}.2")
        assert (
            await wait_for_status(client, edited.task_id, "completed")
        ).status_message == "flux-kontext-pro: succeeded"
        assert upstream.sandbox.request_log.requests["imagine"] == 2


async def test_a_client_whose_sdk_waits_for_tasks_gets_a_usual_result(tmp_path: Path, connected: Connect) -> None:
    """The result conforms to the tool's output schema."""
    async with (
        sandbox.running(coarse(speed=0)) as upstream,
        connected(environment_for(upstream.base_url, tmp_path), extensions=[Tasks()]) as client,
    ):
        result = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
        assert result.structured_content is not None
        assert result.structured_content["status"] == "succeeded"


async def test_the_result_equals_that_of_the_tool(tmp_path: Path) -> None:
    """Byte for byte: a client without the extension joins the task, and waits for the same result."""
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with in_memory(settings, extensions=[Tasks()]) as client, in_memory(settings) as other:
            handle = await begin(client, "imagine", **SLOW)
            own = await other.call_tool("imagine", {**SLOW, "wait_s": 300})
            answer = await wait_for_status(client, handle.task_id, "completed")
        plain = own.model_dump(by_alias=True, mode="json", exclude={"meta"}, exclude_none=True)
        (notice,) = plain["structuredContent"].pop("notices")
        text = plain["content"][0]["text"]
        plain["content"][0]["text"] = text.replace(f"Notice: {notice}\n", "")
        assert answer.result == plain
        assert [block["type"] for block in plain["content"]] == ["text"]
        assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_the_first_finished_state_has_the_preview_of_the_call(tmp_path: Path) -> None:
    """With the paths of its copies; later ones have the same object and text."""
    async with session(tmp_path, JOURNEY_MCP_PREVIEW="always") as (client, _):
        handle = await begin(client, "imagine", prompt="a kite", model="midjourney")
        first = (await wait_for_status(client, handle.task_id, "completed")).result or {}
        again = (await get(client, handle.task_id)).result or {}
        assert [block["type"] for block in first["content"]] == ["text", "image"]
        assert all(Path(image["path"]).is_file() for image in first["structuredContent"]["images"])
        assert again == {**first, "content": first["content"][:1]}


async def test_a_failed_image_is_a_completed_task_with_the_error_as_its_result(tmp_path: Path) -> None:
    """`failed` is for protocol errors."""
    async with session(tmp_path) as (client, _):
        handle = await begin(client, "imagine", prompt="forbidden-in-sandbox", model="z-image")
        done = await wait_for_status(client, handle.task_id, "completed", "failed")
        assert (done.status, done.status_message) == ("completed", "z-image: failed")
        assert done.result is not None
        assert done.result["isError"] is True
        assert done.result["structuredContent"]["error"]["code"] == "generation_failed"


@pytest.mark.parametrize(
    ("variables", "arguments", "code"),
    [
        ({}, {"prompt": "p", "model": "dall-e"}, "unknown_model"),
        ({}, {"prompt": "p", "size": "big"}, "invalid_arguments"),
        ({"JOURNEY_MCP_BUDGET": "3credits/call"}, {"prompt": "p"}, "over_budget"),
    ],
)
async def test_an_invalid_call_is_not_a_task(
    tmp_path: Path, variables: dict[str, str], arguments: dict[str, Any], code: str
) -> None:
    """It returns the tool's error at once."""
    async with session(tmp_path, **variables) as (client, upstream):
        result = await client.session.call_tool("imagine", arguments, allow_claimed=True)
        assert isinstance(result, types.CallToolResult)
        assert result.is_error
        assert result.structured_content is not None
        assert result.structured_content["error"]["code"] == code
        assert not upstream.sandbox.request_log.submissions


async def test_fetch_task_and_cancel_task_return_no_task(tmp_path: Path) -> None:
    """They return their result at once to every client."""
    async with session(tmp_path, "submit:hang") as (client, _):
        handle = await begin(client, "imagine", **SLOW)
        for tool, arguments in (
            ("fetch_task", {"task_ids": [handle.task_id], "wait_s": 0}),
            ("cancel_task", {"task_ids": [handle.task_id]}),
        ):
            result = await client.session.call_tool(tool, arguments, allow_claimed=True)
            assert isinstance(result, types.CallToolResult)
            assert result.structured_content is not None
            assert [task["task_id"] for task in result.structured_content["tasks"]] == [handle.task_id]


async def test_an_old_task_has_a_longer_poll_interval(tmp_path: Path) -> None:
    """After a minute it is ten seconds."""
    clock = ManualClock()
    async with session(tmp_path, "submit:hang", clock=clock) as (client, _):
        handle = await begin(client, "imagine", **SLOW)
        for seconds, interval_ms in ((59, 2_000), (2, 10_000)):
            await clock.sleep(seconds)
            state = await get(client, handle.task_id)
            assert (state.status, state.poll_interval_ms) == ("working", interval_ms)


async def is_queued(client: Client, task_id: str) -> bool:
    """Whether the task waits here and is not at the provider yet."""
    return "queued" in ((await get(client, task_id)).status_message or "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "z-image: queued"),
        ({"status": Status.RUNNING}, "z-image: running"),
        ({"status": Status.RUNNING, "progress": 0.4}, "z-image: running, 40%"),
        ({"status": Status.SUCCEEDED, "progress": 1.0}, "z-image: succeeded"),
    ],
)
def test_a_status_message_is_short(changes: dict[str, Any], says: str) -> None:
    """For people who watch a task."""
    base: dict[str, Any] = {"id": "tsk_1", "principal": "local", "provider": "p", "base_url": "u", "created_at": 0.0}
    assert stage(Task(**base, request=make_request(), updated_at=0.0, **changes)) == says


async def test_a_task_of_an_unconfigured_provider_says_so(tmp_path: Path) -> None:
    """It waits, and does not count as running."""
    async with sandbox.running(coarse(speed=1)) as upstream:
        async with running_studio(settings_for(upstream.base_url, tmp_path)) as studio:
            task = await until_accepted(studio, (await studio.create(make_request(model="midjourney"), LOCAL)).task)
        async with in_memory(settings_for("http://127.0.0.1:9/api", tmp_path), extensions=[Tasks()]) as client:
            state = await get(client, task.id)
            assert state.status == "working"
            assert state.status_message is not None
            assert "which is not configured on this server" in state.status_message


# --- duplicate calls, and confirmation ---------------------------------------------------------------------------


async def test_an_identical_call_returns_the_running_task_and_says_why(tmp_path: Path) -> None:
    """The notice of the tool is the message of the task."""
    async with session(tmp_path, "submit:hang") as (client, upstream):
        first = await begin(client, "imagine", **SLOW)
        second = await begin(client, "imagine", **SLOW)
        assert second.task_id == first.task_id
        assert second.status_message is not None
        assert second.status_message.startswith("Identical request from ")
        assert "returning its task" in second.status_message
        assert upstream.sandbox.request_log.requests["imagine"] <= 1


async def test_a_result_that_was_read_is_acknowledged(tmp_path: Path) -> None:
    """Until then identical calls return its finished task; the first one afterwards creates a new task."""
    async with session(tmp_path) as (client, upstream):
        first = await begin(client, "imagine", prompt="p", model="z-image")
        await anyio.sleep(10)
        joined = await begin(client, "imagine", prompt="p", model="z-image")
        assert (joined.task_id, joined.status) == (first.task_id, "completed")
        assert "result" not in joined.model_dump()
        assert "whose result may not have been received" in (joined.status_message or "")
        assert (await get(client, first.task_id)).result is not None
        fresh = await begin(client, "imagine", prompt="p", model="z-image")
        assert fresh.task_id != first.task_id
        await wait_for_status(client, fresh.task_id, "completed")
        assert upstream.sandbox.request_log.requests["imagine"] == 2


async def test_the_cost_is_confirmed_before_a_task_exists(tmp_path: Path, connected: Connect) -> None:
    """With a multi-round-trip request; the call with the answer returns the task."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path, JOURNEY_MCP_CONFIRM_ABOVE="1credits")
        call = {"prompt": "a kite", "model": "z-image"}
        both: Any = {"allow_claimed": True, "allow_input_required": True}

        async def unused(_context: Any, _params: Any) -> types.ElicitResult:
            raise AssertionError("the session sends no request")

        async with connected(environment, extensions=[Tasks()], elicitation_callback=unused) as client:
            asked: Any = await client.session.call_tool("imagine", call, **both)
            assert isinstance(asked, types.InputRequiredResult)
            assert "task" not in json.dumps(asked.model_dump(by_alias=True, mode="json", exclude_none=True))
            assert not upstream.sandbox.request_log.submissions
            for agree, kind in ((False, types.CallToolResult), (True, Handle)):
                answer = types.ElicitResult(action="accept", content={"agree": agree})
                result = await client.session.call_tool(
                    "imagine",
                    call,
                    input_responses={"cost": answer},
                    request_state=asked.request_state,
                    **both,
                )
                assert isinstance(result, kind)
            assert isinstance(result, Handle)
            assert result.status == "working"
            assert (await wait_for_status(client, result.task_id, "completed")).result is not None
        assert len(upstream.sandbox.request_log.submissions) == 1


# --- tasks/cancel and tasks/update -------------------------------------------------------------------------------


async def test_a_queued_task_is_canceled(tmp_path: Path, connected: Connect) -> None:
    """The acknowledgement does not show the task, and the second one is the same."""
    faults = (sandbox.Fault.parse("submit:status=429,times=always,header.Retry-After=60"),)
    async with (
        sandbox.running(coarse(speed=0, faults=faults)) as upstream,
        connected(environment_for(upstream.base_url, tmp_path), extensions=[Tasks()]) as client,
    ):
        handle = await begin(client, "imagine", **SLOW)
        with anyio.fail_after(20):
            while not upstream.sandbox.request_log.requests["imagine"] or not await is_queued(client, handle.task_id):
                await anyio.sleep(0.01)
        for _ in range(2):
            ack = await cancel(client, handle.task_id)
            assert set(ack.model_dump(by_alias=True, exclude_none=True)) == {"resultType", "_meta"}
            state = await wait_for_status(client, handle.task_id, "cancelled")
            assert state.status_message == "midjourney: canceled"
            assert not {"result", "error"} & set(state.model_dump(exclude_none=True))


async def test_a_task_that_its_provider_cannot_cancel_continues(tmp_path: Path) -> None:
    """The request is still acknowledged."""
    async with session(tmp_path, "submit:hang") as (client, upstream):
        handle = await begin(client, "imagine", **SLOW)
        await until(lambda: upstream.sandbox.request_log.requests["fetch"])
        await cancel(client, handle.task_id)
        assert (await get(client, handle.task_id)).status == "working"


async def test_a_finished_task_does_not_change(tmp_path: Path) -> None:
    """A final status never changes."""
    async with session(tmp_path) as (client, _):
        handle = await begin(client, "imagine", prompt="p", model="z-image")
        done = await wait_for_status(client, handle.task_id, "completed")
        await cancel(client, handle.task_id)
        again = await get(client, handle.task_id)
        assert (again.status, again.result) == ("completed", done.result)


async def test_a_provider_that_supports_cancellation_cancels(tmp_path: Path) -> None:
    """Once it has accepted the task; an earlier request is acknowledged too."""
    faults = (sandbox.Fault.parse("replicate/submit:hang"),)
    async with sandbox.running(coarse(speed=0, faults=faults)) as upstream:
        settings = read_settings(environment_of(upstream, tmp_path, "replicate"))
        async with in_memory(settings, extensions=[Tasks()]) as client:
            handle = await begin(client, "imagine", prompt="a kite", model="flux-schnell")
            with anyio.fail_after(20):
                while (await get(client, handle.task_id)).status == "working":
                    await cancel(client, handle.task_id)
            assert (await get(client, handle.task_id)).status_message == "flux-schnell: canceled"
        assert upstream.sandbox.request_log.requests["replicate/cancel"] == 1


async def test_an_update_is_acknowledged_and_changes_nothing(tmp_path: Path) -> None:
    """Our tasks request no input, so responses are ignored."""
    async with session(tmp_path) as (client, _):
        handle = await begin(client, "imagine", prompt="p", model="z-image")
        ack = await update(client, handle.task_id, name={"action": "accept"})
        assert set(ack.model_dump(by_alias=True, exclude_none=True)) == {"resultType", "_meta"}
        assert (await wait_for_status(client, handle.task_id, "completed")).result is not None


# --- access to tasks ---------------------------------------------------------------------------------------------


async def test_all_ids_without_a_task_of_the_caller_get_the_same_error(tmp_path: Path) -> None:
    """Never created, of another principal, deleted, of an image: the error does not show which."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = settings_for(upstream.base_url, tmp_path)
        async with running_studio(settings) as studio:
            theirs = (await studio.create(make_request(prompt="theirs"), principal=Principal("somebody else"))).task
            gone = await studio.wait_for_new((await studio.create(make_request(prompt="gone"), LOCAL)).task, 900)
        async with open_store(settings.resolved_database_url()) as store:
            await store.tasks.delete_older(than=gone.created_at + 0.001)
        async with in_memory(settings, extensions=[Tasks()]) as client:
            kept = await begin(client, "imagine", prompt="kept", model="z-image")
            for ask in (get, cancel, update):
                for id_ in (theirs.id, gone.id, "tsk_AAAAAAAAAAAAAAAAAAAAAA", f"{kept.task_id}.1", "", "x" * 5000):
                    with pytest.raises(MCPError) as raised:
                        await ask(client, id_)
                    assert (raised.value.code, raised.value.message) == (-32602, f"There is no task {id_[:80]!r}.")
            assert (await wait_for_status(client, kept.task_id, "completed")).task_id == kept.task_id


async def test_a_client_without_the_extension_gets_no_task_and_no_methods(tmp_path: Path, served: Serve) -> None:
    """Over HTTP with status 400 and the missing capability, whatever else is wrong with the request."""
    async with (
        sandbox.running(coarse(speed=0)) as upstream,
        served(environment_for(upstream.base_url, tmp_path)) as address,
    ):
        call = {"name": "imagine", "arguments": {"prompt": "p", "model": "z-image"}}
        _, answer = await post(address, "tools/call", call, DECLARED)
        assert answer["result"]["resultType"] == "task"
        undeclared: list[dict[str, Any]] = [{}, {"extensions": {}}, {"extensions": {"io.example/other": {}}}]
        for capabilities in undeclared:
            for method in METHODS:
                for params in ({"taskId": answer["result"]["taskId"]}, {}):
                    status, refused = await post(address, method, params, capabilities)
                    assert (status, refused["error"]["code"]) == (400, -32021)
                    assert refused["error"]["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
                    assert EXTENSION in refused["error"]["message"]
        call["arguments"] = {"prompt": "another", "model": "z-image"}
        status, plain = await post(address, "tools/call", call, {})
        assert (status, plain["result"]["resultType"]) == (200, "complete")
        assert plain["result"]["structuredContent"]["status"] == "succeeded"


async def test_every_request_declares_the_extension_separately(tmp_path: Path, exchanged: Exchange) -> None:
    """On one connection: a task with it, none without it, and the extension in `server/discover`."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        calls = [
            {"method": "tools/call", "params": enveloped({"name": "imagine", "arguments": arguments}, capabilities)}
            for arguments, capabilities in (
                ({"prompt": "one", "model": "z-image"}, {}),
                ({"prompt": "two", "model": "z-image"}, DECLARED),
                ({"prompt": "three", "model": "z-image"}, {"elicitation": {}}),
            )
        ]
        found = {"method": "server/discover", "params": enveloped({}, {})}
        asked = {"method": "tasks/get", "params": enveloped({"taskId": "tsk_1"}, {})}
        answers = await exchanged(environment_for(upstream.base_url, tmp_path), found, *calls, asked)
        assert answers[0]["result"]["capabilities"]["extensions"][EXTENSION] == {}
        assert [answer["result"]["resultType"] for answer in answers[1:4]] == ["complete", "task", "complete"]
        assert answers[4]["error"]["code"] == -32021


async def test_a_wrong_or_missing_header_is_rejected(tmp_path: Path, served: Serve) -> None:
    """A router must be able to trust it."""
    async with (
        sandbox.running(coarse(speed=0)) as upstream,
        served(environment_for(upstream.base_url, tmp_path)) as address,
    ):
        call = {"name": "imagine", "arguments": {"prompt": "p", "model": "z-image"}}
        _, answer = await post(address, "tools/call", call, DECLARED)
        asked = {"taskId": answer["result"]["taskId"], "inputResponses": {}}
        for method in METHODS:
            for name in (None, "tsk_another", "=?base64?!?="):
                status, refused = await post(address, method, asked, DECLARED, mcp_name=name)
                assert (status, refused["error"]["code"]) == (400, -32020)
                assert "mcp-name" in refused["error"]["message"]
            status, answered = await post(address, method, asked, DECLARED)
            assert (status, answered["result"]["resultType"]) == (200, "complete")
        encoded = encode_header_value(" tsk_ä")
        status, unknown = await post(address, "tasks/get", {"taskId": " tsk_ä"}, DECLARED, mcp_name=encoded)
        assert (status, unknown["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize(
    ("method", "params", "says"),
    [
        ("tasks/get", {}, "taskId must be the id of a task"),
        ("tasks/cancel", {"taskId": 7}, "taskId must be the id of a task"),
        ("tasks/update", {"taskId": "tsk_1"}, "inputResponses must be an object"),
        ("tasks/update", {"taskId": "tsk_1", "inputResponses": ["x"]}, "inputResponses must be an object"),
    ],
)
async def test_wrong_parameters_are_named(
    tmp_path: Path, exchanged: Exchange, method: str, params: dict[str, Any], says: str
) -> None:
    """With what is allowed."""
    (answer,) = await exchanged(
        {"JOURNEY_MCP_DATA_DIR": str(tmp_path)}, {"method": method, "params": enveloped(params, DECLARED)}
    )
    assert answer["error"]["code"] == -32602
    assert says in answer["error"]["message"]


async def test_methods_of_the_previous_revision_do_not_exist(tmp_path: Path, exchanged: Exchange) -> None:
    """`tasks/list` and `tasks/result` are unknown methods."""
    asked = [
        {"method": method, "params": enveloped({"taskId": "x"}, DECLARED)} for method in ("tasks/list", "tasks/result")
    ]
    answers = await exchanged({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}, *asked)
    assert [answer["error"]["code"] for answer in answers] == [-32601, -32601]


async def test_a_client_of_the_previous_revision_sees_no_extension(tmp_path: Path, connected: Connect) -> None:
    """Whatever it declares: no extension, no task, no methods."""
    async with (
        sandbox.running(coarse(speed=0)) as upstream,
        connected(environment_for(upstream.base_url, tmp_path), mode="legacy", extensions=[Tasks()]) as client,
    ):
        assert client.protocol_version == "2025-11-25"
        assert EXTENSION not in (client.server_capabilities.extensions or {})
        result = await client.session.call_tool("imagine", {"prompt": "p", "model": "z-image"}, allow_claimed=True)
        assert isinstance(result, types.CallToolResult)
        assert result.structured_content is not None
        for ask in (get, cancel, update):
            with pytest.raises(MCPError) as raised:
                await ask(client, result.structured_content["task_id"])
            assert raised.value.code == -32601


async def test_an_older_client_that_declares_the_extension_gets_no_task(tmp_path: Path, exchanged: Exchange) -> None:
    """Neither in the result of `initialize` nor for a call."""
    hello = {
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": DECLARED,
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    call = {"method": "tools/call", "params": {"name": "imagine", "arguments": {"prompt": "p", "model": "z-image"}}}
    asked = {"method": "tasks/get", "params": {}}
    answer, made, refused = await exchanged({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}, hello, call, asked)
    assert EXTENSION not in json.dumps(answer)
    assert made["result"]["structuredContent"]["status"] == "succeeded"
    assert (refused["error"]["code"], refused["error"]["message"]) == (-32601, "Method not found")


# --- failures --------------------------------------------------------------------------------------------------


async def test_an_unavailable_database_loses_no_task(tmp_path: Path) -> None:
    """The error does not say that the task is unknown; afterwards everything works again."""
    async with session(tmp_path) as (client, _):
        handle = await begin(client, "imagine", prompt="p", model="z-image")
        done = await wait_for_status(client, handle.task_id, "completed")
        file = tmp_path / "tasks.db"
        away = file.rename(tmp_path / "away.db")
        for ask in (get, cancel, update):
            with pytest.raises(MCPError) as raised:
                await ask(client, handle.task_id)
            assert raised.value.code == -32603
            assert re.search(r"the task is unchanged, .* report id [0-9a-f]{8}\.", raised.value.message)
            assert "tasks.db was deleted or replaced" in raised.value.message
        away.rename(file)
        assert (await get(client, handle.task_id)).result == done.result


async def test_a_setup_error_is_the_error_of_task_requests(tmp_path: Path) -> None:
    """And a call returns the tool's error."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    settings = settings_for("http://127.0.0.1:9", tmp_path / "file" / "folder")
    async with in_memory(settings, extensions=[Tasks()]) as client:
        with pytest.raises(MCPError) as raised:
            await get(client, "tsk_1")
        assert raised.value.code == -32603
        assert str(tmp_path / "file") in raised.value.message
        made = await client.session.call_tool("imagine", {"prompt": "p"}, allow_claimed=True)
        assert isinstance(made, types.CallToolResult)
        assert made.is_error


async def test_an_internal_error_shows_only_a_report_id(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the details."""

    async def broken(_ctx: Context) -> TaskSource:
        raise LookupError("a secret")

    server: Server[Any] = Server("test", version="1")
    tasks.install(server, broken)
    async with Client(server, extensions=[Tasks()]) as client:
        with pytest.raises(MCPError) as raised:
            await get(client, "tsk_1")
    assert raised.value.code == -32603
    (report_id,) = re.findall("report id ([0-9a-f]{8})", raised.value.message)
    assert "secret" not in raised.value.message
    assert f"tasks/get of 'tsk_1' failed (report {report_id})" in caplog.text
    assert "a secret" in caplog.text


async def test_a_source_may_request_input_and_may_fail(tmp_path: Path) -> None:
    """Unlike our tasks: it requests input until all is answered, and returns protocol errors."""
    async with (
        fixture_server(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})) as server,
        Client(server, extensions=[Tasks()]) as client,
    ):
        asking = await begin(client, "multi_input")
        state: State = await wait_for_status(client, asking.task_id, "input_required")
        assert set(state.model_dump()["inputRequests"]) == {"name", "colour"}
        await update(client, asking.task_id, name={"action": "accept"}, age={"action": "accept"})
        assert set((await get(client, asking.task_id)).model_dump()["inputRequests"]) == {"colour"}
        await update(client, asking.task_id, colour={"action": "unused"})
        assert (await wait_for_status(client, asking.task_id, "completed")).result is not None
        failing = await begin(client, "protocol_error_job")
        plain = (await wait_for_status(client, failing.task_id, "failed")).model_dump(exclude_none=True)
        assert plain["error"] == {"code": -32603, "message": "The job broke."}
        assert "result" not in plain

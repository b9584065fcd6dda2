"""Every revision over HTTP at one address: stateless, as event streams or JSON, with progress on its stream."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from handshakes import ENVELOPE, INITIALIZED, handshake, request
from manual_clock import ManualClock, until
from support import environment_of, running_studio, serving

from journey_mcp import sandbox
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.settings import read_settings

REVISIONS = ["2025-06-18", "2025-11-25", "2026-07-28"]
MODERN = "2026-07-28"
BOTH, JSON, ANY = "application/json, text/event-stream", "application/json", "*/*"


@asynccontextmanager
async def replicas(
    folder: Path, count: int = 1, clock: ManualClock | None = None, **more: str
) -> AsyncIterator[tuple[list[httpx2.AsyncClient], sandbox.Running]]:
    """Serve MCP so many times over one database, with one HTTP client each."""
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream, anyio.create_task_group() as group:
        settings = read_settings(environment_of(upstream, folder, **more))
        opened: list[httpx2.AsyncClient] = []
        is_done = anyio.Event()

        async def serve(*, task_status: Any) -> None:
            app = make_app(Lifespan(settings, partial(running_studio, clock=clock), is_local=False))
            async with (
                app.router.lifespan_context(app),
                serving(app) as origin,
                httpx2.AsyncClient(base_url=origin, trust_env=False, verify=False, timeout=None) as http,
            ):
                opened.append(http)
                task_status.started()
                await is_done.wait()

        for _ in range(count):
            await group.start(serve)
        yield opened, upstream
        is_done.set()


def called(
    revision: str, method: str, params: Mapping[str, Any], id_: Any = 1
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a request and its headers as a client of this revision sends them."""
    headers = {"mcp-protocol-version": revision}
    if revision != MODERN:
        return request(method, dict(params), id_), headers
    headers |= {"mcp-method": method, **({"mcp-name": params["name"]} if "name" in params else {})}
    return request(method, {**params, "_meta": {**ENVELOPE, **params.get("_meta", {})}}, id_), headers


async def send(
    http: httpx2.AsyncClient,
    revision: str,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    accept: str = BOTH,
    id_: Any = 1,
) -> tuple[str, list[dict[str, Any]]]:
    """Send a request; return the type of the response and its messages."""
    body, headers = called(revision, method, params or {}, id_)
    answer = await http.post("/mcp", json=body, headers={**headers, "accept": accept})
    assert answer.status_code == 200, answer.text
    assert "mcp-session-id" not in answer.headers
    return messages(answer)


def messages(answer: httpx2.Response) -> tuple[str, list[dict[str, Any]]]:
    """Return the type of a response and its messages."""
    kind = answer.headers["content-type"]
    if kind == "application/json":
        return kind, [answer.json()]
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return kind, [json.loads(line) for line in data]


IMAGINE: dict[str, Any] = {"name": "imagine", "arguments": {"prompt": "a kite", "model": "midjourney", "wait_s": 60}}


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_session_needs_no_state(tmp_path: Path, revision: str) -> None:
    """Each request goes to another replica; the last one fetches what the first one made."""
    async with replicas(tmp_path, 2) as ((first, second), _):
        if revision == MODERN:
            _, (found,) = await send(first, revision, "server/discover")
            assert revision in found["result"]["supportedVersions"]
        else:
            answer = await first.post("/mcp", json=handshake(revision), headers={"accept": BOTH})
            (found,) = messages(answer)[1]
            assert found["result"]["protocolVersion"] == revision
            accepted = await second.post(
                "/mcp", json=INITIALIZED, headers={"accept": BOTH, "mcp-protocol-version": revision}
            )
            assert (accepted.status_code, accepted.content) == (202, b"")
        _, (listed,) = await send(second, revision, "tools/list", id_="a")
        assert listed["id"] == "a"
        assert "imagine" in {tool["name"] for tool in listed["result"]["tools"]}
        _, (made,) = await send(first, revision, "tools/call", IMAGINE)
        task = made["result"]["structuredContent"]
        assert task["status"] == "succeeded"
        fetch = {"name": "fetch_task", "arguments": {"task_ids": [task["task_id"]]}}
        _, (fetched,) = await send(second, revision, "tools/call", fetch)
        assert fetched["result"]["structuredContent"]["tasks"][0]["images"] == task["images"]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_progress_comes_on_the_stream_of_its_request(tmp_path: Path, revision: str) -> None:
    """Of two calls at once, each has its own; the result comes last."""
    async with replicas(tmp_path) as ((http,), _):
        streams: dict[str, list[dict[str, Any]]] = {}

        async def call(name: str) -> None:
            arguments = {**IMAGINE["arguments"], "model": {"one": "midjourney", "two": "flux-kontext-max"}[name]}
            params = {**IMAGINE, "arguments": arguments, "_meta": {"progressToken": name}}
            kind, streams[name] = await send(http, revision, "tools/call", params, id_=name)
            assert kind.startswith("text/event-stream")

        async with anyio.create_task_group() as group:
            for name in ("one", "two"):
                group.start_soon(call, name)
        for name, (*progress, result) in streams.items():
            assert progress
            assert {message["method"] for message in progress} == {"notifications/progress"}
            assert {message["params"]["progressToken"] for message in progress} == {name}
            assert result["id"] == name
            assert result["result"]["structuredContent"]["status"] == "succeeded"


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_client_that_takes_only_json_gets_json(tmp_path: Path, revision: str) -> None:
    """Without progress; others get a stream, in which a lost client is noticed."""
    async with replicas(tmp_path) as ((http,), _):
        params = {**IMAGINE, "_meta": {"progressToken": "a"}}
        kind, (made,) = await send(http, revision, "tools/call", params, accept=JSON)
        assert (kind, made["result"]["structuredContent"]["status"]) == ("application/json", "succeeded")
        again = {**params, "arguments": {**IMAGINE["arguments"], "fresh": True}}
        kind, (*progress, _) = await send(http, revision, "tools/call", again, accept=ANY)
        assert (kind.partition(";")[0], bool(progress)) == ("text/event-stream", True)
        body, headers = called(revision, "tools/list", {})
        refused = await http.post("/mcp", json=body, headers={**headers, "accept": "text/html"})
        assert refused.status_code == 406


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_result_in_memory_is_json_for_all_who_take_json(tmp_path: Path, revision: str) -> None:
    """The same result as on the stream, with the id of each request."""
    clock = ManualClock()
    async with replicas(tmp_path, clock=clock, JOURNEY_MCP_KEEP_IMAGES="off") as ((http,), _):
        _, (*_, made) = await send(http, revision, "tools/call", IMAGINE)
        fetch = {"name": "fetch_task", "arguments": {"task_ids": [made["result"]["structuredContent"]["task_id"]]}}
        kind, (first,) = await send(http, revision, "tools/call", fetch)
        # which clients of the latest revision always get without progress
        assert kind.partition(";")[0] == ("application/json" if revision == MODERN else "text/event-stream")
        await clock.sleep(10)  # until it is stored that this client has the result
        await send(http, revision, "tools/call", fetch)
        assert await send(http, revision, "tools/call", fetch, id_="a") == ("application/json", [{**first, "id": "a"}])


@pytest.mark.parametrize(
    "body", [b'{"fetch_task"', b'["fetch_task"]', b'{"method": "tools/call", "params": "fetch_task"}']
)
async def test_a_body_that_only_mentions_the_tool_is_refused_as_any_other(tmp_path: Path, body: bytes) -> None:
    """What is wrong with it is said by the SDK."""
    async with replicas(tmp_path) as ((http,), _):
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-protocol-version": "2025-11-25"}
        answer = await http.post("/mcp", content=body, headers=headers)
        assert (answer.status_code, "error" in answer.json()) == (400, True)


async def test_an_answer_that_was_lost_on_its_way_is_not_paid_for_again(tmp_path: Path) -> None:
    """The proxy or the replica may die once the result is returned: for a minute, the call returns the same task."""
    async with replicas(tmp_path, 2) as ((first, second), upstream):
        ids = []
        for http, pause_s in ((first, 50), (second, 20), (second, 0)):
            _, (*_progress, made) = await send(http, MODERN, "tools/call", IMAGINE)
            ids.append(made["result"]["structuredContent"]["task_id"])
            await anyio.sleep(pause_s)
        assert (ids[0] == ids[1], ids[1] == ids[2]) == (True, False)
        assert upstream.sandbox.request_log.requests["imagine"] == 2


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_client_that_disconnects_loses_only_the_wait(tmp_path: Path, revision: str) -> None:
    """The equal call joins its task: one request reaches the provider."""
    async with replicas(tmp_path) as ((http,), upstream):
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:delay=20")])
        async with anyio.create_task_group() as group:
            group.start_soon(send, http, revision, "tools/call", IMAGINE)
            await until(lambda: upstream.sandbox.request_log.requests["imagine"] == 1)
            group.cancel_scope.cancel()
        _, (*_progress, made) = await send(http, revision, "tools/call", IMAGINE)
        assert made["result"]["structuredContent"]["status"] == "succeeded"
        assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_the_revisions_share_one_address(tmp_path: Path) -> None:
    """A task of one is fetched in the others; one that is not served is an error with those that are."""
    async with replicas(tmp_path) as ((http,), _):
        _, (made,) = await send(http, REVISIONS[0], "tools/call", IMAGINE)
        fetch = {"name": "fetch_task", "arguments": {"task_ids": [made["result"]["structuredContent"]["task_id"]]}}
        for revision in REVISIONS[1:]:
            _, (fetched,) = await send(http, revision, "tools/call", fetch)
            assert fetched["result"]["structuredContent"]["tasks"][0]["status"] == "succeeded"
        body, headers = called(MODERN, "tools/list", {})
        body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01"
        headers = {**headers, "accept": BOTH, "mcp-protocol-version": "2099-01-01"}
        answer = await http.post("/mcp", json=body, headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, -32022)
        assert MODERN in error["data"]["supported"]

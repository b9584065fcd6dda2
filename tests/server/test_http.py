"""MCP over HTTP: the filter before `/mcp` for hosts, origins and the size of calls."""

import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from manual_clock import ManualClock, until
from mcp import Client
from PIL import Image
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive
from support import coarse, environment_of, running_studio, serving

from journey_mcp import sandbox
from journey_mcp.handshake.lines import Overlong
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.http import make_app
from journey_mcp.server.transports.jsonrpc import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR
from journey_mcp.server.transports.request_bodies import BodiesTooLargeError, RequestBodies
from journey_mcp.settings import read_settings

HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
SMALL = 100_000
PING: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@asynccontextmanager
async def serving_mcp(
    folder: Path, bodies: RequestBodies | None = None, **more: str
) -> AsyncIterator[tuple[str, sandbox.Running]]:
    """Serve MCP in this process with keys for all providers at one sandbox, and return the address."""
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, folder, **more))
        app = make_app(Lifespan(settings, running_studio, is_local=False), bodies=bodies)
        async with app.router.lifespan_context(app), serving(app) as origin:
            yield origin, upstream


def small_bodies() -> RequestBodies:
    """Return small limits, so that tests send little."""
    return RequestBodies(max_bytes=SMALL, max_total_bytes=2 * SMALL, timeout_s=60)


@asynccontextmanager
async def http_client(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a plain HTTP client."""
    async with httpx2.AsyncClient(base_url=address, headers=HEADERS, trust_env=False, verify=False) as http:
        yield http


def problem(answer: httpx2.Response, code: int = INVALID_REQUEST) -> str:
    """Return the message of a JSON-RPC error without an id."""
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert (said["jsonrpc"], said["id"], said["error"]["code"]) == ("2.0", None, code)
    return str(said["error"]["message"])


async def test_an_error_names_the_allowed_hosts(tmp_path: Path) -> None:
    """And the setting for more."""
    opened = serving_mcp(tmp_path, JOURNEY_MCP_ALLOWED_HOSTS="studio.local:8000")
    async with opened as (address, _), http_client(address) as http:
        for path in ("/mcp", "/other"):
            answer = await http.post(path, json=PING, headers={"host": "host.docker.internal:8000"})
            assert answer.status_code == 421
            assert problem(answer) == (
                'Invalid request: the host "host.docker.internal:8000" is not allowed; allowed are 127.0.0.1, '
                "localhost, [::1] and the hosts in JOURNEY_MCP_ALLOWED_HOSTS (studio.local:8000), an environment "
                "variable of the server."
            )
        answer = await http.post("/mcp", json=PING, headers={"origin": "https://evil.test"})
        assert answer.status_code == 403
        said = problem(answer)
        assert 'a page from "https://evil.test" is not allowed' in said
        assert "the origins in JOURNEY_MCP_ALLOWED_ORIGINS (none)" in said
        hosts = {"host": "studio.local:8000", "origin": "http://studio.local:8000"}
        assert (await http.post("/mcp", json=PING, headers=hosts)).status_code == 200


async def test_without_names_only_loopback_is_allowed(tmp_path: Path) -> None:
    """The error says so."""
    async with serving_mcp(tmp_path) as (address, _), http_client(address) as http:
        answer = await http.post("/mcp", json=PING, headers={"host": "evil.test"})
        assert "the hosts in JOURNEY_MCP_ALLOWED_HOSTS (none)" in problem(answer)
        assert (await http.post("/mcp", json=PING)).status_code == 200


async def test_the_host_of_the_server_url_is_allowed(tmp_path: Path) -> None:
    """At every port: a proxy may pass its own on."""
    opened = serving_mcp(tmp_path, JOURNEY_MCP_SERVER_URL="https://mcp.test/tools/mcp")
    async with opened as (address, _), http_client(address) as http:
        for host in ("mcp.test", "MCP.test:8000"):
            assert (await http.post("/mcp", json=PING, headers={"host": host})).status_code == 200
        assert (await http.post("/mcp", json=PING, headers={"host": "a.mcp.test"})).status_code == 421


MCP_HEADERS = ("authorization", "content-type", "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id")


async def test_pages_of_allowed_origins_may_call(tmp_path: Path) -> None:
    """With the headers of MCP; errors can be read there as well."""
    origin = {"origin": "https://app.test"}
    opened = serving_mcp(tmp_path, JOURNEY_MCP_ALLOWED_ORIGINS="HTTPS://App.test:443, http://localhost:6274")
    async with opened as (address, _), http_client(address) as http:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": ", ".join(MCP_HEADERS)}
        preflight = await http.options("/mcp", headers={**origin, **asked})
        assert (preflight.status_code, preflight.headers["access-control-allow-methods"]) == (200, "GET, POST")
        assert set(preflight.headers["access-control-allow-headers"].split(", ")) >= set(MCP_HEADERS)
        for body, status in ((PING, 200), ([], 400)):
            answer = await http.post("/mcp", json=body, headers=origin)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "https://app.test")
            assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]
        evil = {"origin": "https://evil.test"}
        refused = await http.options("/mcp", headers={**evil, **asked})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
        refused = await http.post("/mcp", json=PING, headers=evil)
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)


async def test_without_origins_no_page_of_another_origin_may_call(tmp_path: Path) -> None:
    """Nor may one of another port of this machine: there is no answer to its preflight."""
    async with serving_mcp(tmp_path) as (address, _), http_client(address) as http:
        headers = {"origin": "http://localhost:6274", "access-control-request-method": "POST"}
        preflight = await http.options("/mcp", headers=headers)
        assert (preflight.status_code, preflight.headers["allow"]) == (405, "POST")
        assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("version", [None, "2025-06-18", "2026-07-28"])
async def test_only_post_is_allowed(tmp_path: Path, version: str | None) -> None:
    """A GET would open a stream without events, and there is no session to delete."""
    headers = {"mcp-protocol-version": version} if version else {}
    async with serving_mcp(tmp_path) as (address, _), http_client(address) as http:
        for method in ("GET", "DELETE", "HEAD", "PUT", "OPTIONS"):
            answer = await http.request(method, "/mcp", headers=headers)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        # a slash at the end is a usual slip, and a redirect would name the address before the proxy
        assert (await http.post("/mcp/", json=PING, headers=headers if version != "2026-07-28" else {})).is_success
        assert (await http.post("/other", json=PING)).status_code == 404


async def test_above_the_limit_of_calls_the_next_is_refused_for_now(tmp_path: Path) -> None:
    """Until one of them has its response; the refused one has changed nothing. Probes are answered."""
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:hang,times=always")])
        lifespan = Lifespan(read_settings(environment_of(upstream, tmp_path)), running_studio, is_local=False)
        app = make_app(lifespan, max_calls=2)
        params = {"name": "imagine", "arguments": {"prompt": "p", "model": "midjourney", "wait_s": 60, "fresh": True}}
        call = {**PING, "method": "tools/call", "params": params}
        async with app.router.lifespan_context(app), serving(app) as origin, http_client(origin) as http:
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(partial(http.post, "/mcp", json=call, timeout=None))
                await until(lambda: upstream.sandbox.request_log.requests["imagine"] == 2)
                refused = await http.post("/mcp", json=PING)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert problem(refused, INTERNAL_ERROR).startswith(
                    "Unavailable: 2 requests are being handled; try again"
                )
                assert (await http.get("/readyz")).status_code == 200
            assert (await http.post("/mcp", json=PING)).status_code == 200


async def test_calls_are_still_answered_during_the_shutdown(tmp_path: Path) -> None:
    """Some clients list the tools after a call before they return its result. A new task is not sent."""
    async with sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream:
        lifespan = Lifespan(read_settings(environment_of(upstream, tmp_path)), running_studio, is_local=False)
        app = make_app(lifespan)
        async with app.router.lifespan_context(app), serving(app) as origin, Client(f"{origin}/mcp") as client:
            await until(lambda: lifespan.opened_studio)
            lifespan.drain()
            assert (await client.list_tools()).tools
            result = await client.call_tool("imagine", {"prompt": "a kite", "model": "z-image"})
            assert result.structured_content is not None
            assert result.structured_content["status"] in {"queued", "failed"}
            assert not upstream.sandbox.request_log.submissions


def photo() -> str:
    """Return an image of 4.5 MB as a data URI; it is of one colour, which is decoded faster than a real photo."""
    file = io.BytesIO()
    Image.new("RGB", (1500, 1000), "teal").save(file, "PNG", compress_level=0)
    assert file.tell() > 4_300_000
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_large_image_as_data_is_accepted(tmp_path: Path, mode: str) -> None:
    """More than the SDK's default of 4 MiB."""
    async with serving_mcp(tmp_path) as (address, upstream), Client(f"{address}/mcp", mode=mode) as client:
        arguments = {"prompt": "p", "model": "flux-kontext-pro", "provider": "replicate", "image": photo()}
        result = await client.call_tool("edit_image", arguments)
        assert result.structured_content is not None
        assert result.structured_content["status"] == "succeeded"
        assert len(upstream.sandbox.request_log.submissions) == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_is_too_large_is_a_tool_error(tmp_path: Path, mode: str) -> None:
    """It names the limit and what to do."""
    async with serving_mcp(tmp_path, small_bodies()) as (address, _), Client(f"{address}/mcp", mode=mode) as client:
        image = f"data:image/png;base64,{'A' * SMALL}"
        result = await client.call_tool("edit_image", {"prompt": "p", "image": image})
        assert result.is_error
        assert result.content[0].type == "text"
        assert "at most 100,663,296 bytes (96 MiB)" in result.content[0].text
        assert "public URL" in result.content[0].text
        assert result.structured_content is not None
        assert result.structured_content["error"]["code"] == "invalid_arguments"
        assert not (await client.call_tool("fetch_task", {})).is_error


async def test_another_request_that_is_too_large_is_a_json_rpc_error(tmp_path: Path) -> None:
    """With HTTP status 413."""
    async with serving_mcp(tmp_path, small_bodies()) as (address, _), http_client(address) as http:
        answer = await http.post("/mcp", content=b"[" + b" " * SMALL + b"]")
        assert answer.status_code == 413
        assert "at most 100,663,296 bytes" in problem(answer)


@pytest.mark.parametrize("body", [b"[" * 10_000, b"[" + b"[]," * 100_000 + b"[]]"])
async def test_a_body_that_would_fill_the_memory_is_not_parsed(tmp_path: Path, body: bytes) -> None:
    """In each revision."""
    async with serving_mcp(tmp_path) as (address, _), http_client(address) as http:
        for version in ("2025-11-25", "2026-07-28"):
            answer = await http.post("/mcp", content=body, headers={"mcp-protocol-version": version})
            assert answer.status_code == 400
            assert problem(answer, PARSE_ERROR)


async def test_a_slow_body_times_out(tmp_path: Path) -> None:
    """After a minute, with a response; other calls go on."""
    clock = ManualClock()

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" "
            await clock.sleep(1)

    async with serving_mcp(tmp_path) as (address, _), http_client(address) as http:
        answers: list[httpx2.Response] = []

        async def post() -> None:
            answers.append(await http.post("/mcp", content=trickle(), timeout=None))

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await clock.sleep(30)
            assert (await http.post("/mcp", json=PING)).status_code == 200
        assert answers[0].status_code == 408
        assert "did not arrive within 60 s" in problem(answers[0])


async def test_a_client_that_disconnects_during_a_body_leaves_nothing(tmp_path: Path) -> None:
    """Nothing is logged, and no memory is held."""
    async with serving_mcp(tmp_path) as (address, _):
        url = httpx2.URL(address)
        stream = await anyio.connect_tcp(str(url.host), url.port or 80)
        await stream.send(
            f"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{json.dumps(PING)}".encode()
        )
        await stream.aclose()
        async with http_client(address) as http:
            assert (await http.post("/mcp", json=PING)).status_code == 200


def receiving(*parts: bytes, ends: bool = True) -> Receive:
    """Return a `receive` with a body in these parts; then the client disconnects."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request"} if ends else {"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


async def test_bodies_are_counted_while_they_are_held() -> None:
    """There is a limit for all and for each; only the ends of a longer body are held."""
    bodies = RequestBodies(max_bytes=100, max_total_bytes=210, timeout_s=10)
    async with bodies.read(receiving(b"x" * 60, b"y" * 40)) as first:
        assert first == b"x" * 60 + b"y" * 40
        assert bodies.held_bytes == 100
        async with bodies.read(receiving(b"x" * 60)):
            with pytest.raises(BodiesTooLargeError):
                async with bodies.read(receiving(b"x" * 60)):
                    pass
        with pytest.raises(ClientDisconnect):
            async with bodies.read(receiving(b"x" * 40, ends=False)):
                pass
        async with bodies.read(receiving(*[b"x" * 30] * 5)) as overlong:
            assert isinstance(overlong, Overlong)
        assert bodies.held_bytes == 100
    assert bodies.held_bytes == 0


async def test_calls_that_fill_the_memory_together_are_rejected_for_now(tmp_path: Path) -> None:
    """Each body is held until its call has a response."""
    async with serving_mcp(tmp_path, small_bodies()) as (address, upstream), http_client(address) as http:
        upstream.sandbox.faults.replace([sandbox.Fault.parse("submit:hang,times=always")])
        arguments = {"prompt": "p", "model": "midjourney", "wait_s": 30, "fresh": True}
        params = {"name": "imagine", "arguments": arguments, "_meta": {"padding": "x" * (SMALL - 1000)}}
        call = {**PING, "method": "tools/call", "params": params}

        async def post() -> None:
            assert (await http.post("/mcp", json=call, timeout=None)).status_code == 200

        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(post)
            await until(lambda: upstream.sandbox.request_log.requests["imagine"] == 2)
            refused = await http.post("/mcp", json=call)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "try again in a moment" in problem(refused, INTERNAL_ERROR)
        upstream.sandbox.faults.replace([])
        await post()

"""SIGTERM over HTTP: readiness ends first, calls return their tasks, and the next server continues with them."""

import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from processes import TIMEOUT_S, ServerProcess, in_thread, server_process, until_requested
from support import environment_for, free_port, until_listening

from journey_mcp import sandbox


async def ready(port: int) -> None:
    """Wait until a server is ready."""
    await until_listening(port)
    with anyio.fail_after(TIMEOUT_S):
        while await readiness(port) != 200:
            await anyio.sleep(0.05)


async def readiness(port: int) -> int | None:
    """Return the status of the probe; `None` if the port is closed."""
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=TIMEOUT_S) as http:
        with suppress(httpx2.TransportError):
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code
    return None


async def call(port: int, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool and return its structured content."""
    result: dict[str, Any] = {}
    try:
        async with Client(f"http://127.0.0.1:{port}/mcp") as client:
            result = (await client.call_tool(tool, arguments)).structured_content or {}
    except* httpx2.TransportError:
        pass  # the server has ended when the client disconnects
    return result


async def ended(server: ServerProcess) -> int:
    """Wait until the process has ended; uvicorn shuts down and then raises the signal again."""
    code: int = await in_thread(server.process.wait, TIMEOUT_S)
    return code


async def test_the_probe_fails_first_and_waiting_calls_return_their_tasks(tmp_path: Path) -> None:
    """Then the port closes. A server on the same database has the result."""
    async with sandbox.running(sandbox.Settings(speed=5)) as upstream:
        port, environment = free_port(), environment_for(upstream.base_url, tmp_path)
        seen: list[int | None] = []
        returned: list[dict[str, Any]] = []

        async def watch() -> None:
            while None not in seen:
                seen.append(await readiness(port))

        async def wait() -> None:
            returned.append(await call(port, "imagine", prompt="a kite", wait_s=300))

        with server_process(environment, "serve", "--port", str(port)) as server:
            await ready(port)
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await until_requested(upstream, "imagine")
                group.start_soon(watch)
                server.process.send_signal(signal.SIGTERM)
            assert await ended(server) in {0, -signal.SIGTERM}
        assert [status for status in dict.fromkeys(seen) if status != 200] == [503, None]
        assert returned[0]["status"] in {"running", "queued"}
        with server_process(environment, "serve", "--port", str(port)):
            await ready(port)
            found = await call(port, "fetch_task", task_ids=[returned[0]["task_id"]], wait_s=60)
            assert found["tasks"][0]["status"] == "succeeded"
        assert upstream.sandbox.request_log.requests["imagine"] == 1


async def test_the_answer_to_a_request_that_was_sent_is_awaited(tmp_path: Path) -> None:
    """Although its call has returned. Nothing is unconfirmed, and nothing is sent again."""
    faults = (sandbox.Fault.parse("submit:delay=2"),)
    async with sandbox.running(sandbox.Settings(speed=20, faults=faults)) as upstream:
        port, environment = free_port(), environment_for(upstream.base_url, tmp_path)
        with server_process(environment, "serve", "--port", str(port)) as server:
            await ready(port)
            async with anyio.create_task_group() as group:
                group.start_soon(partial(call, port, "imagine", prompt="a kite", wait_s=300))
                await until_requested(upstream, "imagine")
                server.process.send_signal(signal.SIGTERM)
            assert await ended(server) in {0, -signal.SIGTERM}
        with server_process(environment, "serve", "--port", str(port)):
            await ready(port)
            (task,) = (await call(port, "fetch_task"))["tasks"]
            found = await call(port, "fetch_task", task_ids=[task["task_id"]], wait_s=60)
            assert found["tasks"][0]["status"] == "succeeded"
        assert upstream.sandbox.request_log.requests["imagine"] == 1

"""The tasks extension with server processes, over stdio and over HTTP.

The sessions come from the module of the same name in tests/server; here they run with processes.
"""

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from processes import COMMAND, in_thread, until_requested
from server.test_tasks_extension import (
    DECLARED,
    Connect,
    Exchange,
    Serve,
    enveloped,
    test_a_call_becomes_a_task_and_the_task_its_result,
    test_a_client_of_the_previous_revision_sees_no_extension,
    test_a_client_whose_sdk_waits_for_tasks_gets_a_usual_result,
    test_a_client_without_the_extension_gets_no_task_and_no_methods,
    test_a_queued_task_is_canceled,
    test_a_wrong_or_missing_header_is_rejected,
    test_an_older_client_that_declares_the_extension_gets_no_task,
    test_every_request_declares_the_extension_separately,
    test_the_cost_is_confirmed_before_a_task_exists,
)
from support import coarse, environment_for, free_port, until_listening
from tasks_client import Tasks, get, wait_for_status

from journey_mcp import sandbox

__all__ = [
    "test_a_call_becomes_a_task_and_the_task_its_result",
    "test_a_client_of_the_previous_revision_sees_no_extension",
    "test_a_client_whose_sdk_waits_for_tasks_gets_a_usual_result",
    "test_a_client_without_the_extension_gets_no_task_and_no_methods",
    "test_a_queued_task_is_canceled",
    "test_a_wrong_or_missing_header_is_rejected",
    "test_an_older_client_that_declares_the_extension_gets_no_task",
    "test_every_request_declares_the_extension_separately",
    "test_the_cost_is_confirmed_before_a_task_exists",
]


@asynccontextmanager
async def over_stdio(environment: dict[str, str], **more: Any) -> AsyncIterator[Client]:
    """Open a client of a server process over stdio."""
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env={**os.environ, **environment})
    async with Client(stdio_client(parameters), **more) as client:
        yield client


@asynccontextmanager
async def serving(environment: dict[str, str]) -> AsyncIterator[str]:
    """Start a server process that serves HTTP; yield its address."""
    port = free_port()
    command = [*COMMAND, "serve", "--http", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        await until_listening(port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.send_signal(signal.SIGINT)
        await in_thread(process.wait, 20)


@asynccontextmanager
async def over_http(environment: dict[str, str], **more: Any) -> AsyncIterator[Client]:
    """Open a client of a server process over HTTP."""
    async with serving(environment) as address, Client(address, **more) as client:
        yield client


async def lines(environment: dict[str, str], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the responses to messages that are sent to a server process one after another."""
    command = {"env": {**os.environ, **environment}, "stderr": None}
    answers: list[dict[str, Any]] = []
    async with await anyio.open_process(COMMAND, **command) as process:  # type: ignore[arg-type]  # one for all
        assert process.stdin is not None
        assert process.stdout is not None
        received = b""
        for number, message in enumerate(messages):
            plain = {"jsonrpc": "2.0", "id": number, **message}
            await process.stdin.send(json.dumps(plain).encode() + b"\n")
            while not received.endswith(b"\n"):
                received += await process.stdout.receive()
            answers.append(json.loads(received))
            received = b""
        await process.stdin.aclose()
        await process.wait()
    return answers


@pytest.fixture(params=[over_stdio, over_http], ids=["stdio", "http"])
def connected(request: pytest.FixtureRequest) -> Connect:
    """Return the function that connects a client."""
    connect: Connect = request.param
    return connect


@pytest.fixture
def served() -> Serve:
    """Return the function that serves HTTP."""
    return serving


@pytest.fixture
def exchanged() -> Exchange:
    """Return the function that sends messages one by one."""
    return lines


async def test_the_next_server_returns_the_task_of_a_killed_one(tmp_path: Path) -> None:
    """The id is the same, and nothing is submitted twice."""
    async with sandbox.running(coarse(speed=20)) as upstream:
        environment = {**os.environ, **environment_for(upstream.base_url, tmp_path)}
        call = {"name": "imagine", "arguments": {"prompt": "a kite"}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": enveloped(call, DECLARED)}
        async with await anyio.open_process(COMMAND, env=environment, stderr=None) as first_server:
            assert first_server.stdin is not None
            assert first_server.stdout is not None
            await first_server.stdin.send(json.dumps(message).encode() + b"\n")
            handle = json.loads(await first_server.stdout.receive())["result"]
            await until_requested(upstream, "fetch")
            first_server.kill()
        assert handle["resultType"] == "task"
        async with over_http(environment_for(upstream.base_url, tmp_path), extensions=[Tasks()]) as client:
            found = await get(client, handle["taskId"])
            assert (found.task_id, found.created_at) == (handle["taskId"], handle["createdAt"])
            done = await wait_for_status(client, handle["taskId"], "completed")
            assert done.result is not None
            assert done.result["structuredContent"]["status"] == "succeeded"
        assert upstream.sandbox.request_log.requests["imagine"] == 1

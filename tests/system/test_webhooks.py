"""Webhooks of providers, to server processes that end, start, or cannot start."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from processes import ServerProcess, StoppedClock, in_thread, server_process, until_created
from support import coarse, environment_of, free_port, until_listening

from journey_mcp import sandbox


@contextmanager
def serving(environment: dict[str, str], *arguments: str) -> Iterator[ServerProcess]:
    """Run `journey-mcp serve` on stdio, with more arguments."""
    with server_process(environment, "serve", *arguments) as server:
        yield server


async def test_a_server_whose_client_disconnects_stays_for_the_webhook_of_a_lost_response(tmp_path: Path) -> None:
    """Only the webhook can bring the result."""
    port = free_port()
    faults = (sandbox.Fault.parse("submit:reset_after"),)
    async with sandbox.running(coarse(speed=20, faults=faults)) as upstream:
        environment = environment_of(upstream, tmp_path, "journeyapi")
        environment["JOURNEY_MCP_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        with serving(environment, "--webhooks", f"127.0.0.1:{port}") as server:
            answer = await in_thread(server.call, "imagine", prompt="a kite", model="midjourney", wait_s=1)
            assert answer["status"] == "running"
            await in_thread(server.close)
        assert [attempt.outcome for attempt in upstream.sandbox.request_log.deliveries] == ["204"]


async def test_the_webhook_of_a_killed_server_reaches_the_next_one(tmp_path: Path) -> None:
    """It is killed before the response to a paid request: only the webhook brings the image."""
    port = free_port()
    faults, clock = (sandbox.Fault.parse("submit:delay=60"),), StoppedClock()
    async with sandbox.running(coarse(speed=20, faults=faults, clock=clock)) as upstream:
        environment = environment_of(upstream, tmp_path, "journeyapi")
        environment["JOURNEY_MCP_PUBLIC_URL"] = f"http://127.0.0.1:{port}/any/prefix"
        with serving(environment, "--webhooks", f"127.0.0.1:{port}") as first:
            first.send("imagine", prompt="a kite", model="midjourney")
            await until_created(upstream)
            first.kill()
        with serving(environment, "--webhooks", f"127.0.0.1:{port}") as second:
            task_id = (await in_thread(second.call, "fetch_task"))["tasks"][0]["task_id"]
            await until_listening(port)
            clock.seconds = 60
            clock.run()
            listed = await in_thread(second.call, "fetch_task", task_ids=[task_id], wait_s=60)
            assert listed["tasks"][0]["status"] == "succeeded", upstream.sandbox.request_log.deliveries
        assert upstream.sandbox.request_log.requests["imagine"] == 1
        assert upstream.sandbox.request_log.requests["fetch"] == 0


@pytest.mark.parametrize(
    ("arguments", "public", "message"),
    [
        (["--webhooks", "127.0.0.1:0"], "https://x.test", "'127.0.0.1:0' is not an address"),
        (["--webhooks", "nonsense"], "https://x.test", "--webhooks 'nonsense' is not an address"),
        (["--webhooks", "127.0.0.1:{free}"], None, "Set JOURNEY_MCP_PUBLIC_URL"),
        (["--webhooks", "127.0.0.1:{free}"], "http://x.test", "must be an https:// address"),
        (["--webhooks", "127.0.0.1:{free}"], "https://x.test/?a", "must have neither ? nor #"),
        (["--http", "127.0.0.1:{free}", "--webhooks", "0.0.0.0:{free}"], "https://x.test", "is for MCP only"),
        (["--webhooks", "127.0.0.1:{occupied}"], "https://x.test", "cannot be listened on: Address already in use"),
    ],
)
def test_a_listener_that_cannot_work_stops_the_start(
    tmp_path: Path, arguments: list[str], public: str | None, message: str
) -> None:
    """One line on stderr says what to change."""
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        ports = {"free": free_port(), "occupied": occupied.getsockname()[1]}
        environment = {"JOURNEY_MCP_DATA_DIR": str(tmp_path), "JOURNEYAPI_API_KEY": "x"}
        if public:
            environment["JOURNEY_MCP_PUBLIC_URL"] = public
        with server_process(environment, "serve", *(argument.format(**ports) for argument in arguments)) as server:
            _, output = server.close()
            assert server.process.returncode == 2
            assert message in output


async def test_a_listener_ends_with_its_server(tmp_path: Path) -> None:
    """The server runs over HTTP and ends on a signal."""
    mcp, hooks = free_port(), free_port()
    environment = {"JOURNEY_MCP_DATA_DIR": str(tmp_path), "JOURNEY_MCP_PUBLIC_URL": f"http://127.0.0.1:{hooks}"}
    arguments = ("serve", "--http", f"127.0.0.1:{mcp}", "--webhooks", f"127.0.0.1:{hooks}")
    with server_process(environment, *arguments) as server:
        await until_listening(hooks, mcp)
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
            assert (await http.post(f"http://127.0.0.1:{hooks}/tsk_x")).status_code == 404
            assert (await http.post(f"http://127.0.0.1:{hooks}/mcp", json={})).status_code == 404
        server.process.send_signal(signal.SIGTERM)
        await in_thread(server.process.wait, 20)
        assert server.process.returncode in {0, -signal.SIGTERM}

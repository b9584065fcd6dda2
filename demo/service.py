"""A service without a key: of two replicas on PostgreSQL one is killed while it makes an image; the other returns it.

Run by `make service-demo`, or: PYTHONPATH=.:tests python demo/service.py
"""
# ruff: noqa: T201, INP001, S603  # a demonstration prints, is not a package, and starts programs

import logging
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from ports import free_port
from postgres import SOURCES, programs, running_server

from journey_mcp import sandbox

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "journey_mcp"]
_WISH = {"prompt": "a lighthouse at dusk, oil on canvas", "model": "flux-pro"}
_STEP_S = 30.0
"""The time limit of each step."""


async def main() -> None:
    """Run one session at two replicas."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # the client of the killed replica logs a traceback
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(_source()) as database,
    ):
        async with sandbox.running(sandbox.Settings(speed=2)) as upstream:
            print(f"PostgreSQL runs at port {database.port}, and a fake of JourneyAPI at {upstream.base_url}.")
            environment = {
                **get_default_environment(),  # no key of yours
                "PYTHONPATH": str(ROOT),
                "JOURNEY_MCP_DATABASE_URL": database.new_database(),
                "JOURNEY_MCP_DATA_DIR": folder,
                "JOURNEY_MCP_TOKENS_FILE": f"{folder}/tokens",
                "JOURNEYAPI_API_KEY": "anything",
                "JOURNEYAPI_BASE_URL": upstream.base_url,
            }
            ada, ben = (_new_token(name, environment) for name in ("ada", "ben"))
            with _replica(environment) as (first, first_url), _replica(environment) as (_, second_url):
                await _until_ready(first_url, second_url)
                await _broken_call(first, first_url, ada)
                await _result_elsewhere(second_url, ada)
                await _unknown_to(second_url, ben)
            log = upstream.sandbox.request_log.submissions
            print(f"\nCreating requests that the fake of JourneyAPI received in all of this: {len(log)}.")
            _expect(len(log) == 1, "one creating request")


def _source() -> str:
    """Return where the programs of PostgreSQL come from.

    Those of the wheel if it is installed, as `make service-demo` does.
    """
    for source in reversed(SOURCES):
        try:
            programs(source)
        except FileNotFoundError:
            continue
        return source
    sys.exit("The demo needs the programs of PostgreSQL: make service-demo installs them.")


def _new_token(name: str, environment: Mapping[str, str]) -> str:
    """Make a bearer token as an administrator does."""
    command = [*COMMAND, "token", "new", name]
    token = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    print(f"> journey-mcp token new {name}: {token[:9]}...")
    return token


@contextmanager
def _replica(environment: Mapping[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Run a replica for as long as the block; yield it and its address."""
    port = free_port()
    command = [*COMMAND, "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        print(f"> journey-mcp serve --port {port}: process {process.pid}")
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


async def _until_ready(*urls: str) -> None:
    """Wait until the replicas answer calls, as a proxy asks them."""
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        with anyio.fail_after(_STEP_S):
            for url in urls:
                while not await _is_ready(http, url):  # noqa: ASYNC110  # a probe is polled
                    await anyio.sleep(0.1)
    print("Both replicas are ready.")


async def _is_ready(http: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


async def _broken_call(replica: "subprocess.Popen[bytes]", url: str, token: str) -> None:
    """Call `imagine` at a replica, and kill the replica while the provider works."""

    async def kill(progress: float, total: float | None, message: str | None) -> None:
        await _report(progress, total, message)
        if message and "%" in message and replica.poll() is None:  # so the provider has accepted the task
            replica.kill()
            replica.wait()
            print(f"  SIGKILL: process {replica.pid} is dead.")

    print(f"\nada calls imagine at {url}.")
    print(f"> imagine {_WISH}")
    async with _client(url, token) as client:
        try:
            with anyio.fail_after(_STEP_S):
                await client.call_tool("imagine", _WISH, progress_callback=kill)
        except MCPError as error:
            print(f"  The call broke: {error}.")
    _expect(replica.poll() is not None, "the replica is killed during the call")


async def _result_elsewhere(url: str, token: str) -> None:
    """Repeat the call at another replica, and get the result there."""
    print(f"\nada repeats her call at the other replica, {url}, as clients do after a broken connection.")
    async with _client(url, token) as client:
        joined = await _call(client, "imagine", **_WISH, wait_s=1)
        print("It returns the task that is running. She waits for it.")
        [task] = (await _call(client, "fetch_task", task_ids=[joined["task_id"]], wait_s=25))["tasks"]
        _expect(task["status"] == "succeeded", "the image is made")
        print(f"  {task['images'][0]['url']}")


async def _unknown_to(url: str, token: str) -> None:
    """Ask for the task with another token."""
    print("\nben has no tasks, and sees none of hers.")
    async with _client(url, token) as client:
        _expect((await _call(client, "fetch_task"))["tasks"] == [], "ben sees no task")


@asynccontextmanager
async def _client(url: str, token: str) -> AsyncIterator[Client]:
    """Open the SDK's client with a bearer token."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, verify=False, timeout=_STEP_S) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield client


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool and print the first line of the result."""
    print(f"> {tool} {arguments}")
    with anyio.fail_after(_STEP_S):
        result = await client.call_tool(tool, arguments, progress_callback=_report)
    print("\n".join(f"  {block.text.splitlines()[0]}" for block in result.content if block.type == "text"))
    _expect(not result.is_error and isinstance(result.structured_content, dict), f"{tool} succeeds")
    return result.structured_content or {}


async def _report(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001  # MCP's names
    print(f"  {progress:4.0%} {message}")


def _expect(is_so: bool, what: str) -> None:  # noqa: FBT001  # reads like a sentence
    """End the demonstration unless the condition holds."""
    if not is_so:
        sys.exit(f"The demo failed. Expected: {what}.")


if __name__ == "__main__":
    anyio.run(main)

"""CPU time of a call of `fetch_task` over HTTP, beside a call of the bare server that returns the same result.

The time is that of the server's process, so the load of the machine and this client matter little.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.client import ERAS, META, Era, RunFailedError
from bench.measure import BARE, OURS, ROOT, Samples, clean_environment, free_port, running_upstream

BLOCKS = 5
IN_FLIGHT_OVER_HTTP = 16
_UNTIMED_CALLS = 100
_STARTED_WITHIN_S = 60.0


def figure(era: Era) -> str:
    """Return the figure of an era."""
    return f"CPU per `fetch_task` over HTTP, {era}, {IN_FLIGHT_OVER_HTTP} in flight"


def measure_over_http(samples: Samples, calls: int) -> None:
    """Measure calls for one finished task, in turn with calls of the bare server; nothing without /proc."""
    if not Path("/proc/self/stat").exists():
        return
    with ExitStack() as stack:
        upstream_port = stack.enter_context(running_upstream())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="journey-bench-"))
        environment = {**clean_environment(upstream_port), "JOURNEY_MCP_DATA_DIR": folder}
        port = free_port()
        ours = stack.enter_context(
            running_http(["journey_mcp", "serve", "--http", f"127.0.0.1:{port}"], port, environment)
        )
        task_id = _made(ours)
        fetch = {"name": "fetch_task", "arguments": {"task_ids": [task_id]}}
        for era in ERAS:
            result = json.dumps(ours.call(era, fetch))
            port = free_port()
            with running_http(["bench.bare_http", f"{port}", result], port, environment) as bare:
                same = {"name": "same", "arguments": {"task_ids": [task_id]}}
                for server, call in ((ours, fetch), (bare, same)):
                    asyncio.run(server.load(era, call, _UNTIMED_CALLS))
                for _ in range(BLOCKS):
                    samples.add(figure(era), OURS, _cpu_ms(ours, era, fetch, calls // BLOCKS))
                    samples.add(figure(era), BARE, _cpu_ms(bare, era, same, calls // BLOCKS))


def _cpu_ms(server: "HttpServer", era: Era, call: Mapping[str, Any], calls: int) -> float:
    before = server.cpu_s()
    asyncio.run(server.load(era, call, calls))
    return (server.cpu_s() - before) * 1000 / calls


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, with all its threads."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


class HttpServer:
    """A server process at a port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def cpu_s(self) -> float:
        """Return the CPU time that the process has used, with all its threads."""
        return cpu_s(self.pid)

    def get(self, path: str) -> str:
        """Return the text at a path."""
        response = httpx2.get(f"http://127.0.0.1:{self._port}{path}", trust_env=False, timeout=60)
        if response.status_code != httpx2.codes.OK:
            raise RunFailedError(response.text[:500])
        return response.text

    def call(self, era: Era, call: Mapping[str, Any]) -> Any:
        """Return the result of one call."""
        headers, body = _request(era, call)
        # on this machine: no proxy of the environment
        response = httpx2.post(f"http://127.0.0.1:{self._port}/mcp", headers=headers, content=body, trust_env=False)
        answer = next(line for line in response.text.splitlines() if line.startswith(("data: {", "{")))
        message = json.loads(answer.removeprefix("data: "))
        if message.get("result", {}).get("isError", True):
            raise RunFailedError(answer[:500])
        return message["result"]

    async def load(self, era: Era, call: Mapping[str, Any], calls: int) -> None:
        """Make so many calls, each connection one after the other."""
        headers, body = _request(era, call)
        lines = [f"{name}: {value}" for name, value in {**headers, "host": f"127.0.0.1:{self._port}"}.items()]
        head = "\r\n".join(["POST /mcp HTTP/1.1", *lines, f"content-length: {len(body)}", "", ""]).encode()
        left = iter(range(calls))
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT_OVER_HTTP):
                group.create_task(self._one_after_another(head + body, left))

    async def _one_after_another(self, request: bytes, left: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for _ in left:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RunFailedError(head.decode())
            if b"transfer-encoding: chunked" in head:
                await reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        writer.close()
        await writer.wait_closed()


def _request(era: Era, call: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a stateless call."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": era,
    }
    params = dict(call)
    if era == "2026-07-28":
        headers |= {"mcp-method": "tools/call", "mcp-name": call["name"]}
        params["_meta"] = META
    return headers, json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def _made(server: HttpServer) -> str:
    call = {"name": "imagine", "arguments": {"prompt": "a lighthouse at dusk", "model": "z-image"}}
    task_id: str = server.call("2026-07-28", call)["structuredContent"]["task_id"]
    return task_id


@contextmanager
def running_http(arguments: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[HttpServer]:
    """Run a server as a process until the block is left; `arguments` are those of Python after `-m`."""
    with subprocess.Popen([sys.executable, "-m", *arguments], env=environment, cwd=ROOT) as process:
        try:
            _wait_until_listening(port)
            yield HttpServer(process, port)
        finally:
            process.kill()


def _wait_until_listening(port: int) -> None:
    until = time.monotonic() + _STARTED_WITHIN_S
    while True:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/", trust_env=False)
        except httpx2.ConnectError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return

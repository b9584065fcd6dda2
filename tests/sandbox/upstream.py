"""What the tests of the sandbox share: a client for it, a clock moved by hand, a server for it to talk to."""
# ruff: noqa: D102 - as for tests, the names say it

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from httpx2 import AsyncClient, Response

from journey_mcp.sandbox import Running, Settings, running

PLAIN: Any = {"trust_env": False, "verify": False}
"""Options of a client for loopback; reading certificates that nobody asks for takes longer than most tests."""


class ManualClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A running sandbox and a client with a good key."""

    running: Running
    client: AsyncClient

    async def imagine(self, **body: Any) -> Response:
        return await self.client.post("/imagine", json={"prompt": "a paper boat", **body})

    async def made(self, **body: Any) -> str:
        """Create a task and return its id."""
        answer = await self.imagine(**body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    async def fetch(self, task_id: str) -> Any:
        answer = await self.client.post("/fetch", json={"task_id": task_id})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def account(self) -> Any:
        return (await self.client.get("/account")).json()

    async def picture(self, url: str) -> Response:
        # without the key: pictures are public
        async with AsyncClient(**PLAIN) as client:
            return await client.get(url)


@asynccontextmanager
async def upstream(settings: Settings) -> AsyncIterator[Upstream]:
    """Start a sandbox with a client that never waits longer than a test should."""
    async with (
        running(settings) as sandbox,
        AsyncClient(base_url=sandbox.base_url, headers={"Authorization": "japi_live_1"}, timeout=10, **PLAIN) as client,
    ):
        yield Upstream(running=sandbox, client=client)


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail when it does not within five seconds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


@dataclass(frozen=True, kw_only=True)
class Received:
    """A request that arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Listener:
    """A real server that gives the answers it was told to, the last one again and again."""

    answers: list[bytes | None]
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        answer = self.answers[min(len(self.received), len(self.answers) - 1)]
        self.received.append(Received(line=head[0], headers=headers, body=body))
        if answer is not None:
            writer.write(answer)
        else:
            await reader.read()  # until the other side has lost patience
        writer.close()


@asynccontextmanager
async def listening(*answers: bytes | None) -> AsyncIterator[Listener]:
    """Listen on loopback; None as an answer stays silent."""
    listener = Listener(answers=list(answers))
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield listener


def http(status: int, content: bytes = b"", headers: str = "") -> bytes:
    """Write an HTTP answer."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{headers}Connection: close\r\n\r\n".encode() + (
        content
    )

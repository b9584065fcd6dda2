"""The common parts of the tests of the sandbox: clients, and a server that the sandbox connects to."""
# ruff: noqa: D102 - as for tests, the names say it

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from httpx2 import AsyncClient, Response
from PIL import Image, ImageChops, ImageStat

from journey_mcp.sandbox import Running, Settings, running
from journey_mcp.sandbox.drawing import render
from journey_mcp.sandbox.render_specs import Scene

PLAIN: Any = {"trust_env": False, "verify": False, "timeout": 1_000_000}
"""Options of a loopback client: it loads no certificates, and its time limit is days of manual time. A test can advance
the clock while a request is held, and a request that hangs still fails."""


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A running sandbox and a client of JourneyAPI with a valid key."""

    running: Running
    client: AsyncClient

    async def imagine(self, **body: Any) -> Response:
        return await self.client.post("/imagine", json={"prompt": "a paper boat", **body})

    async def made(self, **body: Any) -> str:
        """Create a task and return its id."""
        response = await self.imagine(**body)
        assert response.status_code == 200, response.text
        return str(response.json()["task_id"])

    async def fetch(self, task_id: str) -> Any:
        response = await self.client.post("/fetch", json={"task_id": task_id})
        assert response.status_code == 200, response.text
        return response.json()

    async def account(self) -> Any:
        return (await self.client.get("/account")).json()

    async def image(self, url: str) -> Response:
        # without the key: images are public
        return await public(url)


@asynccontextmanager
async def upstream(settings: Settings) -> AsyncIterator[Upstream]:
    """Start a sandbox with a client."""
    async with (
        running(settings) as sandbox,
        AsyncClient(base_url=sandbox.base_url, headers={"Authorization": "japi_live_1"}, **PLAIN) as client,
    ):
        yield Upstream(running=sandbox, client=client)


KEYS = {"vtrix": {"Authorization": "Bearer vt_1"}, "bfl": {"x-key": "bfl_1"}}


@dataclass(frozen=True, kw_only=True)
class Vtrix:
    """A running sandbox and a client of Vtrix with a valid key."""

    running: Running
    client: AsyncClient

    async def generate(self, model: str = "flux_kontext_pro", /, **params: Any) -> Response:
        given = {name: value for name, value in {"prompt": "a paper boat", **params}.items() if value is not None}
        return await self.post({"model": model, "input": [{"params": given}]})

    async def post(self, body: Any) -> Response:
        return await self.client.post("/model/v1/generation", json=body)

    async def made(self, model: str = "flux_kontext_pro", /, **params: Any) -> str:
        """Create a task and return its id."""
        response = await self.generate(model, **params)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    async def ask(self, task_id: str) -> Response:
        return await self.client.get(f"/model/v1/generation/task/{task_id}")

    async def task(self, task_id: str) -> Any:
        response = await self.ask(task_id)
        assert response.status_code == 200, response.text
        return response.json()

    async def finished(self, model: str = "flux_kontext_pro", /, **params: Any) -> list[Response]:
        """Create a task that ends at once and return its images."""
        payload = await self.task(await self.made(model, **params))
        assert payload["status"] == "completed", payload
        return [await public(part["url"]) for part in payload["output"][0]["content"]]

    @property
    def balance(self) -> float:
        return self.running.services["vtrix"].balance


@dataclass(frozen=True, kw_only=True)
class Bfl:
    """A running sandbox and a client of Black Forest Labs with a valid key."""

    running: Running
    client: AsyncClient

    async def submit(self, model: str = "flux-kontext-pro", /, **body: Any) -> Response:
        return await self.client.post(f"/{model}", json={"prompt": "a paper boat", **body})

    async def made(self, model: str = "flux-kontext-pro", /, **body: Any) -> Any:
        """Create a task and return the response."""
        response = await self.submit(model, **body)
        assert response.status_code == 200, response.text
        return response.json()

    async def ask(self, task_id: str) -> Response:
        return await self.client.get("/get_result", params={"id": task_id})

    async def task(self, payload: Any) -> Any:
        response = await self.ask(payload["id"])
        assert response.status_code == 200, response.text
        return response.json()

    async def sample(self, model: str = "flux-kontext-pro", /, **body: Any) -> Response:
        """Create a task that ends at once and return its image."""
        payload = await self.task(await self.made(model, **body))
        assert payload["status"] == "Ready", payload
        return await public(payload["result"]["sample"])

    async def credits(self) -> float:
        return float((await self.client.get("/credits")).json()["credits"])


@asynccontextmanager
async def vtrix(settings: Settings) -> AsyncIterator[Vtrix]:
    """Start a sandbox with a client of Vtrix."""
    async with _client_of("vtrix", settings) as (sandbox, client):
        yield Vtrix(running=sandbox, client=client)


@asynccontextmanager
async def bfl(settings: Settings) -> AsyncIterator[Bfl]:
    """Start a sandbox with a client of Black Forest Labs."""
    async with _client_of("bfl", settings) as (sandbox, client):
        yield Bfl(running=sandbox, client=client)


@asynccontextmanager
async def _client_of(service: str, settings: Settings) -> AsyncIterator[tuple[Running, AsyncClient]]:
    async with (
        running(settings) as sandbox,
        AsyncClient(base_url=sandbox.base_urls[service], headers=KEYS[service], **PLAIN) as client,
    ):
        yield sandbox, client


async def public(url: str) -> Response:
    """Send a GET request without a key."""
    async with AsyncClient(**PLAIN) as client:
        return await client.get(url)


@dataclass(frozen=True, kw_only=True)
class Received:
    """A received request."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Listener:
    """A real server that sends prepared responses and repeats the last one."""

    responses: list[bytes | None]
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        response = self.responses[min(len(self.received), len(self.responses) - 1)]
        self.received.append(Received(line=head[0], headers=headers, body=body))
        if response is not None:
            writer.write(response)
        else:
            await reader.read()  # until the client times out
        writer.close()


@asynccontextmanager
async def listening(*responses: bytes | None) -> AsyncIterator[Listener]:
    """Run a server on loopback; None as a response sends nothing."""
    listener = Listener(responses=list(responses))
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield listener


def opened(content: bytes) -> Image.Image:
    """Open an image."""
    return Image.open(io.BytesIO(content))


@cache
def photo(size: tuple[int, int] = (300, 200), image_format: str = "PNG") -> bytes:
    """Return an input image."""
    content = io.BytesIO()
    scene = Scene(prompt="a boat", model="m", seed=1, size=size, image_format="png")
    opened(render(scene)).save(content, image_format)
    return content.getvalue()


def base64_of(content: bytes) -> str:
    """Return raw base64."""
    return base64.b64encode(content).decode()


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the average difference of two images, 0 to 255 per channel."""
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


def http(status: int, content: bytes = b"", headers: str = "") -> bytes:
    """Return an HTTP response."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{headers}Connection: close\r\n\r\n".encode() + (
        content
    )

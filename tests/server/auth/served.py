"""A server over HTTP that asks for tokens, and requests to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from manual_clock import ManualClock
from mcp.shared.inbound import encode_header_value
from starlette.applications import Starlette
from support import coarse, environment_of, running_studio, serving

from journey_mcp import sandbox
from journey_mcp.auth import tokens_file
from journey_mcp.auth.access import access_of
from journey_mcp.core.limits import NO_PRINCIPAL_LIMITS
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports.bounded_server import ConnectionLimits, EmbeddedServer, listen
from journey_mcp.server.transports.call_bodies import BODY_TIMEOUT_S
from journey_mcp.server.transports.http import make_app
from journey_mcp.settings import read_settings

NEW, OLD = "2026-07-28", "2025-11-25"
ERAS = [NEW, OLD]
SERVER = "https://mcp.test"
RESOURCE = f"{SERVER}/mcp"
_NAMES = ("name", "uri", "taskId")


@dataclass(frozen=True)
class Answer:
    """The response to a request over HTTP."""

    status: int
    headers: Mapping[str, str]
    message: dict[str, Any]

    @property
    def structured(self) -> Any:
        """The object of a tool's result."""
        return self.message["result"]["structuredContent"]


@dataclass(frozen=True)
class Served:
    """A server, and its sandbox."""

    address: str
    upstream: sandbox.Running

    async def send(
        self, token: str | None, method: str, params: Mapping[str, Any] | None = None, era: str = NEW, **headers: str
    ) -> Answer:
        """Send a request of a revision, as clients do; headers have underscores, and replace the usual ones."""
        plain = dict(params or {})
        usual = {"accept": "application/json, text/event-stream", "mcp-protocol-version": era}
        if era == NEW:
            extensions: dict[str, Any] = {"io.modelcontextprotocol/tasks": {}} if method.startswith("tasks/") else {}
            prefix = "io.modelcontextprotocol/"
            plain["_meta"] = {
                f"{prefix}protocolVersion": NEW,
                f"{prefix}clientCapabilities": {"extensions": extensions, "elicitation": {"form": {}}},
            }
            usual["mcp-method"] = method
            named = [plain[name] for name in _NAMES if name in plain]
            usual |= {"mcp-name": encode_header_value(named[0])} if named else {}
        if token is not None:
            usual["authorization"] = f"Bearer {token}"
        usual |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": plain}
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=None) as http:
            answer = await http.post(f"{self.address}/mcp", json=body, headers=usual)
        return Answer(answer.status_code, answer.headers, message_of(answer))

    async def call(self, token: str | None, tool: str, era: str = NEW, **arguments: Any) -> Answer:
        """Call a tool."""
        return await self.send(token, "tools/call", {"name": tool, "arguments": arguments}, era)


def message_of(answer: httpx2.Response) -> dict[str, Any]:
    """Return the message of a response, also of one that is a stream of events."""
    text = answer.text
    if "text/event-stream" in answer.headers.get("content-type", ""):
        text = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")][-1]
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def serving_with(folder: Path, **more: str) -> AbstractAsyncContextManager[Served]:
    """Serve MCP with these settings, at a sandbox with all providers."""
    return _serving(folder, more, is_service=False)


def serving_bounded(folder: Path, **more: str) -> AbstractAsyncContextManager[Served]:
    """Do the same with the limits on connections of `journey-mcp serve`."""
    return _serving(folder, more, is_service=False, listening=_bounded)


def serving_service(folder: Path, **more: str) -> AbstractAsyncContextManager[Served]:
    """Do the same with metrics."""
    return _serving(folder, more, is_service=True)


@asynccontextmanager
async def _serving(
    folder: Path,
    more: Mapping[str, str],
    *,
    is_service: bool,
    listening: Callable[[Starlette], AbstractAsyncContextManager[str]] = serving,
) -> AsyncIterator[Served]:
    async with sandbox.running(coarse(speed=0, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, folder, **more))
        access = access_of(settings, ManualClock())
        opener = partial(running_studio, principals=access.limits if access else NO_PRINCIPAL_LIMITS)
        app = make_app(Lifespan(settings, opener, is_local=False, is_service=is_service), access)
        async with app.router.lifespan_context(app), listening(app) as origin:
            yield Served(origin, upstream)


@asynccontextmanager
async def _bounded(app: Starlette) -> AsyncIterator[str]:
    """Serve an application on such a port."""
    listener = listen("--port", "127.0.0.1", 0)
    limits = ConnectionLimits.for_port(body_timeout_s=BODY_TIMEOUT_S + 5)
    server = EmbeddedServer(app, limits, lifespan="off", timeout_graceful_shutdown=2)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.request_shutdown()
        await running
        listener.close()


def add_token(file: Path, name: str, *options: str) -> str:
    """Add a token to a file, and return it."""
    token = tokens_file.new_token()
    tokens_file.append(file, tokens_file.make_entry(name, tokens_file.digest_of(token), options))
    return token

"""What is behind a gallery in tests: our server and the sandbox of its providers, in this process, in real time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mcp import Client
from support import environment_of, running_studio

from browser.apps import APPS
from journey_mcp import sandbox
from journey_mcp.core.clock import Clock
from journey_mcp.server.app import make_server
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.settings import Settings, read_settings

SERVICES = ("journeyapi", "bfl")
"""One provider with grids and refinements, and one that takes masks."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A server and its upstream."""

    client: Client
    upstream: sandbox.Running
    settings: Settings

    def faults(self, *texts: str) -> None:
        """Replace the faults of the upstream."""
        self.upstream.sandbox.faults.replace([sandbox.Fault.parse(text) for text in texts])

    @property
    def sent(self) -> list[Any]:
        """The bodies of the creating requests that the upstream received."""
        return [entry.request for entry in self.upstream.sandbox.request_log.submissions]


@asynccontextmanager
async def make_environment(
    folder: Path, *, mode: str = "auto", speed: float = 0.0, clock: Clock | None = None, **environment: str
) -> AsyncIterator[Environment]:
    """Open a client of a new server that declares MCP Apps; upper-case keywords are environment variables."""
    async with sandbox.running(sandbox.Settings(speed=speed, seed=7)) as upstream:
        settings = read_settings(environment_of(upstream, folder, *SERVICES, **environment))
        lifespan = Lifespan(settings, partial(running_studio, clock=clock or Clock()), is_local=True)
        async with Client(make_server(lifespan), mode=mode, extensions=[APPS]) as client:
            yield Environment(client=client, upstream=upstream, settings=settings)
            lifespan.drain()


class Yesterday(Clock):
    """Real time, a day ago."""

    def now(self) -> float:
        """Return the time of day of yesterday."""
        return super().now() - 86400


def open_in_real_time(settings: Settings) -> Any:
    """Open a studio as the product does, with a copy of the migrated database."""
    return running_studio(settings, Clock())

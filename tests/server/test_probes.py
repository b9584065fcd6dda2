"""`/healthz` and `/readyz`: what load balancers and orchestrators ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import anyio
import httpx2
import pytest
from manual_clock import ManualClock, until
from support import environment_of, running_studio, serving

from journey_mcp import sandbox
from journey_mcp.auth.access import Access
from journey_mcp.core.errors import SetupError, StoreUnavailable
from journey_mcp.server.lifespan import Lifespan, StudioOpener
from journey_mcp.server.readiness import Readiness, Ready
from journey_mcp.server.transports.http import make_app
from journey_mcp.settings import Settings, read_settings

PROBE = {"host": "10.1.2.3:8000"}
"""Probes come by IP address."""


NOBODY = Access()
"""Authentication that accepts no token."""


@asynccontextmanager
async def probed(
    settings: Settings, opener: StudioOpener = running_studio, **more: Any
) -> AsyncIterator[tuple[httpx2.AsyncClient, Lifespan]]:
    """Serve, and open a client of the probes."""
    lifespan = Lifespan(settings, opener, is_local=False)
    app = make_app(lifespan, **more)
    async with (
        app.router.lifespan_context(app),
        serving(app) as origin,
        httpx2.AsyncClient(base_url=origin, headers=PROBE, trust_env=False, verify=False) as http,
    ):
        yield http, lifespan


@asynccontextmanager
async def ready_server(folder: Path, **more: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, Lifespan]]:
    """Serve with keys for all providers at a sandbox, and wait until it is ready."""
    async with (
        sandbox.running(sandbox.Settings(speed=0, seed=7)) as upstream,
        probed(read_settings(environment_of(upstream, folder)), **more) as (http, lifespan),
    ):
        await until(lambda: lifespan.opened_studio)
        yield http, lifespan


async def test_a_server_with_a_database_and_a_provider_is_ready(tmp_path: Path) -> None:
    """Whatever host a probe names, and without authentication."""
    async with ready_server(tmp_path, access=NOBODY) as (http, _):
        for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": status})
            assert answer.headers["cache-control"] == "no-store"
            assert (await http.head(path)).status_code == 200
            assert (await http.post(path)).status_code == 405
            assert (await http.get(f"{path}/more")).status_code == 404
        assert (await http.post("/mcp", json={})).status_code == 421


async def unready(http: httpx2.AsyncClient) -> tuple[str, str]:
    """Return the reason why the server is not ready, and when to ask again; it is alive."""
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert (await http.get("/healthz")).status_code == 200
    report = answer.json()
    assert report.pop("status") == "not_ready"
    return report["reason"], answer.headers["retry-after"]


async def test_a_server_whose_shutdown_has_begun_is_not_ready(tmp_path: Path) -> None:
    """At once, although it still answers."""
    async with ready_server(tmp_path) as (http, lifespan):
        assert (await http.get("/readyz")).status_code == 200
        lifespan.drain()
        assert await unready(http) == ("shutting_down", "1")


async def test_a_server_whose_database_was_deleted_is_not_ready(tmp_path: Path) -> None:
    """The answer serves further probes for a second, so that they do not load the database."""
    async with ready_server(tmp_path) as (http, lifespan):
        assert (await http.get("/readyz")).status_code == 200
        clock = ManualClock()
        (tmp_path / "tasks.db").unlink()
        clock.advance(1)
        assert await unready(http) == ("database", "5")
        assert lifespan.opened_studio


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SetupError("The folder /private cannot be written."), "setup"),
        (StoreUnavailable("The database postgresql://user:secret@host does not answer."), "database"),
        (ValueError("a defect"), "setup"),
    ],
)
async def test_a_server_that_cannot_start_names_no_details(tmp_path: Path, error: Exception, reason: str) -> None:
    """Everyone may ask: the reason is one word. The log has the details."""

    def fail(_settings: Settings) -> NoReturn:
        raise error

    async with probed(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}), fail) as (http, lifespan):
        await until(lambda: lifespan.failure)
        assert await unready(http) == (reason, "5")


class Silent:
    """A studio whose database does not answer, as behind a network that drops everything."""

    has_provider = True

    async def check_database(self) -> None:
        """Wait without an end."""
        await anyio.sleep_forever()


async def test_a_database_that_is_silent_is_waited_for_for_two_seconds(tmp_path: Path) -> None:
    """Probes have limits of their own."""

    @asynccontextmanager
    async def open_silent(_settings: Settings) -> AsyncIterator[Any]:
        yield Silent()

    clock = ManualClock()
    async with probed(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}), open_silent) as (http, lifespan):
        await until(lambda: lifespan.opened_studio)
        before = clock.elapsed()
        assert await unready(http) == ("database", "5")
        assert clock.elapsed() - before == pytest.approx(2, abs=0.1)


async def test_a_server_that_starts_is_not_ready_yet(tmp_path: Path) -> None:
    """The studio is not open."""
    lifespan = Lifespan(read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}), running_studio, is_local=False)
    ready = await Readiness(lifespan, needs_provider=False).check()
    assert (ready, ready.retry_after_s) == (Ready("starting"), 1)


@pytest.mark.parametrize(("access", "status"), [(None, 200), (NOBODY, 503)], ids=["without", "with"])
async def test_the_built_in_sandbox_is_no_provider_of_a_service(
    tmp_path: Path, access: Access | None, status: int
) -> None:
    """A service whose keys were forgotten would make images that nobody wants; on one's own machine it is enough."""
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)})
    async with probed(settings, access=access) as (http, lifespan):
        await until(lambda: lifespan.opened_studio)
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json().get("reason")) == (status, "no_provider" if status > 200 else None)

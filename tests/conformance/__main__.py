"""`make conformance`: run the official suite, print its results, and fail if they are not the expected ones."""

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import uvicorn
from support import free_port, serving, until_listening

from conformance import suite
from conformance.expected import EMPTY, PRODUCT, STDIO, TASKS, WITHOUT_REQUIREMENTS, Outcomes, Scenarios, problems
from conformance.fixtures import fixture_server
from conformance.stdio import bridged
from conformance.suite import Outcome
from journey_mcp.server.auth.middleware import Unauthenticated
from journey_mcp.settings import read_settings

_AT_ONCE = 4
"""The number of concurrent task scenarios, which mostly wait."""
_TIMEOUT_S = 60.0


async def _main() -> int:
    started = time.monotonic()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        async with _product(Path(folder)) as url:
            for revision, expected in PRODUCT.items():
                found = await suite.run(url, *_selection(revision))
                mine = {name: outcome for name, outcome in found.items() if not name.startswith("tasks-")}
                wrong += _report(f"journey-mcp serve --port, {revision}", mine, expected)
        on_stdio: dict[str, Outcome] = {}
        for name in STDIO:  # each with new processes: on stdio the first message determines the revision
            async with _on_stdio(Path(folder)) as url:
                on_stdio |= await suite.run(url, "--scenario", name)
        wrong += _report("journey-mcp on stdio", on_stdio, STDIO)
        async with _with_fixtures(Path(folder)) as url:
            tasks = await _tasks(url)
            wrong += _report("the same server with fixture tools", tasks, dict.fromkeys(TASKS, frozenset()))
            wrong += [f"{name} is not in the list" for name in sorted(tasks.keys() - {*TASKS, *EMPTY})]
    _write(f"{time.monotonic() - started:.0f} s")
    for problem in wrong:
        _write(f"NOT AS EXPECTED: {problem}")
    return 1 if wrong else 0


def _selection(revision: str) -> list[str]:
    """Return the arguments for the scenarios that a revision requires, or for all if the suite has no such set."""
    has_set = revision not in WITHOUT_REQUIREMENTS
    return ["--requirements", revision] if has_set else ["--suite", "all", "--spec-version", revision]


async def _tasks(url: str) -> Outcomes:
    found: dict[str, Outcome] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def run(name: str) -> None:
        async with limiter:
            found.update(await suite.run(url, "--scenario", name))

    async with anyio.create_task_group() as group:
        for name in await suite.scenarios("tasks-"):
            group.start_soon(run, name)
    return found


def _report(server: str, found: Outcomes, expected: Scenarios) -> list[str]:
    """Print the results and return what is not as expected."""
    _write(f"{server}:")
    for name in sorted(expected.keys() & found.keys()):
        left = f", {len(expected[name])} do not apply" if expected[name] else ""
        _write(f"  {name}: {len(found[name].succeeded)} checks passed{left}")
    _write(f"  {len(found.keys() - expected.keys())} more scenarios do not apply")
    return [f"{server}: {problem}" for problem in problems(found, expected)]


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment without the developer's keys: the sandbox makes the images."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "JOURNEY_MCP_DATA_DIR": str(folder)}


@asynccontextmanager
async def _on_stdio(folder: Path) -> AsyncIterator[str]:
    async with bridged(_environment(folder)) as app, serving(app) as origin:
        yield f"{origin}/mcp"


@asynccontextmanager
async def _product(folder: Path) -> AsyncIterator[str]:
    """Run the server as users start it; the sandbox makes the images."""
    port = free_port()
    command = [sys.executable, "-m", "journey_mcp", "serve", "--port", str(port)]
    async with await anyio.open_process(command, env=_environment(folder), stdout=None, stderr=None) as process:
        try:
            await until_listening(port, seconds=_TIMEOUT_S)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()


@asynccontextmanager
async def _with_fixtures(folder: Path) -> AsyncIterator[str]:
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(folder)})
    port = free_port()
    async with fixture_server(settings) as server, anyio.create_task_group() as group:
        app = server.streamable_http_app(stateless_http=True)
        app.add_middleware(Unauthenticated)
        serving = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
        group.start_soon(serving.serve)
        await until_listening(port, seconds=_TIMEOUT_S)
        yield f"http://127.0.0.1:{port}/mcp"
        serving.should_exit = True


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(anyio.run(_main))

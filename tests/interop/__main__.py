"""`make interop`: run each program of docs/frameworks.md, and fail if its model sees too little."""

import argparse
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import anyio
from support import free_port, serving, until_listening

from interop.checks import CALLS, VIEW, printed_problems, problems, seen, unseen
from interop.clients import CLIENTS, DOCUMENT, NODE, Client
from interop.model import FAREWELL, Call, Model
from interop.results import with_rows

_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 180.0


async def _main(names: list[str], *, is_written: bool, is_shown: bool) -> int:
    rows: dict[str, str] = {}
    has_failed = False
    for client in CLIENTS:
        if names and client.name not in names:
            continue
        found, view, results = await (_judge if client.has_model else _judge_output)(client)
        has_failed |= bool(found)
        packages = ", ".join(f"{name} {version}" for name, version in client.versions())
        outcome = f"no: {'; '.join(found)}" if found else "yes"
        _say(f"{client.title} ({packages}): {outcome}; of view_image the model gets {view}")
        if is_shown:
            for result in results:
                _say(f"  {result}")
        rows[client.title] = f"| {client.title} | {packages} | {datetime.now(UTC):%Y-%m-%d} | {outcome} | {view} |\n"
    if is_written:
        DOCUMENT.write_text(with_rows(DOCUMENT.read_text(encoding="utf-8"), rows), encoding="utf-8")
    return int(has_failed)


async def _judge(client: Client) -> tuple[list[str], str, list[str]]:
    """Return the problems, what the model gets of a `view_image`, and the results that it sees."""
    model, error = await _run(client, CALLS)
    found = [error] if error else _problems(client, model)
    viewer, view_error = await _run(client, VIEW)
    found += [] if view_error else unseen(viewer)
    return found, view_error or seen(viewer), [*model.results.values(), *viewer.results.values()]


async def _judge_output(client: Client) -> tuple[list[str], str, list[str]]:
    """Return the same of a program without a model."""
    ended = await _execute(client, Model(calls=()))
    if ended.returncode:
        return [f"the program ended with code {ended.returncode}"], "not run", [ended.stderr.decode()]
    output = ended.stdout.decode()
    return printed_problems(output), "not run", [output]


def _problems(client: Client, model: Model) -> list[str]:
    return problems(model, is_strict=client.is_strict, hidden=client.hides, is_validating=client.is_validating)


async def _run(client: Client, calls: Sequence[Call]) -> tuple[Model, str]:
    """Run a client; return what the model was shown, and how the program failed, if it did."""
    model = Model(calls=[call for call in calls if call.tool not in client.hides], prefix=client.prefix)
    ended = await _execute(client, model)
    output = (ended.stdout + ended.stderr).decode().strip()
    if ended.returncode or FAREWELL not in output:
        _say(output)
        errors = [line.strip(" |") for line in output.splitlines() if "Error: " in line] or [f"code {ended.returncode}"]
        return model, f"the program ended with {errors[-1]}"
    return model, ""


async def _execute(client: Client, model: Model) -> CompletedProcess[bytes]:
    with tempfile.TemporaryDirectory() as folder, anyio.fail_after(_TIMEOUT_S):
        async with serving(model.app()) as url, _server(Path(folder), client) as more:
            return await anyio.run_process(
                client.command(), env={**_environment(Path(folder), url), **more}, cwd=client.folder, check=False
            )


@asynccontextmanager
async def _server(folder: Path, client: Client) -> AsyncIterator[dict[str, str]]:
    """Run a server over HTTP for a client that does not start one; yield the variables that lead to it."""
    if not client.is_over_http:
        yield {}
        return
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", "journey_mcp", "serve", "--port", str(port)]
    async with await anyio.open_process(command, env=environment, stdout=None, stderr=None) as process:
        try:
            await until_listening(port)
            yield {"JOURNEY_URL": f"http://127.0.0.1:{port}/mcp"}
        finally:
            process.terminate()


def _environment(folder: Path, url: str) -> dict[str, str]:
    """Return an environment with an empty home, the fake model APIs, and `journey-mcp` of this checkout."""
    programs = folder / "bin"
    programs.mkdir()
    _write_script(programs / "journey-mcp", f'PYTHONPATH="{_ROOT}" exec "{sys.executable}" -m journey_mcp')
    # that of the wheel does not find its modules
    _write_script(programs / "npx", f'exec "{NODE}" "{NODE.parents[1]}/lib/node_modules/npm/bin/npx-cli.js"')
    return {
        "PATH": f"{programs}:{NODE.parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "stand-in",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": "stand-in",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "CREWAI_DISABLE_TELEMETRY": "true",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": "stand-in",
    }


def _write_script(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make interop", description=__doc__)
    parser.add_argument("clients", nargs="*", choices=[[], *dict.fromkeys(client.name for client in CLIENTS)])
    parser.add_argument("--write", action="store_true", help="write the results of this run into docs/frameworks.md")
    parser.add_argument("--show", action="store_true", help="print what the model sees of each result")
    given = parser.parse_args()
    sys.exit(anyio.run(partial(_main, given.clients, is_written=given.write, is_shown=given.show)))

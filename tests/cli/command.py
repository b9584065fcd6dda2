"""Run the command line: in this process if that tests the same, otherwise as a process."""

import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from typer.main import get_command
from typer.testing import CliRunner

from journey_mcp.cli import app
from journey_mcp.registry import load
from journey_mcp.sandbox import Running
from journey_mcp.settings import variables

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
"""Limit for any process."""
_OF_TERMINALS = {"COLUMNS", "FORCE_COLOR", "COLORTERM", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "TMUX"}
"""Variables of the terminal in which the tests run."""
_COMMANDS = get_command(app)
"""Made once: Typer takes longer for that than most commands run."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """`journey-mcp` with a separate environment."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def at(self, sandbox: Running, **more: str) -> "CommandLine":
        """Return the same with a key for this sandbox."""
        return self.given(JOURNEYAPI_BASE_URL=sandbox.base_url, JOURNEYAPI_API_KEY="japi_secret_1", **more)

    def at_all(self, sandbox: Running, **more: str) -> "CommandLine":
        """Return the same with a key for every service that this sandbox fakes."""
        facts = load().providers
        keys = {facts[name].key_variable: f"{name}_secret_1" for name in sandbox.base_urls}
        addresses = {facts[name].base_url_variable: url for name, url in sandbox.base_urls.items()}
        return self.given(**keys, **addresses, **more)

    def given(self, **variables: str) -> "CommandLine":
        """Return the same with these variables set."""
        return CommandLine(home=self.home, variables={**self.variables, **variables})

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command, without our variables that the machine may have set."""
        kept = {n: v for n, v in os.environ.items() if not _is_ours(n) and n not in _OF_TERMINALS}
        own = {"PYTHONPATH": str(ROOT), "JOURNEY_MCP_DATA_DIR": str(self.home), "NO_PROXY": "127.0.0.1,localhost"}
        return {**kept, **own, **self.variables}

    async def run(self, *arguments: str, stdin: str | bytes | None = None) -> Ended:
        """Run it in a thread of this process: the whole command except the start of the interpreter."""
        unset: dict[str, str | None] = {name: None for name in os.environ if _is_ours(name)}

        def invoke() -> Ended:
            with CliRunner().isolation(input=stdin, env={**unset, **self.environment}) as (out, err, _):
                with pytest.raises(SystemExit) as ended:
                    _COMMANDS.main(arguments, prog_name=_COMMANDS.name)
                sys.stdout.flush()
                sys.stderr.flush()
                assert isinstance(ended.value.code, int)
                return Ended(code=ended.value.code, out=out.getvalue().decode(), err=err.getvalue().decode())

        return await asyncio.wait_for(to_thread.run_sync(invoke), PATIENCE_S)

    async def process(self, *arguments: str, script: Path | None = None) -> Ended:
        """Run it as a process."""
        async with self.started(*arguments, script=script) as process:
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode is not None
        return Ended(code=process.returncode, out=out.decode(), err=err.decode())

    async def at_terminal(self, *arguments: str) -> str:
        """Run it as a process whose stdout and stderr are a terminal; return all output."""
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "journey_mcp", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={"TERM": "xterm", **self.environment, "COLUMNS": "160"},
        )
        os.close(theirs)
        try:
            return await asyncio.wait_for(to_thread.run_sync(_read_all, ours), PATIENCE_S)
        finally:
            await asyncio.wait_for(process.wait(), PATIENCE_S)
            os.close(ours)

    @asynccontextmanager
    async def session(self, *arguments: str) -> AsyncIterator["Session"]:
        """Start a process whose controlling terminal, for keys and output, ends with the block."""
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "journey_mcp", *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={"TERM": "xterm", **self.environment, "COLUMNS": "160"},
            start_new_session=True,
            preexec_fn=_control_terminal,
        )
        os.close(theirs)
        try:
            yield Session(process=process, terminal=ours)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)

    async def asked(self, *arguments: str, answer: bytes | signal.Signals) -> Ended:
        """Run it as a process that asks at a terminal, and answer with keys or a signal."""
        ours, theirs = os.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "journey_mcp", *arguments),
                stdin=theirs,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment,
            )
            assert process.stderr is not None
            question = await asyncio.wait_for(process.stderr.readuntil(b"[y/N] "), PATIENCE_S)
            if isinstance(answer, bytes):
                os.write(ours, answer)
            else:
                process.send_signal(answer)
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            os.close(theirs)
            os.close(ours)
        assert process.returncode is not None
        return Ended(code=process.returncode, out=out.decode(), err=(question + err).decode())

    @asynccontextmanager
    async def started(self, *arguments: str, script: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a process that ends with the block."""
        start = [str(script)] if script else ["-m", "journey_mcp"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *start,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
            cwd=self.home,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@dataclass(frozen=True, kw_only=True)
class Session:
    """A command at its terminal."""

    process: asyncio.subprocess.Process
    terminal: int

    def press(self, keys: bytes) -> None:
        """Press keys; Ctrl-C is a signal for the process, as the terminal makes it."""
        os.write(self.terminal, keys)

    async def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all output."""
        output = await asyncio.wait_for(to_thread.run_sync(_read_all, self.terminal), PATIENCE_S)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S), output


def _control_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _is_ours(variable: str) -> bool:
    return variable.startswith("JOURNEY") or variable in variables()


def _read_all(terminal: int) -> str:
    shown = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux, when the other side has closed
            chunk = b""
        if not chunk:
            # Ctrl-C discards what the terminal has not shown yet, perhaps half of a character
            return shown.decode(errors="replace")
        shown += chunk


async def first_line(stream: asyncio.StreamReader | None) -> str:
    """Return the next line of a process."""
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), PATIENCE_S)).decode()


async def interrupted(process: asyncio.subprocess.Process) -> Ended:
    """Press Ctrl-C and wait for the end."""
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode is not None
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())

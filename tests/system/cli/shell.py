"""A person at a terminal: bash, with the command `journey-mcp`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread
from cli.command import PATIENCE_S, CommandLine

_SCRIPT = f"#!{sys.executable}\nfrom journey_mcp.__main__ import main\nmain()\n"


@dataclass(frozen=True, kw_only=True)
class Shell:
    """The keyboard and the screen."""

    terminal: int

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.terminal, keys.encode())

    async def shows(self, text: str) -> str:
        """Wait until this appears; return what was shown since the last call."""
        return await asyncio.wait_for(to_thread.run_sync(self._read_until, text), PATIENCE_S)

    def _read_until(self, text: str) -> str:
        shown = ""
        while text not in shown:
            shown += os.read(self.terminal, 65536).decode(errors="replace")
        return shown


def install(folder: Path) -> Path:
    """Return the command in this folder, as pip installs it."""
    path = folder / "journey-mcp"
    folder.mkdir()
    path.write_text(_SCRIPT)
    path.chmod(0o755)
    return path


@asynccontextmanager
async def opened(journey: CommandLine, program: Path) -> AsyncIterator[Shell]:
    """Start bash at a terminal of its own, which ends with the block."""
    ours, theirs = os.openpty()
    variables = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PS1": "> ", "TERM": "xterm", "COLUMNS": "400"}
    bash = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**journey.environment, **variables},
        cwd=journey.home,
    )
    os.close(theirs)
    shell = Shell(terminal=ours)
    try:
        shell.type('bind "set bell-style none"; echo rea""dy\n')
        await shell.shows("ready")
        yield shell
    finally:
        bash.kill()
        await bash.wait()
        os.close(ours)

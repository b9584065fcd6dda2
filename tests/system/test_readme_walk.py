"""The commands in the README and other documents: each does what the document says."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from processes import TIMEOUT_S
from support import coarse, environment_for, free_port, until_listening

from journey_mcp import sandbox

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "sandbox.md", ROOT / "docs" / "models.md"]
CHANGES_CLIENTS = {"install": ["--print"], "uninstall": []}
"""Commands that change the client of the person who runs the tests, with what they get to change nothing."""


def commands(path: Path) -> Iterator[str]:
    """Yield the lines of a document's shell blocks and the commands in its text, without comments."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(journey-mcp [^`…]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in lines:
        if command := line.partition("  #")[0].strip():
            yield command


def ours(command: str) -> bool:
    """Return whether this test runs a command; other tests run the demo, and foreign programs are never run."""
    return command.startswith(("journey-mcp ", "export "))


EVERYTHING = [(path, command) for path in DOCUMENTS for command in commands(path)]


def test_every_command_is_run_or_excluded_on_purpose() -> None:
    """The excluded commands start with one of these words."""
    others = {command.split()[0] for _, command in EVERYTHING if not ours(command)}
    assert others <= {"make", "uv", "claude", "codex", "copilot"}
    assert len([command for _, command in EVERYTHING if ours(command)]) >= 8


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
async def test_commands_do_what_the_document_says(path: Path, tmp_path: Path) -> None:
    """They run in order, in an empty folder, with a key of the sandbox."""
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = {**os.environ, **environment_for(upstream.base_url, tmp_path / "data")}
        for command in (command for where, command in EVERYTHING if where == path and ours(command)):
            words = shlex.split(
                command.replace(" ID", " flux-kontext-pro").replace("your-key", "japi_live_of_a_reader")
            )
            if words[0] == "export":
                keys = [word.partition("=")[::2] for word in words[1:] if not word.startswith("JOURNEYAPI_BASE_URL")]
                environment |= dict(keys)
            elif words[1] in {"serve", "sandbox", "gallery"}:
                await starts(words, environment)
            else:
                home = {"HOME": str(tmp_path)} if words[1] in CHANGES_CLIENTS else {}
                ended = await anyio.run_process(
                    [sys.executable, "-m", "journey_mcp", *words[1:], *CHANGES_CLIENTS.get(words[1], [])],
                    env={**environment, **home},
                    cwd=tmp_path,
                    check=False,
                )
                assert ended.returncode == 0, f"{command}: {ended.stderr.decode()}"
    if path.name == "README.md":
        assert (tmp_path / "lighthouse.jpg").stat().st_size > 1000


async def starts(words: list[str], environment: dict[str, str]) -> None:
    """Check that a server of the document starts, on a free port."""
    port = free_port()
    arguments = [re.sub(r"\b8\d\d\d\b", str(port), word) for word in words[1:]]
    if words[1] == "gallery":
        arguments += ["--no-open", "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "journey_mcp", *arguments], env=environment)
    try:
        await until_listening(port)
    finally:
        server.terminate()
        server.wait(TIMEOUT_S)

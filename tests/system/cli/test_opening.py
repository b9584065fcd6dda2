"""`--open` with a program that notes what it is to open."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import sys
from pathlib import Path

import anyio
import pytest
from cli.command import CommandLine
from processes import TIMEOUT_S

from journey_mcp.sandbox import Running

pytestmark = pytest.mark.skipif(sys.platform in {"darwin", "win32"}, reason="other programs open files here")


class Opener:
    """`xdg-open` of a machine with a desktop: it writes down what it is to open."""

    def __init__(self, folder: Path) -> None:
        self._seen = folder / "seen"
        self.variables = {"PATH": str(folder), "DISPLAY": ":0", "SSH_CONNECTION": "", "SSH_CLIENT": "", "SSH_TTY": ""}
        program = folder / "xdg-open"
        program.write_text(f'#!/bin/sh\necho "$1" >> {self._seen}\n', encoding="utf-8")
        program.chmod(0o755)

    async def opened(self, count: int) -> list[str]:
        """Return the files once there are so many."""
        with anyio.fail_after(TIMEOUT_S):
            while not self._seen.exists() or len(self._seen.read_text(encoding="utf-8").splitlines()) < count:
                await anyio.sleep(0.05)
        return sorted(self._seen.read_text(encoding="utf-8").splitlines())


async def test_the_saved_files_are_opened(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    opener = Opener(tmp_path)
    done = await journey.at(sandbox, **opener.variables).process(
        *("imagine", "a boat", "--model", "midjourney", "--open", "-o", str(tmp_path / "a.png"))
    )
    assert done.code == 0, done.err
    assert await opener.opened(4) == [str(tmp_path / f"a-{number}.png") for number in range(1, 5)]


async def test_without_o_the_copies_are_opened(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    opener = Opener(tmp_path)
    journey = journey.at(sandbox, **opener.variables)
    made = await journey.run("imagine", "a boat", "--model", "z-image", "--json")
    assert (await journey.process("fetch", made.json["task_id"], "--open")).code == 0
    assert await opener.opened(1) == [made.json["images"][0]["path"]]


async def test_a_file_each_up_to_ten(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    opener = Opener(tmp_path)
    journey = journey.at(sandbox, **opener.variables)
    made = [await journey.run("imagine", f"boat {n}", "--model", "midjourney", "--json") for n in range(3)]
    done = await journey.process("fetch", *(one.json["task_id"] for one in made), "--open")
    assert done.err.endswith("The first 10 of 12 files are opened.\n")
    assert len(await opener.opened(10)) == 10


async def test_the_saved_files_of_a_run_are_opened(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    opener = Opener(tmp_path)
    done = await journey.at(sandbox, **opener.variables).process(
        *("imagine", "a boat", "--model", "z-image", "-n", "2", "--open", "-o", str(tmp_path / "a.jpg"))
    )
    assert done.code == 0, done.err
    assert await opener.opened(2) == [str(tmp_path / "a-1.jpg"), str(tmp_path / "a-2.jpg")]

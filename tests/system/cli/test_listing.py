"""What commands import, what a terminal shows, and a sandbox that ended with its command."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import re
from pathlib import Path

import pytest
from cli.command import CommandLine

from journey_mcp.sandbox import Running

HEAVY = (
    *("PIL", "anyio", "httpx2", "journey_mcp.sandbox", "journey_mcp.studio", "mcp", "pydantic", "rich", "sqlalchemy"),
    "uvicorn",
)


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("imagine", "--help"), ("token", "new", "--help")], ids=" ".join
)
async def test_version_and_help_import_nothing_heavy(
    arguments: tuple[str, ...], journey: CommandLine, tmp_path: Path
) -> None:
    assert await imported(journey, tmp_path, *arguments) == set()


@pytest.mark.parametrize("command", ["models", "tasks", "spend"])
async def test_a_command_that_only_reads_imports_what_reads_the_database(
    command: str, journey: CommandLine, tmp_path: Path
) -> None:
    assert await imported(journey, tmp_path, command) == {"anyio", "pydantic", "sqlalchemy"}


async def test_a_command_away_from_a_terminal_draws_no_bar_and_serves_nothing(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    heavy = await imported(journey.at(sandbox), tmp_path, "imagine", "a cat", "--model", "z-image")
    assert heavy == {"anyio", "httpx2", "journey_mcp.studio", "pydantic", "sqlalchemy"}


async def imported(journey: CommandLine, folder: Path, *arguments: str) -> set[str]:
    """Run a command, and return which of the heavy modules it imported."""
    script = folder / "command.py"
    script.write_text(
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*(name for name in {HEAVY} if name in sys.modules)))\n"
        "from journey_mcp.__main__ import main\nmain()\n"
    )
    ended = await journey.process(*arguments, script=script)
    assert ended.code == 0
    return set(ended.out.splitlines()[-1].split())


async def test_a_person_at_a_terminal_sees_a_bar_and_a_table(journey: CommandLine) -> None:
    journey = journey.given(JOURNEY_MCP_KEEP_IMAGES="off")
    made = await journey.at_terminal("imagine", "a [bold]cat[/bold]\x07 on a mat", "--model", "z-image")
    assert "z-image: sent" in made
    assert "\x1b[?25l" in made  # a bar hides the cursor
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", await journey.at_terminal("tasks", "--wide"))
    header, row = (" ".join(line.split()) for line in shown.splitlines()[:2])
    assert header == "Task Age Status Model Provider Cost Images Prompt"
    assert row.endswith("succeeded z-image sandbox 2 credits sandbox ended, no copy a [bold]cat[/bold] on a mat")


async def test_the_copies_of_a_sandbox_that_has_ended_are_named(journey: CommandLine) -> None:
    made = await journey.run("imagine", "a boat", "--json")
    paths = [image["path"] for image in made.json["images"]]
    assert f"\t{paths[0]} and 3 more\ta boat\n" in (await journey.run("tasks")).out
    shown = (await journey.run("fetch", made.json["task_id"])).out
    assert all(f"sandbox ended, copy kept image/png 1024x1024 (copy: {path})" in shown for path in paths)

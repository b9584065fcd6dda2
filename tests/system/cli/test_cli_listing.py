"""`--version`, `--help` and `tasks` as processes: what is imported, and what a terminal shows."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import re
from pathlib import Path

from cli.command import CommandLine

from journey_mcp import __version__


async def test_version_and_help_load_nothing_heavy(journey: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "light.py"
    script.write_text(
        "import atexit, sys\n"
        "heavy = ('mcp', 'httpx2', 'rich', 'sqlalchemy', 'anyio', 'uvicorn', 'PIL')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from journey_mcp.__main__ import main\nmain()\n"
    )
    version = await journey.process("--version", script=script)
    assert (version.code, version.out) == (0, f"journey-mcp {__version__}\n[]\n")
    helped = await journey.process("imagine", "--help", script=script)
    assert (helped.code, helped.out.splitlines()[-1]) == (0, "[]")


async def test_a_person_at_a_terminal_sees_a_bar_and_a_table(journey: CommandLine) -> None:
    made = await journey.at_terminal("imagine", "a [bold]cat[/bold]\x07 on a mat", "--model", "z-image")
    assert "z-image: sent" in made
    assert "\x1b[?25l" in made  # a bar hides the cursor
    told = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", await journey.at_terminal("tasks"))
    header, row = (" ".join(line.split()) for line in told.splitlines()[:2])
    assert header == "Task Age Status Model Provider Cost Images Prompt"
    assert row.endswith("succeeded z-image sandbox 2 credits sandbox ended, no copy a [bold]cat[/bold] on a mat")

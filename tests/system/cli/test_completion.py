"""Completion: what a shell is answered, and bash at a terminal."""

import sqlite3
from pathlib import Path

import pytest
from cli.command import CommandLine, Ended

from journey_mcp.cli.completion import PROGRAM, VARIABLE
from journey_mcp.sandbox import Running
from system.cli import shell

HOSTILE = """a [bold]cat[/x] \\"); touch stolen; (" $(touch stolen) `touch stolen` 'x' :::y"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return the installed command."""
    return shell.install(tmp_path / "bin")


async def completed(journey: CommandLine, program: Path, *words: str) -> list[str]:
    """Return what bash is answered for these words, the last of which is incomplete; nothing else is printed."""
    asked = journey.given(
        **{VARIABLE: "complete_bash", "COMP_WORDS": " ".join((PROGRAM, *words)), "COMP_CWORD": f"{len(words)}"}
    )
    ended = await asked.process(script=program)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.split()


async def answered(journey: CommandLine, program: Path, name: str, line: str) -> str:
    """Return what another shell is answered for a line."""
    asked = journey.given(
        **{VARIABLE: f"complete_{name}", "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        _TYPER_COMPLETE_WORD_TO_COMPLETE=line.rsplit(maxsplit=1)[-1],
    )
    ended: Ended = await asked.process(script=program)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


async def test_commands_options_models_providers_actions_and_formats_are_completed(
    journey: CommandLine, program: Path
) -> None:
    """Without a database, and none is made; standard input is not read for a prompt of `-`."""
    (journey.home / "tasks.db").unlink()
    for words, found in {
        ("im",): ["imagine", "import"],
        ("token", "re"): ["revoke"],
        ("imagine", "--fo"): ["--force", "--format"],
        ("imagine", "--model", "flux-s"): ["flux-schnell"],
        ("imagine", "-", "--model", "z-"): ["z-image"],
        ("models", "z-"): ["z-image"],
        ("compare", "x", "--models", "z-"): ["z-image"],
        ("compare", "x", "--models", "z-image,grok-image,gro"): ["z-image,grok-image,grok-image-2"],
        ("token", "new", "anna", "--key", "bf"): ["bfl"],
        ("install", "claude-d"): ["claude-desktop"],
        ("uninstall", "curs"): ["cursor"],
        ("edit", "--provider", "b"): ["bfl"],
        ("refine", "tsk_x.1", "pan_u"): ["pan_up"],
        ("tasks", "--format", "js"): ["json", "jsonl"],
        ("fetch", "tsk"): [],
        ("edit", "tsk"): [],
        ("imagin", "--model", "z-"): [],
        ("models", "z-image", "more", "x"): [],
        ("--version", "im"): ["imagine", "import"],
    }.items():
        assert await completed(journey, program, *words) == found, words
    assert list(journey.home.iterdir()) == []


async def test_tasks_and_images_are_completed(journey: CommandLine, sandbox: Running, program: Path) -> None:
    """The newest first, images of finished tasks only, and the start of the prompt where the shell shows it."""
    journey = journey.at(sandbox)
    made = (await journey.run("imagine", "a boat", "--json")).json
    later = (await journey.run("imagine", HOSTILE, "--model", "z-image", "--json")).json
    boat, cat = made["task_id"], later["task_id"]
    assert await completed(journey, program, "fetch", "tsk") == [cat, boat]
    assert await completed(journey, program, "cancel", boat, cat[:6]) == [cat]
    assert await completed(journey, program, "tasks", "--before", boat[:6]) == [boat]
    images = [f"{cat}.1", *(f"{boat}.{number}" for number in (1, 2, 3, 4))]
    assert await completed(journey, program, "edit", "tsk") == images
    assert await completed(journey, program, "imagine", "x", "--reference", "tsk") == images
    assert f"{boat}\tsucceeded, a boat" in (await answered(journey, program, "fish", f"{PROGRAM} fetch tsk"))
    assert f"{boat}:::succeeded, a boat" in (await answered(journey, program, "powershell", f"{PROGRAM} fetch tsk"))


async def test_a_prompt_is_no_code_for_the_shell(journey: CommandLine, sandbox: Running, program: Path) -> None:
    """Zsh evaluates the answer."""
    journey = journey.at(sandbox)
    cat = (await journey.run("imagine", HOSTILE, "--model", "z-image", "--json")).json["task_id"]
    assert await answered(journey, program, "zsh", f"{PROGRAM} fetch tsk") == (
        f"""_arguments '*: :(("{cat}":"succeeded, a bold cat x touch stolen touch stolen"))'\n"""
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"JOURNEY_MCP_KEEP_DAYS": "many"},
        {"JOURNEY_MCP_REGISTRY": "/nowhere.toml"},
        {"JOURNEY_MCP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"},
        {"JOURNEY_MCP_DATABASE_URL": "sqlite:////nowhere/tasks.db"},
    ],
    ids=lambda given: "=".join(*given.items()),
)
async def test_what_is_wrong_is_not_shown(journey: CommandLine, program: Path, variables: dict[str, str]) -> None:
    """Commands are completed still; a wrong setting leaves out what depends on it."""
    journey = journey.given(**variables)
    assert await completed(journey, program, "imag") == ["imagine"]
    assert await completed(journey, program, "fetch", "tsk") == []
    depends_on_it = "DATABASE" not in next(iter(variables))
    assert await completed(journey, program, "imagine", "--model", "z-") == ([] if depends_on_it else ["z-image"])


async def test_a_database_that_is_locked_or_broken_has_no_tasks(journey: CommandLine, program: Path) -> None:
    """A completion does not wait for it."""
    file = journey.home / "tasks.db"
    file.unlink()
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("CREATE TABLE tasks (id TEXT)")
    assert await completed(journey, program, "fetch", "tsk") == []
    database.execute("BEGIN EXCLUSIVE")
    assert await completed(journey, program, "fetch", "tsk") == []
    database.close()
    file.write_text("no database")
    assert await completed(journey, program, "fetch", "tsk") == []


async def test_each_shell_has_a_script(journey: CommandLine) -> None:
    """It names the command and the variable; another shell is refused."""
    for name in ("bash", "zsh", "fish", "powershell"):
        printed = await journey.run("completion", name)
        assert (printed.code, printed.err) == (0, ""), name
        assert f"{VARIABLE}" in printed.out
        assert PROGRAM in printed.out
    assert (await journey.run("completion", "tcsh")).code == 2


async def test_bash_completes_a_model_at_a_terminal(journey: CommandLine, program: Path) -> None:
    """A few letters and the Tab key; a second and a third one show what is left to choose."""
    async with shell.opened(journey, program) as bash:
        bash.type('eval "$(journey-mcp completion bash)"\n')
        bash.type("journey-mcp imagine --model gro\t")
        await bash.shows("--model grok-image")
        bash.type("\t\t")
        await bash.shows("grok-image-2")

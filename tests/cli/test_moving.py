"""`purge`, `export` and `import` on the command line."""

import stat
from pathlib import Path

import pytest

from cli.command import CommandLine
from journey_mcp.sandbox import Running


async def made(journey: CommandLine, prompt: str) -> str:
    """Make an image and return its task."""
    done = await journey.run("imagine", prompt, "--model", "z-image", "--json")
    assert done.code == 0, done.err
    return str(done.json["task_id"])


async def listed(journey: CommandLine) -> list[str]:
    """Return the ids of all tasks."""
    return [task["task_id"] for task in (await journey.run("tasks", "--all", "--json")).json["tasks"]]


async def test_a_journal_moves_to_another_folder(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    """With the images; a second import adds nothing."""
    journey = journey.at(sandbox)
    ids = [await made(journey, prompt) for prompt in ("one", "two")]
    file = tmp_path / "journal.tar"
    done = await journey.run("export", str(file))
    assert (done.code, done.out) == (0, f"2 tasks, 0 added images and 2 image files are in {file}.\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    other = journey.given(JOURNEY_MCP_DATA_DIR=str(tmp_path / "other"))
    for says in (
        "2 tasks, 0 added images and 2 image files were imported.\n",
        "0 tasks, 0 added images and 0 image files were imported. 6 rows and images were there already.\n",
    ):
        assert (await other.run("import", str(file))).out == says
    assert sorted(await listed(other)) == sorted(ids)
    assert sorted(path.stem for path in (tmp_path / "other" / "pictures").iterdir()) == sorted(
        f"{id_}.1" for id_ in ids
    )
    again = await journey.run("export", str(file))
    assert (again.code, f"{file} exists" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "{folder}/nothing.tar"], "No such file or directory"),
        (["import", "{folder}/other.txt"], "This is no journal that can be imported"),
        (["export", "{folder}/nothing/journal.tar"], "No such file or directory"),
    ],
)
async def test_a_file_that_cannot_be_used(
    journey: CommandLine, tmp_path: Path, arguments: list[str], says: str
) -> None:
    """The error says why, and exit code 2 that something must be changed."""
    (tmp_path / "other.txt").write_text("hello" * 1000)
    done = await journey.run(*(argument.format(folder=tmp_path) for argument in arguments))
    assert (done.code, says in done.err) == (2, True), done.err
    assert "Traceback" not in done.err


async def test_purge_says_what_it_deletes_and_deletes_it_if_told_so(journey: CommandLine, sandbox: Running) -> None:
    """Without a terminal it needs --yes; nothing that was not named is deleted."""
    journey = journey.at(sandbox)
    await made(journey, "one")
    refused = await journey.run("purge")
    assert (refused.code, "--older-than" in refused.err) == (2, True)
    nothing = await journey.run("purge", "--older-than", "1")
    assert (nothing.code, "There is nothing to delete." in nothing.err) == (0, True)
    assert "nothing to delete" in (await journey.run("purge", "--principal", "token:ada", "--yes")).err
    asked = await journey.run("purge", "--older-than", "0")
    assert asked.code == 2
    assert "Delete 1 tasks with their prompts and images, and 0 added images?" in asked.err
    assert "--yes" in asked.err
    assert len(await listed(journey)) == 1
    done = await journey.run("purge", "--principal", "local", "--older-than", "0", "--yes")
    assert (done.code, done.out) == (0, "Deleted 1 tasks with their prompts and images, and 0 added images.\n")
    assert await listed(journey) == []

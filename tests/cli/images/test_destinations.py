"""`-o`: a file, a folder or a pattern; nothing is overwritten, and no value leads out of the folder."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import re
from pathlib import Path

import pytest
from support import coarse

from cli.command import CommandLine
from journey_mcp.sandbox import Fault, Running, running

DAY = r"\d{4}-\d\d-\d\d"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def imagined(journey: CommandLine, output: str, *more: str, prompt: str = "A boat, at dusk!") -> tuple[int, str]:
    done = await journey.run("imagine", prompt, "--model", "z-image", "-o", output, *more)
    return done.code, done.out.splitlines()[-1] if done.code == 0 else done.err


async def test_a_folder_gets_readable_names_with_the_right_ending(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """An existing one, and a new one with a separator at its end."""
    journey, old, new = journey.at(sandbox), tmp_path / "old", tmp_path / "a" / "new"
    old.mkdir()
    assert (await imagined(journey, str(old)))[0] == 0
    assert (await imagined(journey, str(old)))[0] == 0
    [first, second] = names(old)
    assert re.fullmatch(rf"{DAY} A boat, at dusk! \(2\)\.jpg", first)
    assert re.fullmatch(rf"{DAY} A boat, at dusk!\.jpg", second)
    assert await imagined(journey, f"{new}/") == (0, f"Saved {new}/{names(new)[0]}")
    grid = await journey.run("imagine", "four", "-o", f"{tmp_path}/grid/")
    assert grid.code == 0, grid.err
    assert [name[11:] for name in names(tmp_path / "grid")] == [f"four {number}.png" for number in (1, 2, 3, 4)]


async def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_paid(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, err = await imagined(journey.at(sandbox), f"{tmp_path}/file/new/")
    assert (code, f"Nothing can be saved in {tmp_path}/file/new: {tmp_path}/file is not a folder." in err) == (2, True)
    assert not sandbox.sandbox.request_log.submissions


async def test_a_pattern_names_files_by_what_is_known(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    pattern = f"{tmp_path}/{{provider}}/{{date}}-{{time}}-{{model}}-{{prompt}}-{{n:03}}-{{seed}}-{{task}}.{{ext}}"
    code, line = await imagined(journey.at(sandbox), pattern)
    assert code == 0
    [name] = names(tmp_path / "journeyapi")
    assert re.fullmatch(rf"{DAY}-\d{{6}}-z-image-a-boat-at-dusk-001-\w+-tsk_[\w-]{{22}}\.jpg", name)
    assert line == f"Saved {tmp_path}/journeyapi/{name}"


async def test_a_pattern_numbers_all_images(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    done = await journey.at(sandbox).run("imagine", "a boat", "-o", f"{tmp_path}/out/{{{{{{n}}}}}}.{{ext}}")
    assert done.code == 0, done.err
    assert names(tmp_path / "out") == ["{1}.png", "{2}.png", "{3}.png", "{4}.png"]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("{size}.png", "{size} is not known."),
        ("{}.png", "{} is not known."),
        ("{n.real}.png", "{n.real} is not known."),
        ("{n!r}.png", "{n:} is not known; only {n} takes a width, as in {n:03}."),
        ("{n:>300}.png", "{n:>300} is not known; only {n} takes a width, as in {n:03}."),
        ("{model:3}.png", "{model:3} is not known; only {n} takes a width, as in {n:03}."),
        ("a}.png", "Single '}' encountered in format string; a brace in a name is written twice."),
        ("a{.png", "a brace in a name is written twice."),
    ],
)
async def test_a_wrong_pattern_lists_what_is_known(
    journey: CommandLine, sandbox: Running, pattern: str, problem: str
) -> None:
    code, err = await imagined(journey.at(sandbox), pattern)
    assert code == 2
    assert f"journey-mcp: -o {pattern!r}: " in err
    assert problem in err
    assert "Known are {date}, {time}, {model}, {provider}, {n}, {task}, {prompt}, {seed}, {ext}. Nothing" in err
    assert not sandbox.sandbox.request_log.submissions


@pytest.mark.parametrize(
    "prompt", ["../../etc/passwd", "/etc/passwd", ".. x", "a\\..\\b", "~/x", ".hidden", "con\0trol"]
)
async def test_no_value_leads_out_of_the_folder(
    journey: CommandLine, sandbox: Running, tmp_path: Path, prompt: str
) -> None:
    code, line = await imagined(journey.at(sandbox), f"{tmp_path}/out/{{prompt}}.{{ext}}", prompt=prompt)
    if code == 0:
        [name] = names(tmp_path / "out")
        assert line == f"Saved {tmp_path}/out/{name}"
        assert not name.startswith(".")
        assert "/" not in name
    else:
        assert "characters that are not text" in line


async def test_one_name_for_several_images_is_refused_before_anything_is_paid(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """Also if the rest of the name is known later."""
    for pattern in ("{model}.png", "{task}-{time}.{ext}"):
        done = await journey.at(sandbox).run("imagine", "a boat", "-o", f"{tmp_path}/{pattern}")
        assert (done.code, "gives 4 images the same name.\nAdd {n}, the number of the image." in done.err) == (2, True)
    assert not sandbox.sandbox.request_log.submissions


async def test_a_pattern_overwrites_nothing_without_force(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """A name that is known is checked before anything is paid; another one when the image is there."""
    journey = journey.at(sandbox)
    there, later = tmp_path / "z-image.png", tmp_path / "1.jpg"
    for path in (there, later):
        path.write_text("mine")
    code, err = await imagined(journey, f"{tmp_path}/{{model}}.png")
    assert (code, f"{there} cannot be written: it exists (--force replaces it)." in err) == (2, True)
    assert not sandbox.sandbox.request_log.submissions
    code, err = await imagined(journey, f"{tmp_path}/{{n}}.{{ext}}")
    assert (code, f"cannot be written to {later}: it exists (--force replaces it)." in err) == (1, True)
    assert "To try again: journey-mcp fetch tsk_" in err
    assert [path.read_text() for path in (there, later)] == ["mine", "mine"]
    assert (await imagined(journey, f"{tmp_path}/{{n}}.{{ext}}", "--force"))[0] == 0
    assert later.read_bytes().startswith(b"\xff\xd8\xff")


async def test_all_images_of_several_tasks_are_saved(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    """Into a folder, by a pattern, and numbered behind a file name."""
    journey = journey.at(sandbox)
    made = [await journey.run("imagine", f"boat {number}", "--model", "z-image", "--json") for number in (1, 2)]
    four = await journey.run("imagine", "ship", "--json")
    ids = [one.json["task_id"] for one in (*made, four)]
    into = await journey.run("fetch", *ids, "-o", f"{tmp_path}/folder/")
    assert into.code == 0, into.err
    assert [name[11:] for name in names(tmp_path / "folder")] == [
        *("boat 1.jpg", "boat 2.jpg"),
        *(f"ship {number}.png" for number in (1, 2, 3, 4)),
    ]
    by = await journey.run("fetch", *ids, "-o", f"{tmp_path}/by/{{n}}.{{ext}}", "--json")
    assert names(tmp_path / "by") == ["1.jpg", "2.jpg", "3.png", "4.png", "5.png", "6.png"]
    saved = [image["saved_to"] for task in by.json["tasks"] for image in task["images"]]
    assert saved == [f"{tmp_path}/by/{name}" for name in names(tmp_path / "by")]
    numbered = await journey.run("fetch", *ids[:2], "-o", f"{tmp_path}/x.jpg")
    assert numbered.out.splitlines()[-2:] == [f"Saved {tmp_path}/x-1.jpg", f"Saved {tmp_path}/x-2.jpg"]
    again = await journey.run("fetch", *ids[:2], "-o", f"{tmp_path}/x.jpg")
    assert (again.code, f"{tmp_path}/x-1.jpg cannot be written: it exists" in again.err) == (2, True)


async def test_of_several_tasks_the_unfinished_ones_are_saved_later(journey: CommandLine, tmp_path: Path) -> None:
    """With the numbers that they would have had at once."""
    async with running(coarse(speed=0, faults=(Fault(on="submit", kind="hang", times=None, after=1),))) as sandbox:
        journey = journey.at(sandbox)
        done = (await journey.run("imagine", "boat", "--json")).json["task_id"]
        slow = (await journey.run("imagine", "slow", "--wait", "0", "--json")).json["task_id"]
        both = await journey.run("fetch", slow, done, "-o", f"{tmp_path}/x.png", "--wait", "0")
    assert both.code == 1
    assert names(tmp_path)[-4:] == ["x-5.png", "x-6.png", "x-7.png", "x-8.png"]
    command = f"journey-mcp fetch {slow} {done} -o {tmp_path}/x.png --force"
    assert both.err.splitlines()[-1] == f"1 task(s) are not finished. To wait for the tasks: {command}"

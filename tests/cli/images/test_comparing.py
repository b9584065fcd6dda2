"""`compare`: one prompt on several models, and the sheet of the results."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import json
from pathlib import Path

import pytest
from drawn import opened
from support import coarse

from cli.command import CommandLine
from journey_mcp.sandbox import Fault, Running, running

BOAT = ("compare", "a", "paper", "boat", "--models")


def models_sent(sandbox: Running) -> list[str]:
    return sorted(entry.request["model"] for entry in sandbox.sandbox.request_log.submissions)


async def test_each_model_makes_the_prompt_once(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "sheet.png"
    done = await journey.at(sandbox).run(*BOAT, "Z-Image, recraft,z image,", "-o", str(sheet))
    assert done.code == 0, done.err
    assert models_sent(sandbox) == ["recraft", "z-image"]
    header, *rows, saved = (line.split("\t") for line in done.out.splitlines())
    assert header == ["Model", "Status", "Cost", "Time", "Task"]
    assert [row[:3] for row in rows] == [["z-image", "succeeded", "2 credits"], ["recraft", "succeeded", "3 credits"]]
    assert all(row[3].endswith(" s") and row[4].startswith("tsk_") for row in rows)
    assert saved == [f"Saved {sheet}"]
    lines = done.err.splitlines()
    assert lines[0] == "2 tasks: about 5 credits at journeyapi."
    assert "If it is interrupted: journey-mcp compare --run run_" in lines[1]
    image = opened(sheet.read_bytes())
    assert (image.format, image.width) == ("PNG", 1028)


async def test_without_o_the_sheet_is_kept(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    done = await journey.run(*BOAT, "midjourney,z-image", "--json")
    assert done.code == 0, done.err
    sheet, tasks = done.json["sheet"], done.json["tasks"]
    assert sheet.keys() == {"id", "path", "mime_type", "width", "height"}
    assert sheet["path"] == f"{journey.home}/pictures/{sheet['id']}.png"
    assert opened(Path(sheet["path"]).read_bytes()).size == (sheet["width"], sheet["height"])
    assert [(task["model"], len(task["images"]), task["prompt"]) for task in tasks] == [
        ("midjourney", 4, "a paper boat"),
        ("z-image", 1, "a paper boat"),
    ]
    text = await journey.run(*BOAT, "midjourney,z-image")
    assert text.out.splitlines()[-1].startswith("Sheet up_")


async def test_in_a_folder_the_sheet_is_named_by_the_prompt(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    for _ in range(2):
        done = await journey.at(sandbox).run(*BOAT, "z-image,recraft", "-o", f"{tmp_path}/sheets/")
        assert done.code == 0, done.err
    names = sorted(path.name[11:] for path in (tmp_path / "sheets").iterdir())
    assert names == ["a paper boat (2).png", "a paper boat.png"]


async def test_the_ending_decides_about_the_format(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    done = await journey.at(sandbox).run(*BOAT, "z-image,recraft", "-o", str(tmp_path / "a.JPG"))
    assert done.code == 0, done.err
    assert opened((tmp_path / "a.JPG").read_bytes()).format == "JPEG"


async def test_a_failed_model_is_on_the_sheet(journey: CommandLine, tmp_path: Path) -> None:
    failed = Fault(on="submit", kind="fail_task", error="content policy", after=1)
    async with running(coarse(speed=0, faults=(failed,))) as sandbox:
        journey = journey.at(sandbox)
        done = await journey.run(*BOAT, "midjourney,z-image", "--json", "--at-once", "1", "-o", str(tmp_path / "a.png"))
        assert done.code == 3
        assert [task["status"] for task in done.json["tasks"]] == ["succeeded", "failed"]
        assert done.err.splitlines()[-2].startswith("z-image: ")
        image = opened((tmp_path / "a.png").read_bytes())
        assert image.getpixel((260, 260)) != (40, 40, 40)
        assert image.getpixel((772, 260)) == (40, 40, 40)
        again = done.err.splitlines()[-1]
        assert again.startswith("To try again, without paying again for what is made: journey-mcp compare --run run_")


async def test_each_model_is_a_line_of_json(journey: CommandLine, sandbox: Running) -> None:
    """And stderr says where the sheet is."""
    done = await journey.at(sandbox).run(*BOAT, "midjourney,z-image", "--format", "jsonl")
    assert [json.loads(line)["model"] for line in done.out.splitlines()] == ["midjourney", "z-image"]
    assert done.err.splitlines()[-1].startswith("Sheet up_")


async def test_a_quiet_comparison_says_what_failed(journey: CommandLine) -> None:
    """The reasons, and how to try again."""
    failed = Fault(on="submit", kind="fail_task", error="content policy", times=None)
    async with running(coarse(speed=0, faults=(failed,))) as sandbox:
        done = await journey.at(sandbox).run(*BOAT, "recraft,z-image", "--quiet")
    recraft, z_image, again = done.err.splitlines()
    assert (done.code, recraft.startswith("recraft: "), z_image.startswith("z-image: ")) == (1, True, True)
    assert again.startswith("To try again, without paying again for what is made: journey-mcp compare --run run_")


async def test_without_an_image_there_is_no_sheet(journey: CommandLine, tmp_path: Path) -> None:
    failed = Fault(on="submit", kind="fail_task", error="content policy", times=None)
    async with running(coarse(speed=0, faults=(failed,))) as sandbox:
        done = await journey.at(sandbox).run(*BOAT, "recraft,z-image", "--json", "-o", str(tmp_path / "a.png"))
    assert (done.code, "sheet" in done.json, (tmp_path / "a.png").exists()) == (1, False, False)


async def test_a_run_that_is_repeated_pays_nothing(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    journey = journey.at(sandbox)
    first = await journey.run(*BOAT, "recraft,z-image", "--json")
    again = await journey.run(*BOAT, "recraft,z-image", "--run", first.json["run_id"], "-o", str(tmp_path / "a.png"))
    assert (again.code, len(models_sent(sandbox))) == (0, 2)
    assert again.err.startswith("2 of 2 tasks are there already; 0 more: nothing is charged.\n")
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("z-image",), "names 1 model(s); a comparison has 2 to 12"),
        ((",".join(f"model-{n}" for n in range(13)),), "names 13 model(s)"),
        (("z-image,recrafd",), "Did you mean recraft?"),
        (("z-image,seededit",), "seededit"),
        (("z-image,recraft", "-o", "a.webp"), "-o 'a.webp': the sheet is saved as .png, .jpg, .jpeg"),
        (("z-image,recraft", "-o", "{model}.png"), "-o '{model}.png': a pattern is for images"),
        (("z-image,recraft", "-o", "taken.png"), "taken.png cannot be written: it exists"),
    ],
)
async def test_an_invalid_comparison_costs_nothing(
    journey: CommandLine,
    sandbox: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").touch()
    done = await journey.at(sandbox).run(*BOAT, *arguments)
    assert (done.code, models_sent(sandbox)) == (2, [])
    assert words in done.err


async def test_a_prompt_is_needed(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("compare", "--models", "z-image,recraft")
    assert (done.code, models_sent(sandbox)) == (2, [])
    assert "The prompt is missing." in done.err


async def test_the_sum_is_confirmed(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="4credits").run(*BOAT, "z-image,recraft")
    assert (done.code, models_sent(sandbox)) == (1, [])
    assert "5 credits" in done.err


async def test_a_sheet_that_cannot_be_written_leaves_the_images(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    long = tmp_path / f"{'a' * 240}"
    done = await journey.at(sandbox).run(*BOAT, "z-image,recraft", "-o", f"{long}/{'b' * 252}.png", "--json")
    assert (done.code, len(done.json["tasks"]), "sheet" in done.json) == (3, 2, False)
    assert "The sheet cannot be written to " in done.err

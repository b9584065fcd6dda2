"""`-n` and `--batch`: several requests of one command."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import json
from pathlib import Path
from typing import Any

import pytest
from support import coarse

from cli.command import CommandLine
from journey_mcp.sandbox import Fault, Running, running

CHEAP = ("-m", "z-image")


def prompts_sent(sandbox: Running) -> list[str]:
    return [entry.request["prompt"] for entry in sandbox.sandbox.request_log.submissions]


def rows(table: str) -> list[list[str]]:
    return [line.split("\t") for line in table.splitlines()]


def resume_of(err: str) -> str:
    """Return the id of the run."""
    return err.partition("--run ")[2].split()[0]


async def test_four_are_made_and_numbered(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    done = await journey.at(sandbox).run("imagine", "a", "boat", *CHEAP, "-n", "4", "-o", f"{tmp_path}/boat.jpg")
    assert done.code == 0, done.err
    assert prompts_sent(sandbox) == ["a boat"] * 4
    header, *made = rows(done.out)
    assert header == ["Number", "Prompt", "Status", "Cost", "Task", "File"]
    assert [row[:4] for row in made] == [[str(n), "a boat", "succeeded", "2 credits"] for n in (1, 2, 3, 4)]
    assert [row[5] for row in made] == [f"{tmp_path}/boat-{n}.jpg" for n in (1, 2, 3, 4)]
    assert len({row[4] for row in made}) == 4
    lines = done.err.splitlines()
    assert lines[0] == "4 tasks: about 8 credits at journeyapi."
    assert lines[-1] == "4 requests: 4 succeeded."


async def test_each_image_of_each_request_has_its_number(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    done = await journey.at(sandbox).run("imagine", "a boat", "-n", "2", "-o", f"{tmp_path}/{{n}}.{{ext}}", "--json")
    assert done.code == 0, done.err
    saved = [[image["saved_to"] for image in task["images"]] for task in done.json["tasks"]]
    assert saved == [[f"{tmp_path}/{n}.png" for n in (1, 2, 3, 4)], [f"{tmp_path}/{n}.png" for n in (5, 6, 7, 8)]]
    assert [task["number"] for task in done.json["tasks"]] == [1, 2]
    assert all("`journey-mcp edit tsk_" in task["next_step"] for task in done.json["tasks"])
    assert all(Path(path).is_file() for paths in saved for path in paths)


async def test_an_edit_is_made_several_times(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    image = (await journey.run("imagine", "a boat", *CHEAP, "--json")).json["images"][0]["id"]
    done = await journey.run("edit", image, "make it green", "-m", "seededit", "-n", "2", "--json")
    assert (done.code, len(done.json["tasks"])) == (0, 2)


async def test_the_sum_is_confirmed_before_anything_is_sent(journey: CommandLine, sandbox: Running) -> None:
    """Each costs 2 credits; without a terminal nobody can be asked."""
    journey = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="7credits")
    done = await journey.run("imagine", "a boat", *CHEAP, "-n", "4")
    assert (done.code, done.out, prompts_sent(sandbox)) == (1, "", [])
    assert "journey-mcp: 4 tasks for about 8 credits are above JOURNEY_MCP_CONFIRM_ABOVE (7 credits), and" in done.err
    assert (await journey.run("imagine", "a boat", *CHEAP, "-n", "3")).code == 0


async def test_a_run_that_goes_on_pays_for_nothing_twice(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """It returns the very tasks, although their results were received and saved."""
    journey, words = journey.at(sandbox), ("imagine", "a boat", *CHEAP, "-n", "3", "-o", f"{tmp_path}/boat.jpg")
    first = await journey.run(*words)
    run = ("--run", resume_of(first.err))
    (tmp_path / "boat-2.jpg").unlink()
    again = await journey.run(*words, *run)
    assert (again.code, again.out) == (0, first.out), again.err
    assert again.err.splitlines()[0] == "3 of 3 tasks are there already; 0 more: nothing is charged."
    assert len(prompts_sent(sandbox)) == 3
    assert (tmp_path / "boat-2.jpg").is_file()
    another = await journey.run(*words)
    assert (another.code, "it exists (--force replaces it)" in another.err) == (2, True)


async def test_a_run_does_not_overwrite_another_file(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    journey, words = journey.at(sandbox), ("imagine", "a boat", *CHEAP, "-n", "2", "-o", f"{tmp_path}/boat.jpg")
    run = ("--run", resume_of((await journey.run(*words)).err))
    (tmp_path / "boat-2.jpg").write_text("mine")
    again = await journey.run(*words, *run)
    assert again.code == 3
    assert "boat-2.jpg: it exists (--force replaces it)." in again.err
    assert (tmp_path / "boat-2.jpg").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("-n", "3"), "the id is mistyped, or the run began with other requests or options than these."),
        (("-n", "2", "--aspect-ratio", "16:9"), "the run began with other requests or options than these."),
        ((), "goes on with a run of -n or --batch, and neither is given."),
    ],
)
async def test_a_run_goes_on_only_as_it_began(
    journey: CommandLine, sandbox: Running, words: tuple[str, ...], problem: str
) -> None:
    journey = journey.at(sandbox)
    run_id = resume_of((await journey.run("imagine", "a boat", *CHEAP, "-n", "2")).err)
    done = await journey.run("imagine", "a boat", *CHEAP, *words, "--run", run_id)
    assert (done.code, problem in done.err, "Nothing was sent" in done.err) == (2, True, True)
    assert len(prompts_sent(sandbox)) == 2


async def test_a_batch_of_prompts_is_made_line_by_line(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    batch = tmp_path / "prompts.txt"
    batch.write_text("\ufeffa boat\n\n# no prompt\n  a ship, --ar in words \n", encoding="utf-8")
    done = await journey.at(sandbox).run("imagine", "--batch", str(batch), *CHEAP, "--at-once", "1")
    assert done.code == 0, done.err
    assert prompts_sent(sandbox) == ["a boat", "a ship, --ar in words"]
    header, *made = rows(done.out)
    assert header[0] == "Line"
    assert [row[:3] for row in made] == [["1", "a boat", "succeeded"], ["4", "a ship, --ar in words", "succeeded"]]


async def test_a_line_of_json_sets_arguments_and_the_command_the_rest(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    batch = tmp_path / "prompts.jsonl"
    lines: list[dict[str, Any]] = [
        {"prompt": "a boat", "aspectRatio": "1:1"},
        {"prompt": "a ship", "model": "flux-pro", "negative_prompt": "fog"},
    ]
    batch.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    done = await journey.at(sandbox).run(
        "imagine", "--batch", str(batch), *CHEAP, "--aspect-ratio", "16:9", "--at-once", "1", "--json"
    )
    assert done.code == 0, done.err
    assert [entry.request for entry in sandbox.sandbox.request_log.submissions] == [
        {"model": "z-image", "prompt": "a boat", "aspect_ratio": "1:1"},
        {"model": "flux-pro", "prompt": "a ship", "aspect_ratio": "16:9", "negative_prompt": "fog"},
    ]
    assert [task["line"] for task in done.json["tasks"]] == [1, 2]
    assert done.json["run_id"] == resume_of(done.err)


async def test_each_line_of_a_batch_is_made_several_times(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a boat\na ship")
    done = await journey.at(sandbox).run("imagine", "--batch", str(tmp_path / "p.txt"), *CHEAP, "-n", "2")
    assert [row[0] for row in rows(done.out)] == ["Line", "1", "1", "2", "2"]
    assert sorted(prompts_sent(sandbox)) == ["a boat", "a boat", "a ship", "a ship"]


@pytest.mark.parametrize("text", ["a boat\na ship", '{"prompt": "a boat"}\n{"prompt": "a ship"}'])
async def test_a_batch_may_come_on_standard_input(journey: CommandLine, sandbox: Running, text: str) -> None:
    journey = journey.at(sandbox)
    done = await journey.run("imagine", "--batch", "-", *CHEAP, stdin=text)
    assert (done.code, sorted(prompts_sent(sandbox))) == (0, ["a boat", "a ship"])
    assert "--batch - -m z-image  (with the same standard input)" in done.err
    again = await journey.run("imagine", "--batch", "-", *CHEAP, "--run", resume_of(done.err), stdin=text)
    assert (again.code, len(prompts_sent(sandbox))) == (0, 2)


async def test_a_batch_edits_images(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    """One for all lines, or one in each."""
    journey = journey.at(sandbox)
    image = (await journey.run("imagine", "a boat", *CHEAP, "--json")).json["images"][0]["id"]
    (tmp_path / "p.txt").write_text("make it green\nmake it red")
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "make it blue", "image": image}))
    for words in ((image, "--batch", f"{tmp_path}/p.txt"), ("--batch", f"{tmp_path}/p.jsonl")):
        done = await journey.run("edit", *words, "-m", "seededit")
        assert done.code == 0, done.err
    assert sorted(prompts_sent(sandbox)[1:]) == ["make it blue", "make it green", "make it red"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.txt", "a boat\n" + "x" * 40_000, "line 2: imagine: prompt='xxx"),
        ("p.txt", "# none\n\n", "has no prompts."),
        ("p.txt", b"a\xff", "is not UTF-8 text."),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b"', 'line 2: \'{"prompt": "b"\' is not JSON: '),
        ("p.jsonl", '["a"]', "line 1: '[\"a\"]' is not a JSON object."),
        ("p.jsonl", '{"prompt": "a", "sead": 3}', "line 1: imagine: there is no argument sead. imagine takes: prompt"),
        ("p.jsonl", '{"prompt": "a"}\n\n{"prompt": "b", "seed": 7}', "line 3: z-image would ignore seed=7"),
        ("p.jsonl", '{"prompt": "a", "model": "flux-por"}', "line 1: model='flux-por' is not known. Did you mean"),
        ("p.jsonl", '{"prompt": "a", "aspect_ratio": "7:1"}', "line 1: "),
        ("p.jsonl", '{"model": "z-image"}', "line 1: The prompt is missing."),
        ("p.jsonl", '{"prompt": "a", "wait_s": 3}', "has wait_s, which holds for the whole command: give --wait there"),
        ("none.txt", None, "cannot be read: No such file or directory."),
    ],
)
async def test_a_wrong_line_is_named_and_nothing_is_sent(
    journey: CommandLine, sandbox: Running, tmp_path: Path, name: str, text: str | bytes | None, problem: str
) -> None:
    batch = tmp_path / name
    if text is not None:
        batch.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = await journey.at(sandbox).run("imagine", "--batch", str(batch), *CHEAP)
    assert (done.code, done.out, prompts_sent(sandbox)) == (2, "", [])
    assert f"{batch}" in done.err
    assert problem in done.err
    assert "Nothing was sent" in done.err


async def test_an_edit_without_an_image_is_an_error(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "make it blue"}')
    for words, place in (((), ""), (("--batch", f"{tmp_path}/p.jsonl"), f"{tmp_path}/p.jsonl, line 1: ")):
        done = await journey.at(sandbox).run("edit", *words)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"journey-mcp: {place}The image to edit is missing.\nGive it before the prompt")


async def test_a_batch_and_a_prompt_are_too_many(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine", "a boat", "--batch", "p.txt")
    assert (done.code, "--batch p.txt has the prompts, and another one is given: a boat." in done.err) == (2, True)


async def test_what_failed_is_in_the_table_and_the_exit_code(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a boat\nx forbidden-in-sandbox\na ship")
    done = await journey.at(sandbox).run("imagine", "--batch", str(tmp_path / "p.txt"), *CHEAP)
    assert done.code == 3
    assert [row[2] for row in rows(done.out)[1:]] == ["succeeded", "failed", "succeeded"]
    assert "2: The provider could not make the image" in done.err
    assert "3 requests: 2 succeeded, 1 failed." in done.err
    assert "To make the rest, without paying again for what is made: journey-mcp imagine --run run_" in done.err


async def test_each_task_is_a_line_of_json_and_failures_are_told_quietly_too(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a boat\nx forbidden-in-sandbox")
    batch = ("imagine", "--batch", str(tmp_path / "p.txt"), *CHEAP, "--format", "jsonl", "--quiet", "--yes")
    done = await journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="1credits").run(*batch)
    plain = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, [(one["line"], one["status"]) for one in plain]) == (3, [(1, "succeeded"), (2, "failed")])
    reason, counted, rest = done.err.splitlines()
    assert reason.startswith("2: The provider could not make the image")
    assert counted == "2 requests: 1 succeeded, 1 failed."
    assert rest.startswith("To make the rest, without paying again for what is made: journey-mcp imagine --run run_")


async def test_several_quiet_images_print_their_table_alone(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine", "a boat", *CHEAP, "-n", "2", "--quiet")
    assert (done.code, len(done.out.splitlines()), done.err) == (0, 3, "")


async def test_what_the_budget_does_not_cover_is_not_sent_and_free(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """The run that goes on with more money makes the rest."""
    batch = tmp_path / "p.txt"
    batch.write_text("\n".join(f"boat {number}" for number in range(4)))
    journey, words = journey.at(sandbox), ("imagine", "--batch", str(batch), *CHEAP, "--at-once", "1")
    done = await journey.given(JOURNEY_MCP_BUDGET="5credits/day").run(*words)
    assert done.code == 3
    assert [row[2:4] for row in rows(done.out)[1:]] == [["succeeded", "2 credits"]] * 2 + [["not sent", ""]] * 2
    assert "3, 4: The budget 5credits/day is used up" in done.err
    assert len(prompts_sent(sandbox)) == 2
    again = await journey.run(*words, "--run", resume_of(done.err))
    assert again.code == 0, again.err
    assert again.err.splitlines()[0] == "2 of 4 tasks are there already; 2 more: about 4 credits at journeyapi."
    assert sorted(prompts_sent(sandbox)) == [f"boat {number}" for number in range(4)]


async def test_if_nothing_succeeds_the_exit_code_is_that_of_a_failure(journey: CommandLine) -> None:
    async with running(coarse(speed=0, faults=(Fault(on="submit", kind="status", status=401, times=None),))) as sandbox:
        done = await journey.at(sandbox).run("imagine", "a boat", *CHEAP, "-n", "2", "--json")
    assert done.code == 1
    assert [task["error"]["code"] for task in done.json["tasks"]] == ["credentials_rejected"] * 2


async def test_an_image_that_is_not_saved_is_a_failure(journey: CommandLine, tmp_path: Path) -> None:
    dead = Fault(on="image", kind="dead_image", times=None, after=1)
    async with running(coarse(speed=0, faults=(dead,))) as sandbox:
        journey = journey.at(sandbox).given(JOURNEY_MCP_KEEP_IMAGES="off")
        done = await journey.run("imagine", "x", *CHEAP, "-n", "2", "--at-once", "1", "-o", f"{tmp_path}/x.jpg")
    assert done.code == 3
    assert [path.name for path in tmp_path.glob("x*")] == ["x-1.jpg"]
    assert "cannot be saved" in done.err


async def test_what_is_still_running_after_the_wait_goes_on(journey: CommandLine, tmp_path: Path) -> None:
    async with running(coarse(speed=0, faults=(Fault(on="submit", kind="hang", times=None),))) as sandbox:
        words = ("imagine", "x", "-n", "2", "--wait", "0")
        done = await journey.at(sandbox).run(*words)
        saved = await journey.at(sandbox).run(*words, "-o", f"{tmp_path}/x.png")
    assert (done.code, [row[2] for row in rows(done.out)[1:]]) == (0, ["running", "running"])
    assert (saved.code, "To make the rest, without paying again" in saved.err) == (3, True)


async def test_ids_and_names_in_the_way_are_found_before_anything_is_paid(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "boat-3.jpg").touch()
    for output, problem in {
        f"{tmp_path}/boat.jpg": f"{tmp_path}/boat-3.jpg cannot be written: it exists",
        f"{tmp_path}/{{prompt}}.{{ext}}": "gives 3 images the same name.",
        f"{tmp_path}/{{sise}}.jpg": "{sise} is not known.",
    }.items():
        done = await journey.at(sandbox).run("imagine", "a boat", *CHEAP, "-n", "3", "-o", output)
        assert (done.code, problem in done.err) == (2, True), done.err
    by_task = await journey.at(sandbox).run("imagine", "a", *CHEAP, "-n", "2", "-o", f"{tmp_path}/{{task}}.{{ext}}")
    assert by_task.code == 0, by_task.err
    assert len(prompts_sent(sandbox)) == 2

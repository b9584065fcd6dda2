"""`--format`, `--json`, `--quiet` and `--yes`."""

import json
from typing import Any

import pytest

from cli.command import CommandLine
from journey_mcp.sandbox import Running

MODEL = ("--model", "z-image")


def lines_of(out: str) -> list[Any]:
    """Return stdout as one JSON value per line."""
    return [json.loads(line) for line in out.splitlines()]


async def test_lists_are_one_object_per_line(journey: CommandLine, sandbox: Running) -> None:
    """The same objects as in the list of `--json`."""
    journey = journey.at(sandbox)
    ids = [(await journey.run("imagine", text, *MODEL, "--json")).json["task_id"] for text in ("a kite", "a boat")]
    for command, rows in {
        ("fetch", *ids): "tasks",
        ("cancel", *ids): "tasks",
        ("tasks",): "tasks",
        ("models",): "models",
        ("spend",): "spent",
        ("doctor",): "findings",
    }.items():
        whole, lines = await journey.run(*command, "--json"), await journey.run(*command, "--format", "jsonl")
        assert (lines.code, lines_of(lines.out)) == (0, whole.json[rows]), command
        assert (await journey.run(*command, "--format", "json")).out == whole.out


async def test_a_page_of_tasks_without_its_object_is_followed_by_what_was_spent(
    journey: CommandLine, sandbox: Running
) -> None:
    """On stderr, as for a table."""
    journey = journey.at(sandbox)
    await journey.run("imagine", "a kite", *MODEL)
    assert "Spent today" in (await journey.run("tasks", "--format", "jsonl")).err
    assert (await journey.run("tasks", "--json")).err == ""


async def test_a_single_result_and_an_error_are_one_line(journey: CommandLine, sandbox: Running) -> None:
    """A new image, a model in detail, and an unknown one."""
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "a kite", *MODEL, "--format", "jsonl")
    assert [one["status"] for one in lines_of(made.out)] == ["succeeded"]
    assert [one["id"] for one in lines_of((await journey.run("models", "z-image", "--format", "jsonl")).out)] == [
        "z-image"
    ]
    failed = await journey.run("models", "zzz", "--format", "jsonl")
    assert (failed.code, [one["error"]["code"] for one in lines_of(failed.out)]) == (2, ["unknown_model"])


async def test_tokens_are_one_object_per_line(journey: CommandLine) -> None:
    """The list of tokens is a list like the others."""
    journey = journey.given(JOURNEY_MCP_TOKENS_FILE=str(journey.home / "tokens"))
    await journey.run("token", "new", "anna")
    assert [one["name"] for one in lines_of((await journey.run("token", "list", "--format", "jsonl")).out)] == ["anna"]


async def test_a_table_can_be_had_without_a_terminal(journey: CommandLine) -> None:
    """Otherwise a pipe gets cells separated by tabs."""
    drawn, piped = await journey.run("models", "--format", "human"), await journey.run("models", "--format", "auto")
    assert "\t" not in drawn.out
    assert "\t" in piped.out
    assert "\x1b" not in drawn.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--format", "png"),
            "'png' is not one of auto, human, json, jsonl. For the format of the image use --output-",
        ),
        (("--format", "xml"), "'xml' is not one of auto, human, json, jsonl.\n"),
        (("--json", "--format", "human"), "'--json': it contradicts --format human."),
        (("--format", "jsonl", "--json"), "'--json': it contradicts --format jsonl."),
    ],
)
async def test_a_wrong_format_is_refused(
    journey: CommandLine, sandbox: Running, options: tuple[str, ...], message: str
) -> None:
    """Before anything is sent."""
    done = await journey.at(sandbox).run("imagine", "a kite", *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not sandbox.sandbox.request_log.submissions


async def test_a_quiet_command_prints_only_its_result(journey: CommandLine, sandbox: Running) -> None:
    """And nothing that is not an error; the next command is not quiet."""
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "a kite", *MODEL, "--quiet", "-o", str(journey.home / "kite.png"))
    assert (made.code, made.err) == (0, "")
    assert "Saved " in made.out
    assert (await journey.run("tasks", "--quiet")).err == ""
    assert (await journey.run("tasks")).err.startswith("Spent today")


async def test_a_quiet_command_still_says_what_went_wrong(journey: CommandLine, sandbox: Running) -> None:
    """An error, a task that failed, and what to do about images that were not saved."""
    journey = journey.at(sandbox)
    unknown = await journey.run("fetch", "tsk_AAAAAAAAAAAAAAAAAAAAAA", "--quiet")
    assert (unknown.code, unknown.err.count("\n")) == (2, 2)
    failed = await journey.run("imagine", "x forbidden-in-sandbox", *MODEL, "--quiet")
    assert (failed.code, failed.out, "Error generation_failed: " in failed.err) == (1, "", True)
    waiting = await journey.run("imagine", "a kite", "--quiet", "--wait", "0", "-o", str(journey.home / "k.png"))
    assert (waiting.code, waiting.err.startswith("Nothing is saved yet.")) == (1, True)


async def test_yes_confirms_a_cost(journey: CommandLine, sandbox: Running) -> None:
    """Without a terminal, and without a question."""
    journey = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="1credits")
    refused = await journey.run("imagine", "a kite", *MODEL)
    assert (refused.code, refused.err.endswith("Choose a cheaper model, or confirm the cost with --yes.\n")) == (
        1,
        True,
    )
    made = await journey.run("imagine", "a kite", *MODEL, "--yes", "--json")
    assert (made.code, made.json["status"]) == (0, "succeeded")
    assert "[y/N]" not in made.err
    refined = await journey.run("refine", made.json["images"][0]["id"], "upscale_2x", "--yes", "--json")
    assert (refined.code, refined.json["status"]) == (0, "succeeded")


async def test_yes_does_not_lift_a_budget(journey: CommandLine, sandbox: Running) -> None:
    """The limits of a call and of a day."""
    for budget in ("1credits/call", "1credits/day"):
        limited = journey.at(sandbox, JOURNEY_MCP_CONFIRM_ABOVE="1credits", JOURNEY_MCP_BUDGET=budget)
        done = await limited.run("imagine", "a kite", *MODEL, "--yes")
        assert (done.code, f"The budget {budget} is " in done.err) == (1, True)
    assert not sandbox.sandbox.request_log.submissions

"""Prompts: words, standard input, and files."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from pathlib import Path

import pytest

from cli.command import CommandLine
from journey_mcp.sandbox import Running


def prompts_sent(sandbox: Running) -> list[str]:
    return [entry.request["prompt"] for entry in sandbox.sandbox.request_log.submissions]


async def test_words_are_one_prompt_wherever_the_options_are(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "a", "lighthouse", "--model", "z-image", "at", "dusk", "--json", stdin="unread")
    assert made.code == 0, made.err
    image = made.json["images"][0]["id"]
    edited = await journey.run("edit", image, "make", "the sky", "--model", "seededit", "green")
    assert edited.code == 0, edited.err
    assert prompts_sent(sandbox) == ["a lighthouse at dusk", "make the sky green"]


async def test_a_prompt_may_come_through_a_pipe_without_words(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "--model", "z-image", "--json", stdin="a paper boat\n")
    edited = await journey.run("edit", made.json["images"][0]["id"], "--model", "seededit", stdin="make it green")
    assert (made.code, edited.code) == (0, 0)
    assert prompts_sent(sandbox) == ["a paper boat", "make it green"]


async def test_a_prompt_may_come_from_a_file(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("a b\u00f6at,\nred sails\n", encoding="utf-16")
    done = await journey.at(sandbox).run("imagine", "--file", str(file), "--model", "z-image")
    assert done.code == 0, done.err
    assert prompts_sent(sandbox) == ["a b\u00f6at,\nred sails"]


async def test_a_prompt_that_cannot_be_read_costs_nothing(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long").write_text("a boat " * 20_000)
    for name, problem in {
        "none": "cannot be read: No such file or directory.",
        "": "cannot be read: Is a directory.",
        "data": "is not UTF-8 text.",
        "long": "has more than 100,000 characters.",
    }.items():
        done = await journey.at(sandbox).run("imagine", "--file", str(tmp_path / name))
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"journey-mcp: --file {tmp_path / name} {problem}\nName a file of UTF-8 text, or ")
    twice = await journey.at(sandbox).run("imagine", "a", "boat", "--file", "x")
    assert (twice.code, "The prompt is given twice" in twice.err) == (2, True)
    assert prompts_sent(sandbox) == []


async def test_no_prompt_at_all_is_an_error_that_says_how_to_give_one(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "journey-mcp: The prompt is missing.\n"
        "Give it as words, through a pipe, or with --file PATH. Nothing was sent and nothing was charged.\n"
    )


async def test_a_model_without_a_prompt_needs_none(journey: CommandLine, sandbox: Running) -> None:
    made = await journey.at(sandbox).run("imagine", "a", "boat", "--json", "--model", "z-image")
    image = made.json["images"][0]["url"]
    done = await journey.at(sandbox).run("edit", image, "--model", "midjourney-blend", "--reference", image)
    assert done.code == 0, done.err


@pytest.mark.parametrize("wrong", ["--modle", "--hieght"])
async def test_a_mistyped_option_is_no_word_of_the_prompt(journey: CommandLine, sandbox: Running, wrong: str) -> None:
    done = await journey.at(sandbox).run("imagine", "a", "boat", wrong, "on", "a", "lake")
    assert (done.code, f"No such option: {wrong}. Did you mean --" in done.err) == (2, True)
    assert prompts_sent(sandbox) == []


async def test_a_prompt_may_come_on_standard_input(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "-", "--model", "z-image", "--json", stdin="a paper boat,\nred sails\n")
    assert made.code == 0, made.err
    edited = await journey.run(
        *("edit", made.json["images"][0]["id"], "-", "--model", "seededit", "--json"), stdin="make it green"
    )
    assert edited.code == 0, edited.err
    sent = [entry.request["prompt"] for entry in sandbox.sandbox.request_log.submissions]
    assert sent == ["a paper boat,\nred sails", "make it green"]


async def test_an_empty_standard_input_costs_nothing(journey: CommandLine, sandbox: Running) -> None:
    ended = await journey.at(sandbox).run("imagine", "-", "--model", "z-image", stdin=" \n")
    assert ended.code != 0
    assert "prompt" in ended.err
    assert not sandbox.sandbox.request_log.submissions


async def test_an_endless_standard_input_is_not_cut_and_paid(journey: CommandLine, sandbox: Running) -> None:
    ended = await journey.at(sandbox).run("imagine", "-", "--model", "z-image", stdin="a boat " * 20_000)
    assert ended.code != 0
    assert "more than 100,000 characters" in " ".join(ended.err.split())
    assert not sandbox.sandbox.request_log.submissions


@pytest.mark.parametrize(
    ("given", "prompt"),
    [("\ufeffa boat".encode(), "a boat"), ("a böat\r\n".encode("utf-16"), "a böat"), (b"a\xff\xfeboat", None)],
)
async def test_standard_input_is_text_or_rejected(
    journey: CommandLine, sandbox: Running, given: bytes, prompt: str | None
) -> None:
    ended = await journey.at(sandbox).run("imagine", "-", "--model", "z-image", stdin=given)
    sent = [entry.request["prompt"] for entry in sandbox.sandbox.request_log.submissions]
    assert (ended.code, sent) == ((0, [prompt]) if prompt else (2, []))
    if prompt is None:
        assert "standard input is not UTF-8 text" in " ".join(ended.err.split())

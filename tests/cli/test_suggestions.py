"""Suggestions for wrong commands and options."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import pytest

from cli.command import CommandLine


async def error_of(journey: CommandLine, *arguments: str) -> str:
    done = await journey.run(*arguments)
    assert (done.code, done.out) == (2, "")
    return done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--size=1024x1024", "--size. Use --aspect-ratio W:H, or --width with --height in pixels."),
        ("--ar", "--ar. Use --aspect-ratio W:H, or --width with --height in pixels."),
        ("--quality", "--quality. Use --resolution 1K, 2K or 4K, or a better model (`journey-mcp models`)."),
        ("--num", "--num. Did you mean --count?"),
        ("--parallel", "--parallel. Did you mean --at-once?"),
        ("--out", "--out. Did you mean --output?"),
        ("--modle", "--modle. Did you mean --model?"),
        ("--type", "--type. Did you mean --output-format?"),
        ("--image", '--image. The image to edit is the first argument, not an option: journey-mcp edit IMAGE "…".'),
        ("--style", "--style. Describe it in the prompt."),
        ("-y", "-y. Did you mean --yes?"),
        ("--lora", "--lora."),
        ("--strength", "--strength."),
    ],
)
async def test_a_wrong_option_gets_a_suggestion_if_there_is_one(journey: CommandLine, wrong: str, message: str) -> None:
    assert await error_of(journey, "imagine", "a cat", wrong, "x") == f"Error: No such option: {message}"


async def test_only_options_of_the_command_are_suggested(journey: CommandLine) -> None:
    assert (await error_of(journey, "serve", "--transport", "http")).endswith(
        "--transport. Use --host and --port for HTTP, or neither for stdio."
    )
    assert (await error_of(journey, "serve", "-p", "8000")).endswith("-p. Did you mean --port?")
    assert (await error_of(journey, "serve", "--base-url", "https://a.test")).endswith("Did you mean --server-url?")
    assert (await error_of(journey, "refine", "a", "b", "-n", "2")).endswith(
        "-n. A call makes one result. Call again with --fresh for another one."
    )
    assert (await error_of(journey, "tasks", "--size", "1")).endswith("No such option: --size.")
    assert (await error_of(journey, "-v")).endswith("-v. Did you mean --version?")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("generate", "x"), "There is no command 'generate'. Did you mean journey-mcp imagine?"),
        (("imagin", "x"), "There is no command 'imagin'. Did you mean journey-mcp imagine?"),
        (("fetch_task",), "There is no command 'fetch_task'. Did you mean journey-mcp fetch?"),
        (("help",), "There is no command 'help'. Did you mean journey-mcp --help?"),
        (("a cat",), "There is no command 'a cat'. To make an image: journey-mcp imagine 'a cat'"),
        (("a", "cat's", "tail"), "There is no command 'a'. To make an image: journey-mcp imagine"),
        (("qqq",), "There is no command 'qqq'. Commands: serve, imagine, edit, "),
    ],
)
async def test_a_wrong_command_gets_a_suggestion(journey: CommandLine, words: tuple[str, ...], message: str) -> None:
    assert (await error_of(journey, *words)).startswith(f"Error: {message}")


async def test_too_many_arguments_are_named(journey: CommandLine) -> None:
    assert await error_of(journey, "models", "a", "b") == "Error: Too many arguments: b."

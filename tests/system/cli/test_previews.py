"""Previews at a terminal."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import re
import shlex

import pytest
from cli.command import CommandLine
from manual_clock import until
from support import coarse

from journey_mcp.sandbox import Fault, Running, running

TRUECOLOR = {
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
    **dict.fromkeys(("CI", "NO_COLOR", "AI_AGENT", "AGENT"), ""),
}
BLOCKS = re.compile(r"(?:\x1b\[38;2;[\d;]*m▀|▀)+\x1b\[0m")


async def made(journey: CommandLine) -> str:
    """Make an image; return the id of its task."""
    done = await journey.run("imagine", "a boat", "--model", "z-image", "--json")
    assert done.code == 0, done.err
    return str(done.json["task_id"])


async def shown(journey: CommandLine, *arguments: str) -> str:
    """Return what a terminal gets. On a busy machine the first preview may be too late; its thumbnail is kept."""
    for _ in range(5):
        if BLOCKS.search(output := await journey.at_terminal(*arguments)):
            break
    return output


async def test_an_image_is_shown_above_its_text(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox).given(**TRUECOLOR)
    output = await shown(journey, "imagine", "a boat", "--model", "z-image")
    lines = output.splitlines()
    drawn = [number for number, line in enumerate(lines) if BLOCKS.search(line)]
    assert [lines[number].count("▀") for number in drawn] == [48] * 24
    assert drawn == list(range(drawn[0], drawn[0] + 24))
    assert re.match(r"Task tsk_\S+: succeeded", lines[drawn[-1] + 1])


async def test_the_images_of_a_run_are_shown_with_their_ids(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox).given(**TRUECOLOR)
    output = await shown(journey, "imagine", "a boat", "--model", "z-image", "-n", "2")
    assert BLOCKS.search(output)
    assert re.search(r"^1: tsk_\S{22}\.1  2: tsk_\S{22}\.1\r$", output, re.MULTILINE)


@pytest.mark.parametrize("options", [("--preview", "off"), ("--json",)], ids=" ".join)
async def test_an_option_leaves_it_out(journey: CommandLine, sandbox: Running, options: tuple[str, ...]) -> None:
    journey = journey.at(sandbox).given(**TRUECOLOR)
    task_id = await made(journey)
    assert BLOCKS.search(await shown(journey, "fetch", task_id))
    output = await journey.at_terminal("fetch", task_id, *options)
    assert task_id in output
    assert "\x1b" not in output


async def test_a_pipe_gets_text_only(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox).given(**TRUECOLOR)
    task_id = await made(journey)
    assert BLOCKS.search(await shown(journey, "fetch", task_id))
    done = await journey.process("fetch", task_id)
    assert (done.code, "\x1b" in done.out, "\x1b" in done.err) == (0, False, False)


async def test_ctrl_c_at_a_terminal_prints_a_command_that_goes_on(journey: CommandLine) -> None:
    async with running(coarse(speed=0, faults=(Fault(on="fetch", kind="delay", delay_s=600),))) as sandbox:
        journey = journey.at(sandbox).given(**TRUECOLOR)
        async with journey.session("imagine", "a boat", "--model", "midjourney", "--preview", "off") as session:
            await until(lambda: sandbox.sandbox.request_log.requests["fetch"])
            session.press(b"\x03")
            code, output = await session.end()
        [command] = re.findall(r"To resume: journey-mcp (.*)", output)
        arguments = shlex.split(command)
        assert (code, arguments[0], arguments[2:]) == (130, "fetch", ["--preview=off"])
        resumed = await journey.at_terminal(*arguments)
        assert re.search(rf"Task {arguments[1]}: succeeded", resumed)
        assert not BLOCKS.search(resumed)
        assert BLOCKS.search(await shown(journey, *arguments[:2]))
    assert len(sandbox.sandbox.request_log.submissions) == 1

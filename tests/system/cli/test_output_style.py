"""What a terminal shows to a person, to an agent, without colours, and if it is a dumb one."""

import re
from pathlib import Path

import pytest
from cli.command import CommandLine
from manual_clock import until
from support import coarse

from journey_mcp.sandbox import Fault, running
from system.cli import shell

MODEL = ("--model", "z-image")
NOT_A_COLOUR = re.compile(r"\x1b\[[01;]*m|\x1b\[\?25[hl]|\x1b\[\d*[AK]")
"""Bold, back to normal, and the movements of a bar."""


@pytest.mark.parametrize(
    "variables", [{"CLAUDECODE": "1"}, {"AI_AGENT": "other"}, {"TERM": "dumb"}], ids=lambda given: next(iter(given))
)
async def test_a_bar_is_drawn_for_a_person_only(journey: CommandLine, variables: dict[str, str]) -> None:
    """An agent would read its every frame."""
    journey = journey.given(JOURNEY_MCP_KEEP_IMAGES="off")
    assert "\x1b[?25l" in await journey.at_terminal("imagine", "a cat", *MODEL)
    shown = await journey.given(**variables).at_terminal("imagine", "a cat", *MODEL)
    assert "succeeded" in shown
    assert "\x1b" not in shown


async def test_a_quiet_command_draws_no_bar(journey: CommandLine) -> None:
    """A bar is information."""
    shown = await journey.given(JOURNEY_MCP_KEEP_IMAGES="off").at_terminal("imagine", "a cat", *MODEL, "--quiet")
    assert shown.startswith("Task tsk_")
    assert "\x1b" not in shown


async def test_an_agent_gets_complete_cells(journey: CommandLine) -> None:
    """As a pipe does, unless it asks for a table."""
    agent = journey.given(AI_AGENT="other")
    assert "Model\tCommand" in await agent.at_terminal("models")
    assert "\t" not in await agent.at_terminal("models", "--format", "human")


async def test_without_colours_there_are_none(journey: CommandLine) -> None:
    """`NO_COLOR` leaves bold headers and bars; a dumb terminal gets no escapes at all."""
    journey = journey.given(JOURNEY_MCP_KEEP_IMAGES="off")
    coloured = await journey.at_terminal("imagine", "a cat", *MODEL)
    assert "\x1b" in NOT_A_COLOUR.sub("", coloured)
    plain = journey.given(NO_COLOR="1")
    for command in (("imagine", "a cat", *MODEL), ("models",), ("tasks",)):
        assert "\x1b" not in NOT_A_COLOUR.sub("", await plain.at_terminal(*command)), command
    for command in (("models",), ("tasks",)):
        assert "\x1b" not in await journey.given(TERM="dumb").at_terminal(*command), command


@pytest.mark.parametrize("options", ["--json", "--format jsonl --quiet"])
async def test_ctrl_c_prints_the_command_that_goes_on(journey: CommandLine, tmp_path: Path, options: str) -> None:
    """With all options, to be copied: it saves the images that were paid for."""
    async with (
        running(coarse(speed=0, faults=(Fault(on="fetch", kind="delay", delay_s=600.0),))) as sandbox,
        shell.opened(journey.at(sandbox), shell.install(tmp_path / "bin")) as bash,
    ):
        bash.type(f"journey-mcp imagine 'a boat' {options} -o 'my boat.png' --wait 500\n")
        await until(lambda: sandbox.sandbox.request_log.requests["fetch"])
        bash.type("\x03")
        shown = await bash.shows(f"'my boat.png' {options}")
        command = shown.rpartition("To resume: ")[2].splitlines()[0]
        assert re.fullmatch(rf"journey-mcp fetch tsk_\S+ --wait 500 -o 'my boat.png' {options}", command)
        bash.type(f'{command}; echo en""ded $?\n')
        await bash.shows("ended 0")
    assert (journey.home / "my boat-4.png").read_bytes().startswith(b"\x89PNG")

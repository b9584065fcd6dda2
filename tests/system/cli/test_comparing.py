"""`compare` at a terminal."""

import re
import shlex
from pathlib import Path

from cli.command import CommandLine
from manual_clock import until
from support import coarse

from journey_mcp.sandbox import Fault, running
from system.cli.test_previews import BLOCKS, TRUECOLOR, shown

OPTIONS = ("--models", "midjourney,z-image")


async def test_ctrl_c_prints_a_command_that_goes_on_and_shows_the_sheet(journey: CommandLine, tmp_path: Path) -> None:
    """And pays for no model twice."""
    slow = Fault(on="fetch", kind="delay", delay_s=600)
    async with running(coarse(speed=0, faults=(slow,))) as sandbox:
        journey = journey.at(sandbox).given(**TRUECOLOR)
        sheet = tmp_path / "sheet.png"
        async with journey.session("compare", "a", "boat", *OPTIONS, "-o", str(sheet)) as session:
            await until(lambda: sandbox.sandbox.request_log.requests["fetch"])
            session.press(b"\x03")
            code, output = await session.end()
        assert (code, sheet.exists()) == (130, False)
        [command] = re.findall(r"To resume: journey-mcp (.*)", output)
        goes_on = shlex.split(command)
        assert goes_on[3:] == ["a", "boat", *OPTIONS, "-o", str(sheet)]
        assert BLOCKS.search(await shown(journey, *goes_on, "--force"))
        assert sheet.is_file()
        assert len(sandbox.sandbox.request_log.submissions) == 2

"""Previews of finished tasks in the terminal: of one task, of several, and without one."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from support import make_environment

from journey_mcp.cli.terminal.image_protocols import BLOCKS, ITERM2, KITTY, SIXEL, TerminalProtocol
from journey_mcp.cli.terminal.previews import preview_of

LONG_S = 600.0
GRID: dict[str, Any] = {"model": "midjourney"}


@pytest.mark.parametrize("protocol", [BLOCKS, KITTY, ITERM2, SIXEL], ids=lambda protocol: protocol.name)
async def test_a_finished_task_is_shown(tmp_path: Path, protocol: TerminalProtocol) -> None:
    async with make_environment(tmp_path) as here:
        shown = await preview_of(here.studio, [await here.made(**GRID)], protocol, within_s=LONG_S)
    assert {BLOCKS: "\x1b[38;2;", KITTY: "\x1b_G", ITERM2: "\x1b]1337;", SIXEL: "\x1bP"}[protocol] in shown[:20]
    assert "tsk_" not in shown


@pytest.mark.parametrize(("columns", "used"), [("200", 48), ("30", 30)])
async def test_it_is_as_wide_as_the_terminal_or_48_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str, used: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    async with make_environment(tmp_path) as here:
        shown = await preview_of(here.studio, [await here.made(**GRID)], BLOCKS, within_s=LONG_S)
    lines = shown.splitlines()
    assert ({line.count("▀") for line in lines}, len(lines)) == ({used}, used // 2)


async def test_images_of_several_tasks_are_named(tmp_path: Path) -> None:
    async with make_environment(tmp_path) as here:
        tasks = [await here.made(**GRID), await here.made(model="z-image")]
        shown = await preview_of(here.studio, tasks, BLOCKS, within_s=LONG_S)
    grid, single = (task.id for task in tasks)
    assert shown.splitlines()[-1] == f"1: {grid}.1  2: {single}.1  3: {grid}.2  4: {grid}.3"


async def test_a_damaged_image_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        await here.studio.wait_for_copies({task.id: task}, LONG_S)
        for copy in (tmp_path / "pictures").iterdir():
            copy.write_bytes(copy.read_bytes()[:500])
        assert await preview_of(here.studio, [task], BLOCKS, within_s=LONG_S) == ""
        [kept] = [path for path in (tmp_path / "pictures").iterdir() if ".2." in path.name]
        kept.write_bytes(b"\x1b]0;title\x07")
        assert await preview_of(here.studio, [task], BLOCKS, within_s=LONG_S) == ""
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_a_damaged_thumbnail_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "journey_mcp.cli")
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        assert await preview_of(here.studio, [task], BLOCKS, within_s=LONG_S)
        thumbnail = tmp_path / "thumbnails" / f"{task.id}.1-512.jpg"
        thumbnail.write_bytes(thumbnail.read_bytes()[:200])
        assert await preview_of(here.studio, [task], BLOCKS, within_s=LONG_S) == ""
    assert re.search(rf"no preview of {task.id}\.1: A stored thumbnail is damaged", caplog.text)


async def test_a_late_preview_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "journey_mcp.cli")
    async with make_environment(tmp_path) as here:
        task = await here.made(**GRID)
        assert await preview_of(here.studio, [task], BLOCKS, within_s=0) == ""
    assert f"no preview of {task.id}.1 within 0 s" in caplog.text

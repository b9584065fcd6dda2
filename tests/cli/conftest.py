"""What the tests of the command line share."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cli.command import CommandLine
from journey_mcp.sandbox import Running, Settings, running


@pytest.fixture
def journey(tmp_path: Path) -> CommandLine:
    """The command line without any key, with its data in a fresh folder."""
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(home=home)


@pytest.fixture
async def sandbox() -> AsyncIterator[Running]:
    """A sandbox that ends every task at once."""
    async with running(Settings(speed=0, seed=7)) as it:
        yield it


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command sets up logging for its process, which here is the tests' own."""
    root, ours = logging.getLogger(), logging.getLogger("journey_mcp")
    handlers, levels, hook = root.handlers[:], (root.level, ours.level), sys.excepthook
    yield
    sys.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])

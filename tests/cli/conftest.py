"""Fixtures for the command line."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import coarse, create_database

from cli.command import CommandLine
from journey_mcp.sandbox import Running, running


@pytest.fixture
def journey(tmp_path: Path) -> CommandLine:
    """Return the command line without any key, with an empty database in a new folder."""
    home = tmp_path / "home"
    create_database(home)
    return CommandLine(home=home)


@pytest.fixture
async def sandbox() -> AsyncIterator[Running]:
    """Run a sandbox that finishes every task at once."""
    async with running(coarse(speed=0, seed=7)) as it:
        yield it


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restore the logging of this process, which a command configures."""
    root, ours = logging.getLogger(), logging.getLogger("journey_mcp")
    handlers, levels, hook = root.handlers[:], (root.level, ours.level), sys.excepthook
    yield
    sys.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])

"""A server in a container: no HOME, and an unknown user id."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

_AS_AN_UNKNOWN_USER = """
import os, sys, platformdirs.unix
from journey_mcp import settings
from journey_mcp.media import local_files
closed, folder = sys.argv[1:]
os.chdir(folder)
os.setgid(54321), os.setuid(54321)
os.environ.pop("HOME", None)
print(*local_files.allowed_folders([]))
for environment in ({}, {"JOURNEY_MCP_DATA_DIR": closed}, {"JOURNEY_MCP_DATA_DIR": "~/x"}):
    try:
        settings.read_settings(environment).resolved_database_url()
    except Exception as error:
        print(type(error).__name__, error)
print(settings.read_settings({"JOURNEY_MCP_DATA_DIR": folder}).resolved_database_url())
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may use."""
    with TemporaryDirectory() as folder:
        path = Path(folder).resolve()
        path.chmod(0o777)
        yield path


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become another user")
async def test_without_a_home_folder_only_the_working_directory_is_allowed(tmp_path: Path, open_folder: Path) -> None:
    """A data folder must be set, and an inaccessible one is a setup error."""
    closed = tmp_path / "closed" / "data"
    closed.parent.mkdir(mode=0o700)
    command = [sys.executable, "-c", _AS_AN_UNKNOWN_USER, str(closed), str(open_folder)]
    ended = await anyio.run_process(command, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    folders, unset, unopened, at_home, address = ended.stdout.decode().splitlines()
    assert folders == str(open_folder)
    assert unset.startswith("SetupError There is no home folder for the task database")
    assert unopened == f"SetupError JOURNEY_MCP_DATA_DIR='{closed}': cannot be opened: Permission denied."
    assert at_home == "SetupError JOURNEY_MCP_DATA_DIR='~/x': has a ~ in it, but there is no home folder."
    assert address == f"sqlite:///{open_folder}/tasks.db"

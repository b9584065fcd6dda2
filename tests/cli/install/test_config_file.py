"""The file of a client is replaced as a whole or not at all."""

import os
from pathlib import Path

import pytest

from journey_mcp.cli.install.config_file import ConfigFile
from journey_mcp.core.errors import SetupError


def test_a_file_that_another_program_changed_is_not_overwritten(tmp_path: Path) -> None:
    """As Claude Code changes its file all the time; nothing is left beside it."""
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    file = ConfigFile.read(path)
    path.write_text('{"a": 1}')
    with pytest.raises(SetupError, match=r"was changed by another program in the meantime. Nothing was written."):
        file.replace('{"b": 2}')
    assert path.read_text() == '{"a": 1}'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("existed", [True, False])
def test_a_file_that_came_or_went_is_a_change_as_well(existed: bool, tmp_path: Path) -> None:
    """In both directions."""
    path = tmp_path / "mcp.json"
    if existed:
        path.write_text("{}")
    file = ConfigFile.read(path)
    path.unlink() if existed else path.write_text("{}")
    with pytest.raises(SetupError, match="in the meantime"):
        file.replace("{}")
    assert path.exists() is not existed


def test_a_copy_keeps_content_and_time(tmp_path: Path) -> None:
    """It has a name of its own each time."""
    path = tmp_path / "mcp.json"
    path.write_bytes(b"\xef\xbb\xbf{}\r\n")
    os.utime(path, (1_000_000, 1_000_000))
    first = ConfigFile.read(path).replace("{ }\r\n")
    second = ConfigFile.read(path).replace("{  }\r\n")
    assert first is not None
    assert second is not None
    assert first.read_bytes() == b"\xef\xbb\xbf{}\r\n"
    assert first.stat().st_mtime == 1_000_000
    assert path.read_bytes() == b"\xef\xbb\xbf{  }\r\n"
    assert [file.path for file in ConfigFile.read(path).backups()] == [second, first]


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """As Windows PowerShell writes it."""
    path = tmp_path / "mcp.json"
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(SetupError, match=r"is not UTF-8 text, at byte 0. Nothing was changed."):
        ConfigFile.read(path)


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """A folder, for example."""
    with pytest.raises(SetupError, match=f"^{tmp_path} cannot be read: Is a directory.$"):
        ConfigFile.read(tmp_path)


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """The name of its copy is too long here, as root may write everywhere."""
    path = tmp_path / f"{'x' * 240}.json"
    path.write_text("{}")
    with pytest.raises(SetupError, match=r"cannot be written: File name too long. Nothing was changed.") as raised:
        ConfigFile.read(path).replace('{"a": 1}')
    assert "--print" in str(raised.value.failure.next_step)
    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]

"""Files that only their owner reads, as another reader of the folder sees them."""

import stat
from pathlib import Path

import pytest

from journey_mcp.core import private_files


def test_a_reader_has_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """The new one is complete when it appears, and only its owner reads it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with private_files.replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_on_the_way_changes_nothing(tmp_path: Path) -> None:
    """Nor does it leave anything."""

    def fail() -> None:
        with private_files.replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_has_the_time_that_it_is_given(tmp_path: Path) -> None:
    """Its folder is made if it is missing."""
    path = tmp_path / "folder" / "file"
    private_files.write(path, b"content", made_at=5.0)
    assert (path.read_bytes(), path.stat().st_mtime, stat.S_IMODE(path.parent.stat().st_mode)) == (b"content", 5, 0o700)

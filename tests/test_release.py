"""What must hold before packages are published."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from journey_mcp import __version__
from packages import release
from packages.project import NO_OWNER, read_project

OWNED, NOT_OWNED = (
    replace(read_project(), repository=f"https://github.com/{owner}/journey-mcp") for owner in ("Ada", NO_OWNER)
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder under version control, with the changelog of a release."""
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {__version__} – 2026-11-29\n", encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "A release"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_release_needs_an_owner(checkout: Path) -> None:
    """Packages for tests do not."""
    assert release.problems(OWNED, checkout) == []
    (problem,) = release.problems(NOT_OWNED, checkout)
    assert "OWNER" in problem
    assert "make fix" in problem


@pytest.mark.parametrize("text", ["# Changelog\n\n## Unreleased\n", "# Changelog\n"])
def test_a_release_needs_an_entry_in_the_changelog(checkout: Path, text: str) -> None:
    """And one that is committed, as everything else."""
    (checkout / "CHANGELOG.md").write_text(text, encoding="utf-8")
    entry, committed = release.problems(OWNED, checkout)
    assert f"## {__version__}" in entry
    assert " M CHANGELOG.md" in committed


def test_a_release_has_no_files_that_are_not_committed(checkout: Path) -> None:
    """They would be in the sdist."""
    (checkout / "notes.txt").touch()
    (problem,) = release.problems(OWNED, checkout)
    assert "?? notes.txt" in problem

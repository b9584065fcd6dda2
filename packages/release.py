"""What must hold before packages may be published."""

import re
import subprocess
from pathlib import Path

from packages.project import NO_OWNER, ROOT, Project


def problems(project: Project, root: Path = ROOT) -> list[str]:
    """Return why packages that were built now must not be published, each with what to do."""
    found = []
    if not project.has_owner:
        found.append(
            f"Nobody owns the repository: Repository in pyproject.toml has {NO_OWNER} in it. "
            "Write the owner at GitHub in its place, and run: make fix"
        )
    if (first := _first_heading(root)) != project.version:
        found.append(
            f"CHANGELOG.md begins with “{first}”, not with {project.version}. "
            f"Move the entries below it under “## {project.version}” with the date."
        )
    if changed := _uncommitted(root):
        found.append(f"The checkout is not what is committed:\n{changed}\nCommit or remove these files.")
    return found


def _first_heading(root: Path) -> str:
    """Return the version of the newest part of the changelog, or what stands in its place."""
    found = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "nothing"


def _uncommitted(root: Path) -> str:
    """Return what git says of files that are not committed, or that there is no repository."""
    done = subprocess.run(["git", "status", "--porcelain"], cwd=root, check=False, capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}".rstrip()

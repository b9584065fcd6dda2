"""`make dist`: build wheel, sdist and bundle. Nothing is published."""

import argparse
import shutil
import sys
from pathlib import Path

from packages import archives, bundle, release
from packages.manifests import stale
from packages.project import ROOT, Project, read_project


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m packages", description=__doc__)
    parser.add_argument("--release", action="store_true", help="refuse to build what must not be published")
    parser.add_argument("--directory", type=Path, default=ROOT / "dist", help="replaced by a new one; default: dist")
    arguments = parser.parse_args()
    project = read_project()
    problems = _problems(project, is_release=arguments.release)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        _build(project, arguments.directory)
    return 1 if problems else 0


def _problems(project: Project, *, is_release: bool) -> list[str]:
    """Return why nothing can be built, each with what to do."""
    found = [f"{path} does not say what pyproject.toml and the registry say. Run: make fix" for path in stale(project)]
    return found + (release.problems(project) if is_release else [])


def _build(project: Project, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)  # with packages of other versions
    target.mkdir()
    archives.build(ROOT, target)
    (target / project.bundle).write_bytes(bundle.packed(project))
    for file in sorted(target.iterdir()):
        print(f"{file}  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(_main())

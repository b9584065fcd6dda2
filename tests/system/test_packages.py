"""Wheel, sdist and bundle, built by the command of `make dist`."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from journey_mcp import __version__
from packages.project import ROOT, read_project

SDIST, WHEEL = f"journey_mcp-{__version__}.tar.gz", f"journey_mcp-{__version__}-py3-none-any.whl"
BUNDLE = read_project().bundle


def build(root: Path, target: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command of `make dist` in a checkout."""
    command = [sys.executable, "-m", "packages", "--directory", str(target), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def tracked() -> set[str]:
    """Return the files of the checkout that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packages."""
    target = tmp_path_factory.mktemp("built")
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    assert sorted(one.name for one in target.iterdir()) == sorted([BUNDLE, SDIST, WHEEL])
    return target


def test_the_sdist_has_the_files_of_the_repository_and_no_other(built: Path) -> None:
    """So `make check` works in it, and nothing that lies around is shipped."""
    top = f"{SDIST.removesuffix('.tar.gz')}/"
    with tarfile.open(built / SDIST) as archive:
        names = {one.name.removeprefix(top) for one in archive.getmembers()}
    assert names == tracked() | {"PKG-INFO"}


def test_the_wheel_has_the_package_its_data_and_the_licence(built: Path) -> None:
    """Also the page of the gallery, the facts of the providers, the recorded answers, and the marker of types."""
    with zipfile.ZipFile(built / WHEEL) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"journey_mcp-{__version__}.dist-info/METADATA").decode()
    package = {name for name in tracked() if name.startswith("journey_mcp/")}
    assert {"journey_mcp/py.typed", "journey_mcp/gallery/gallery.html", "journey_mcp/registry/models.toml"} <= package
    assert {name for name in names if ".dist-info/" not in name} == package
    others = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    assert names - package == {f"journey_mcp-{__version__}.dist-info/{name}" for name in others}
    assert f"<!-- mcp-name: {read_project().server_name} -->" in metadata
    assert f"Project-URL: Repository, {read_project().repository}\n" in metadata


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a copy of the repository in another folder, with other times and permissions, and without git."""
    copy = tmp_path / "elsewhere"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
        (copy / name).chmod((ROOT / name).stat().st_mode & 0o700)
    return copy


def rewrite(file: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_another_build_gives_the_same_bytes(built: Path, elsewhere: Path, tmp_path: Path) -> None:
    """In another folder, too."""
    done = build(elsewhere, tmp_path / "built")
    assert done.returncode == 0, done.stderr
    for name in (SDIST, WHEEL, BUNDLE):
        assert (tmp_path / "built" / name).read_bytes() == (built / name).read_bytes(), name


def test_nothing_is_built_of_stale_manifests(elsewhere: Path, tmp_path: Path) -> None:
    """The message names the file, and what to do."""
    rewrite(elsewhere / "server.json", __version__, "9.9.9")
    done = build(elsewhere, tmp_path / "built")
    assert done.returncode == 1
    assert "server.json does not say" in done.stderr
    assert "make fix" in done.stderr
    assert not (tmp_path / "built").exists()


def test_a_release_is_refused_before_anything_is_built(elsewhere: Path, tmp_path: Path) -> None:
    """Without an owner, and outside a checkout."""
    rewrite(elsewhere / "pyproject.toml", f"github.com/{read_project().owner}/", "github.com/OWNER/")
    done = build(elsewhere, tmp_path / "built", "--release")
    assert done.returncode == 1
    assert "Nobody owns the repository" in done.stderr
    assert "not a git repository" in done.stderr
    assert not (tmp_path / "built").exists()

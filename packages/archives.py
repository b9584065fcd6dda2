"""Wheel and sdist, as hatchling builds them."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def build(root: Path, target: Path) -> None:
    """Build both into a folder, the wheel from the unpacked sdist, which proves that the sdist is whole.

    hatchling gives all files the time of `SOURCE_DATE_EPOCH`, or one of its own: the same sources give the same bytes.
    """
    _hatchling("sdist", root, target)
    (sdist,) = target.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        _hatchling("wheel", unpacked, target)


def _hatchling(kind: str, root: Path, target: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target.resolve())]
    subprocess.run(command, cwd=root, check=True, env={**os.environ, "HATCH_QUIET": "1"})

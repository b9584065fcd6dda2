"""Files that only their owner reads, written completely or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside this one, which takes its place when the block ends: a reader sees the old or the new one.

    Raises:
        OSError: it cannot be written. Nothing of it is left, as after any other exception in the block.
    """
    with _beside(path) as (file, beside):
        with file:
            yield file
        beside.replace(path)


def write(path: Path, content: bytes, *, made_at: float) -> None:
    """Write a file in place of one that may be there; create its folder if it is missing.

    `made_at`, in seconds of the Unix epoch, becomes its time.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _beside(path) as (file, beside):
        with file:
            file.write(content)
        os.utime(beside, (made_at, made_at))
        beside.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file in the folder of this one; delete it in the end if it still has its own name."""
    beside = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        yield os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"), beside
    finally:
        beside.unlink(missing_ok=True)

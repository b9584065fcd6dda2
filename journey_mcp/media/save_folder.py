"""The folder in which finished images appear for the person, under names that a person reads.

Nothing in it is overwritten, deleted, or followed: a name that is taken, also by a link, is not used.
"""

import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
ENDINGS = {"jpeg": "jpg"}
"""Of files, by format, where they differ."""


class SaveFolder:
    """One folder of the person's. Its methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def prepare(self) -> None:
        """Create the folder if only it is missing, and check that files can be made in it.

        Raises:
            OSError: it cannot be used. What is above it is never created: a drive may not be mounted.
        """
        self.path.mkdir(exist_ok=True)
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(None, "the folder is not writable")

    def save(self, name: str, kind: str, content: bytes, *, may_exist: bool = False) -> Path:
        """Write an image of this format under this name, or with ` (2)` and so on behind it; return its path.

        With `may_exist`, a file of this name and content counts as already saved: an earlier attempt may have made it.

        Raises:
            OSError: it cannot be written; nothing of it is left.
        """
        self.prepare()
        beside = self.path / f".journey-{secrets.token_hex(6)}.part"
        try:
            with os.fdopen(os.open(beside, _FLAGS, 0o666), "wb") as file:
                file.write(content)
            candidates = self._candidates(name, ENDINGS.get(kind, kind))
            return next(
                path
                for path in candidates
                if (may_exist and has_content(path, content)) or _is_published(beside, path, content)
            )
        finally:
            with suppress(OSError):
                beside.unlink()

    def _candidates(self, name: str, ending: str) -> Iterator[Path]:
        yield self.path / f"{name}.{ending}"
        for number in itertools.count(2):
            yield self.path / f"{name} ({number}).{ending}"


def _is_published(beside: Path, path: Path, content: bytes) -> bool:
    """Give a complete file its name; return False if the name is taken.

    Raises:
        OSError: it cannot be written.
    """
    try:
        try:
            os.link(beside, path, follow_symlinks=False)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # a file system without hard links, as on memory cards
            _write_exclusively(path, content)
    except FileExistsError:
        return False
    return True


def _write_exclusively(path: Path, content: bytes) -> None:
    descriptor = os.open(path, _FLAGS, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def has_content(path: Path, content: bytes) -> bool:
    """Return whether there is a file with exactly this content, not counting links to one."""
    try:
        return not path.is_symlink() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False

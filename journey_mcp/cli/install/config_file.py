"""A configuration file of a client: read as text, and replaced as a whole, with a copy of what it was."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from journey_mcp.core import private_files
from journey_mcp.core.errors import SetupError

_BOM = "\ufeff"
_BACKUP = ".journey-mcp.bak"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigFile:
    """The file as it was read. A symbolic link stays: its target is meant."""

    path: Path
    content: bytes | None
    """`None`: there is no file."""
    text: str
    """Without the byte order mark."""
    mark: str

    @classmethod
    def read(cls, path: Path) -> "ConfigFile":
        """Read a file, which need not exist.

        Raises:
            SetupError: it cannot be read, or is not UTF-8.
        """
        target = Path(os.path.realpath(path))
        content = _content_of(target)
        try:
            text = (content or b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise SetupError(
                f"{target} is not UTF-8 text, at byte {error.start}. Nothing was changed.",
                next_step="Save it as UTF-8 in an editor, then run this again.",
            ) from error
        mark = _BOM if text.startswith(_BOM) else ""
        return cls(path=target, content=content, text=text.removeprefix(_BOM), mark=mark)

    def replace(self, text: str | None) -> Path | None:
        """Write the new text, for this user only, or remove the file; return the copy of what it was, if it existed.

        Raises:
            SetupError: it was changed since it was read, or cannot be written; then it is as it was.
        """
        if _content_of(self.path) != self.content:
            raise SetupError(
                f"{self.path} was changed by another program in the meantime. Nothing was written.",
                next_step="Run this again.",
            )
        try:
            backup = self._keep()
            if text is None:
                self.path.unlink()
            else:
                private_files.write(self.path, f"{self.mark}{text}".encode(), made_at=time.time())
        except OSError as error:
            raise SetupError(
                f"{self.path} cannot be written: {error.strerror or error}. Nothing was changed.",
                next_step="Make the file and its folder writable, or write the entry yourself: --print shows it.",
            ) from error
        return backup

    def backups(self) -> list["ConfigFile"]:
        """Return the copies that were made before, the newest first."""
        found = sorted(self.path.parent.glob(f"{self.path.name}.*{_BACKUP}"), reverse=True)
        return [ConfigFile.read(path) for path in found]

    def _keep(self) -> Path | None:
        if self.content is None:
            return None
        made_at = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        backup = self.path.with_name(f"{self.path.name}.{made_at}{_BACKUP}")
        private_files.write(backup, self.content, made_at=self.path.stat().st_mtime)
        return backup


def _content_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read: {error.strerror}.", next_step="Make it readable, then run this again."
        ) from error

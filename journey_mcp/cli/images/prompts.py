"""The prompt of a command: words, standard input, or a file."""

import codecs
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from journey_mcp.core.errors import InvalidArguments

STDIN = "-"
"""Stands for standard input."""
_MAX_CHARACTERS = 100_000
"""Limit for one prompt: none is longer, and an endless stream is not read."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""Byte order marks: Windows PowerShell writes files in UTF-16."""
_NOTHING_SENT = "Nothing was sent and nothing was charged."


def read_prompt(words: Sequence[str], file: Path | None) -> str | None:
    """Return the prompt of the words, of standard input (`-`, or a pipe if there are no words), or of the file.

    `None` if none is given.

    Raises:
        InvalidArguments: it is given twice, or what is read is no text.
    """
    if file is not None and words:
        raise InvalidArguments(
            f"The prompt is given twice: as words, and with --file {file}.", next_step=f"Give one. {_NOTHING_SENT}"
        )
    if file is not None:
        return read_text(str(file), option="--file").strip()
    if list(words) == [STDIN]:
        return read_text(STDIN).strip()
    if words:
        return " ".join(words)
    return None if sys.stdin is None or sys.stdin.isatty() else read_text(STDIN).strip() or None


def read_text(path: str, *, option: str = "", max_characters: int = _MAX_CHARACTERS) -> str:
    """Return the text of a file, or of standard input for `-`: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        InvalidArguments: it cannot be read, is no text, or is too long.
    """
    where = "standard input" if path == STDIN else f"{option} {path}"
    max_bytes = 4 * max_characters + 4
    try:
        raw = _read(path, max_bytes)
        # a text cut at the limit is rejected for its length below
        text = raw.decode(
            "utf-16" if raw[:2] in _UTF_16 else "utf-8-sig", "ignore" if len(raw) == max_bytes else "strict"
        )
    except UnicodeDecodeError as error:
        raise _unreadable(where, "is not UTF-8 text") from error
    except OSError as error:
        raise _unreadable(where, f"cannot be read: {error.strerror}") from error
    if len(text) > max_characters:
        raise _unreadable(where, f"has more than {max_characters:,} characters")
    return text


def _read(path: str, max_bytes: int) -> bytes:
    if path == STDIN:
        return typer.get_binary_stream("stdin").read(max_bytes)
    with Path(path).open("rb") as file:
        return file.read(max_bytes)


def _unreadable(where: str, problem: str) -> InvalidArguments:
    return InvalidArguments(
        f"{where} {problem}.", next_step=f"Name a file of UTF-8 text, or give the prompt as words. {_NOTHING_SENT}"
    )

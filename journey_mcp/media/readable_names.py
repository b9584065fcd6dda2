"""File names that a person reads: the date, the beginning of a prompt, the number of a candidate."""

import re
import unicodedata
from datetime import UTC, datetime

from journey_mcp.core.text import cleaned

_MAX_CHARACTERS = 80
_MAX_BYTES = 120
"""Of the words: with the date, a number and an ending, names stay far below the 255 bytes of file systems, and below
the 143 of encrypted ones."""
_LINKS = re.compile(r"\w+://\S*")
_SWITCHES = re.compile(r"\s--[a-z].*", re.DOTALL | re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]+')
"""Characters that no file name has on Windows; the separators are among them."""
_EDGES = " .-_'~"
"""Characters at the start or the end that hide a file, or that some system drops."""


def readable_name(prompt: str, model: str, *, at: float, number: int | None = None) -> str:
    """Return a file name without its ending, as in `2026-11-28 a lighthouse at dusk 2`.

    `at` is the time by which the image is dated, in seconds of the Unix epoch; the date is that of this machine's zone.
    `number` distinguishes the candidates of one task. A prompt without words is replaced by the model.
    """
    day = datetime.fromtimestamp(at, UTC).astimezone()
    words = _words(prompt) or _words(model) or "image"
    return f"{day:%Y-%m-%d} {words}" + (f" {number}" if number is not None else "")


def slug(text: str) -> str:
    """Return the beginning of a text as a part of a file name, as in `a-lighthouse-at-dusk`; never empty.

    It holds no separator, and does not begin or end with a dot.
    """
    return re.sub(r"[^\w.]+", "-", _words(text).lower()).strip(_EDGES) or "none"


def _words(text: str) -> str:
    """Return the beginning of a text in characters that every file system takes, and no half of a word."""
    visible = cleaned(_LINKS.sub(" ", text), 10 * _MAX_CHARACTERS)
    plain = unicodedata.normalize("NFC", _FORBIDDEN.sub(" ", _SWITCHES.sub("", f" {visible}")))
    short = _shortened(" ".join(plain.split()).strip(_EDGES))
    return short.strip(_EDGES)


def _shortened(text: str) -> str:
    kept = text[:_MAX_CHARACTERS].encode()[:_MAX_BYTES].decode(errors="ignore")
    if len(kept) == len(text):
        return text
    # a mark belongs to the letter before it, which may be the last one kept
    while kept and unicodedata.combining(text[len(kept)]):
        kept = kept[:-1]
    words, blank, _ = kept.rpartition(" ") if not text[len(kept)].isspace() else (kept, " ", "")
    return words if blank and len(words) > _MAX_CHARACTERS // 2 else kept

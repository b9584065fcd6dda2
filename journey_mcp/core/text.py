"""Text for people and models: quoted upstream text, visible characters, timestamps and durations."""

import math
import re
import time
import unicodedata
from urllib.parse import quote

_UPSTREAM_TEXT_LIMIT = 300
_EXAMINED = 10
"""Only this multiple of the shown length is cleaned: an upstream may send megabytes."""


def quoted(text: object, limit: int = _UPSTREAM_TEXT_LIMIT) -> str:
    """Return upstream text as data: cleaned, and in quotes that the text cannot close."""
    return f'"{cleaned(str(text).replace(chr(34), chr(39)), limit)}"'


def cleaned(text: str, limit: int = _UPSTREAM_TEXT_LIMIT) -> str:
    """Return one line without control and invisible characters, truncated. Only the start of a long text is read."""
    start = text[: _EXAMINED * limit]
    kept = "".join(" " if c.isspace() else c for c in start if c.isspace() or _is_visible(c))
    line = re.sub(r" +", " ", kept).strip()
    return f"{line[: limit - 1]}…" if len(line) > limit or len(text) > len(start) else line


def searchable(text: str) -> str:
    """Return text as searches compare it: without case, and without the width and the ligatures of characters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def encoded_id(id_: str) -> str:
    """Return a provider's id with all but a few characters percent-encoded, so that it cannot be read as a sentence."""
    return quote(id_, safe="-._~%:/@!$&*+,;=")


_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point, which is invisible and can hide instructions, and the empty Braille cell."""


def has_visible_text(text: str) -> bool:
    """Return whether a reader sees more than punctuation. Characters newer than this Python's tables count."""
    return any(not c.isspace() and _is_drawn(c) and unicodedata.category(c)[0] != "P" for c in text)


def _is_drawn(character: str) -> bool:
    # Cc control, Cf format, Co private use, Cs surrogates
    return unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs"} and not _IGNORABLE.match(character)


def _is_visible(character: str) -> bool:
    # Cn unassigned
    return _is_drawn(character) and unicodedata.category(character) != "Cn"


def timestamp(seconds: float) -> str:
    """Return a time of the Unix epoch in ISO 8601, such as 2026-11-21T10:00:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def duration(seconds: float) -> str:
    """Return a duration, rounded up: 45 s, 12 min, 23 h 40 min, 3 days."""
    if seconds < 120:  # noqa: PLR2004  # two minutes
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    if hours < 48:  # noqa: PLR2004  # two days
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{math.ceil(minutes / 1440)} days"

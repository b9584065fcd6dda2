"""File names as tools and models write them: spellings of a path, names that look the same, nearest names."""

import difflib
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import unquote

from journey_mcp.core.text import cleaned

_FILE_URL = re.compile(r"file:(?://(?P<host>[^/\\]*))?(?P<path>.*)", re.IGNORECASE | re.DOTALL)
_WINDOWS_DRIVE = re.compile(r"/[A-Za-z]:")
_DRIVE = re.compile(r"([A-Za-z]):/+")
_WSL = re.compile(r"//wsl(?:\$|\.localhost)/[^/]+(?=/)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\[^\w.]|^\\")
_HOME = re.compile(r"(\$HOME|\$\{HOME\}|\$env:(HOME|USERPROFILE)|%USERPROFILE%)(?=[/\\]|$)", re.IGNORECASE)
_CWD = re.compile(r"(\$PWD|\$\{PWD\}|%CD%)(?=[/\\])", re.IGNORECASE)
_EQUIVALENTS = str.maketrans("\u2018\u2019\u201c\u201d\u2010\u2011\u2013\u2014", "''\"\"----")
"""Quotes and dashes of word processors, to those of keyboards."""
_MAX_LENGTH = 1000
_MAX_NEAREST, _MAX_COMPARED = 5, 1000


def spellings(text: str) -> list[str]:
    """Return the paths that a text may mean: first as it is written, last with all escapes resolved.

    Known are `@name`, file: URLs of this machine, backslashes and quotes of shells (where a backslash separates no
    folders), `$HOME`, `$PWD`, percent escapes, and where a backslash separates no folders, Windows' paths: those of the
    machine around WSL, and relative ones.
    """
    stripped = text[1:].strip("\"'") if text.startswith("@") else text
    match = _FILE_URL.fullmatch(stripped)
    if match and (match["host"] or "")[:1] in {"~", ".", "$"}:  # file://~/a.png has one slash too few
        stripped = text = match["host"] + match["path"]
    elif match:
        return list(_from_url(match["host"] or "", match["path"]))
    found = [text, stripped]
    if os.sep != "\\":
        found += _from_windows(stripped)
        found += [re.sub(r"\\(.)", r"\1", stripped), *_as_one_word(stripped)]
    found += [_CWD.sub(".", _HOME.sub("~", each)) for each in found if _HOME.match(each) or _CWD.match(each)]
    found += [unquote(each) for each in found if "%" in each]
    return list(dict.fromkeys(found))


def look_alikes(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that look like this one: another composition, blank, dash, quote or case."""
    wanted = _appearance(name)
    return [other for other in names if _appearance(other) == wanted]


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return the most similar names, the most similar first."""
    return difflib.get_close_matches(name, list(islice(names, _MAX_COMPARED)), n=_MAX_NEAREST, cutoff=0.0)


def _from_url(host: str, path: str) -> Iterator[str]:
    if host.lower() not in {"", "localhost"}:
        yield unquote(host + path)  # a slash too few before a relative path; of another machine there is no such file
        return
    for spelled in dict.fromkeys((path, unquote(path))):
        is_drive = _WINDOWS_DRIVE.match(spelled) is not None
        if is_drive and os.sep == "\\":  # pragma: no cover  # Windows
            yield spelled[1:]
            continue
        yield spelled
        if is_drive:
            yield from _from_windows(spelled[1:])


def _from_windows(text: str) -> list[str]:
    """Return the path of a Windows path on another system: within WSL, or relative."""
    path = text.replace("\\", "/")
    if drive := _DRIVE.match(path):
        return [f"/mnt/{drive[1].lower()}/{path[drive.end() :]}"]
    if share := _WSL.match(path):
        return [path[share.end() :]]
    return [path] if "\\" in text and not _ESCAPE.search(text) else []


def _as_one_word(text: str) -> list[str]:
    """Return the word that a shell reads in the text; none if it reads several."""
    try:
        words = shlex.split(text)
    except ValueError:  # a quote that does not end
        return []
    return words if len(words) == 1 else []


def _appearance(name: str) -> str:
    # NFKC maps all blanks to one
    return cleaned(unicodedata.normalize("NFKC", name), _MAX_LENGTH).casefold().translate(_EQUIVALENTS)

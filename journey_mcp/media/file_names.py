"""Names of files as tools and models write them: what a path may mean, which names look the same, which are near."""

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
_HERE = re.compile(r"(\$PWD|\$\{PWD\}|%CD%)(?=[/\\])", re.IGNORECASE)
_ALIKE = str.maketrans("\u2018\u2019\u201c\u201d\u2010\u2011\u2013\u2014", "''\"\"----")
"""Quotes and dashes of word processors, and those of keyboards."""
_LONGEST = 1000
_NEAREST, _COMPARED = 5, 1000


def spellings(text: str) -> list[str]:
    """Return the paths that a text may mean: as it is written first, with all escapes resolved last.

    Known are `@name`, file: URLs of this machine, backslashes and quotes of shells (where a backslash separates no
    folders), `$HOME`, `$PWD`, percent escapes, and where a backslash separates no folders, Windows' paths: those of the
    machine around WSL, and relative ones.
    """
    bare = text[1:].strip("\"'") if text.startswith("@") else text
    match = _FILE_URL.fullmatch(bare)
    if match and (match["host"] or "")[:1] in {"~", ".", "$"}:  # file://~/a.png has one slash too few
        bare = text = match["host"] + match["path"]
    elif match:
        return list(_from_url(match["host"] or "", match["path"]))
    found = [text, bare]
    if os.sep != "\\":
        found += _from_windows(bare)
        found += [re.sub(r"\\(.)", r"\1", bare), *_as_one_word(bare)]
    found += [_HERE.sub(".", _HOME.sub("~", each)) for each in found if _HOME.match(each) or _HERE.match(each)]
    found += [unquote(each) for each in found if "%" in each]
    return list(dict.fromkeys(found))


def look_alikes(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that a reader cannot tell from this one: composed otherwise, another blank, dash or case."""
    wanted = _appearance(name)
    return [other for other in names if _appearance(other) == wanted]


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that resemble this one most, the most alike first."""
    return difflib.get_close_matches(name, list(islice(names, _COMPARED)), n=_NEAREST, cutoff=0.0)


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
    """Return where a path of Windows leads on another system: within WSL, or relative."""
    path = text.replace("\\", "/")
    if drive := _DRIVE.match(path):
        return [f"/mnt/{drive[1].lower()}/{path[drive.end() :]}"]
    if share := _WSL.match(path):
        return [path[share.end() :]]
    return [path] if "\\" in text and not _ESCAPE.search(text) else []


def _as_one_word(text: str) -> list[str]:
    """Return what a shell makes of the text, unless that is several words."""
    try:
        words = shlex.split(text)
    except ValueError:  # a quote that does not end
        return []
    return words if len(words) == 1 else []


def _appearance(name: str) -> str:
    # NFKC makes one blank of all kinds
    return cleaned(unicodedata.normalize("NFKC", name), _LONGEST).casefold().translate(_ALIKE)

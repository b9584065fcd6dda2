"""TOML, edited in place by tomlkit."""

import re
import tomllib
from itertools import takewhile
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from journey_mcp.cli.install.editing import NotEditable, Path


def parse(text: str) -> dict[str, Any]:
    """Return the content, as `Editor`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotEditable(str(error)) from error


def put(text: str, path: Path, value: Any) -> str:
    """Return the text with this value, as `Editor`.

    A table among tables is added at the end, so that no comment gets another neighbour; beside values it is an inline
    table.
    """
    content = parse(text)
    beside = _table_at(content, path[:-1])
    if isinstance(value, dict) and all(isinstance(other, dict) for other in beside.values()):
        text = remove(text, path) if path[-1] in beside else text
        appended = _appended(text, path, value)
        if _is_toml(appended):  # not if a table on the way is an inline one
            return appended
    document = tomlkit.parse(text)
    _item_at(document, path[:-1])[path[-1]] = _inline(value) if isinstance(value, dict) else value
    return _above_comments(text, _with_newlines_of(text, document.as_string()))


def remove(text: str, path: Path) -> str:
    """Return the text without the value, as `Editor`. Comments below it stay, which are about what follows."""
    document = tomlkit.parse(text)
    del _item_at(document, path[:-1])[path[-1]]
    edited = document.as_string()
    start, end = _cut(text, edited)
    if text[:start] + text[end:] != edited:  # parts of the table are in several places
        return edited
    kept = _comments_at_the_end(text[start:end])
    before = text[:start].removesuffix(_newline(text)) if end == len(text) and not kept else text[:start]
    return before + kept + text[end:]


def _table_at(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the table at a path; an empty one if there is none."""
    for name in path:
        content = content.get(str(name), {})
        if not isinstance(content, dict):
            raise NotEditable(f"{name} is not a table")
    return content


def _item_at(document: Any, path: Path) -> Any:
    for name in path:
        document = document[name]
    return document


def _appended(text: str, path: Path, value: dict[str, Any]) -> str:
    document: Any = tomlkit.document()
    table = document
    for name in path[:-1]:
        table[name] = tomlkit.table(is_super_table=True)
        table = table[name]
    table[path[-1]] = value
    newline = _newline(text)
    written: str = document.as_string().replace("\n", newline)
    if not text.strip():
        return text + written
    return text + ("" if text.endswith("\n") else newline) + newline + written


def _inline(value: dict[str, Any]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _cut(text: str, edited: str) -> tuple[int, int]:
    """Return the part of a text that an edited one lacks, from the begin of its first line."""
    pairs = zip(text, edited, strict=False)
    start = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(text), len(edited)))
    end = start + len(text) - len(edited)
    while start > 0 and text[start - 1] != "\n" and text[start - 1] == text[end - 1]:
        start, end = start - 1, end - 1
    return start, end


def _above_comments(text: str, edited: str) -> str:
    """Return an edited text whose added line is above the comments before it, which are about the next table."""
    start, end = _cut(edited, text)
    comments = _comments_at_the_end(edited[:start])
    if edited[:start] + edited[end:] != text or not edited[start:end].endswith("\n") or not comments:
        return edited
    above = start - len(comments)
    moved = edited[:above] + edited[start:end] + comments + edited[end:]
    return moved if _is_toml(moved) and parse(moved) == parse(edited) else edited


def _comments_at_the_end(text: str) -> str:
    """Return the last lines that are comments or blank, if any is a comment."""
    lines = text.splitlines(keepends=True)
    found = [*takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), reversed(lines))]
    return "".join(reversed(found)) if any(line.strip() for line in found) else ""


def _newline(text: str) -> str:
    """Return the line end of a text; tomlkit adds LF."""
    return "\r\n" if "\r\n" in text and not re.search(r"(?<!\r)\n", text) else "\n"


def _with_newlines_of(text: str, edited: str) -> str:
    return re.sub(r"(?<!\r)\n", _newline(text), edited) if _newline(text) == "\r\n" else edited

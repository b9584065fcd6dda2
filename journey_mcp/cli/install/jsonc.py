"""JSON with comments, edited in place.

Comments (`//` and `/* */`) and a comma after the last item are read, as editors and most clients do, and never added.
Otherwise the grammar is that of RFC 8259. No library of PyPI edits it and keeps the rest of the text.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from journey_mcp.cli.install.editing import NotEditable, Path

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_WORD = re.compile(r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null)(?![\w.])")
_COMMENTS_TO_END_OF_LINE = re.compile(r"(?:[ \t]*/\*(?:(?!\*/)[^\r\n])*\*/)*(?:[ \t]*//[^\r\n]*)?(?=[ \t]*\r?\n)")
_BLANK_TO_END_OF_LINE = re.compile(r"[ \t]*(?=\r?\n)")
_BEGIN_OF_LINE = re.compile(r"(?:\r?\n)?[ \t]*\Z")
_BLANKS = re.compile(r"[ \t]*")
_DEEPEST = 200
"""Real files are never nested deeper, and reading such a file would overflow the stack."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A member of an object, or an element of an array."""

    name: str | int
    start: int
    """Where the name begins, or the element."""
    value: "_Value"
    comma: int | None
    """Where the comma after it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Value:
    """A value and where it is in the text."""

    start: int
    end: int
    plain: Any
    items: tuple[_Item, ...] = ()

    def find(self, name: str | int) -> _Item | None:
        """Return the item of a name; of several the last one, which is what readers use."""
        return next((item for item in reversed(self.items) if item.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Edit:
    """A part of the text, and what comes in its place."""

    start: int
    end: int
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Style:
    """How a file is written."""

    newline: str
    indent: str
    is_multiline: bool
    """Whether the members of the top level are on lines of their own."""

    @classmethod
    def of(cls, text: str, root: _Value | None) -> "_Style":
        found = re.search(r"\r?\n", text)
        newline = found[0] if found else "\n"
        if root is None or not root.items:
            return cls(newline=newline, indent="  ", is_multiline=True)
        is_multiline = _begins_line(text, root)
        indent = _indent_at(text, root.items[0].start) if is_multiline else "  "
        return cls(newline=newline, indent=indent, is_multiline=is_multiline)

    def written(self, value: Any, outer: str, *, is_multiline: bool) -> str:
        """Return a value as text that begins in a line with the indentation `outer`."""
        text = json.dumps(value, ensure_ascii=False, indent=self.indent if is_multiline else None)
        return text.replace("\n", self.newline + outer)  # strings have no line feeds


def parse(text: str) -> dict[str, Any]:
    """Return the content, as `Editor`."""
    root = _read(text)
    if root is None:
        return {}
    if not isinstance(root.plain, dict):
        raise _Reader(text).error(root.start, "expected an object")
    return root.plain


def put(text: str, path: Path, value: Any) -> str:
    """Return the text with this value, as `Editor`."""
    root = _read(text)
    style = _Style.of(text, root)
    if root is None:
        kept = text.rstrip() + style.newline if text.strip() else ""
        return kept + style.written(_nested(path, value), "", is_multiline=True) + style.newline
    holder, rest = _deepest(root, path)
    if not rest:
        outer = _indent_at(text, holder.start)
        written = style.written(value, outer, is_multiline=style.is_multiline)
        return _edited(text, [_Edit(start=holder.start, end=holder.end, text=written)])
    expected = dict if isinstance(rest[0], str) else list
    if not isinstance(holder.plain, expected):
        raise _Reader(text).error(holder.start, f"expected an {'object' if expected is dict else 'array'}")
    add = _append if holder.items else _fill
    return _edited(text, add(text, holder, style, (rest[0], _nested(rest[1:], value))))


def remove(text: str, path: Path) -> str:
    """Return the text without the value, as `Editor`; comments stay."""
    root = _read(text)
    assert root is not None  # noqa: S101  # the value exists
    holder, _ = _deepest(root, path[:-1])
    (index,) = [at for at, item in enumerate(holder.items) if item is holder.find(path[-1])]
    return _edited(text, _cuts(text, holder, index))


def _nested(path: Path, value: Any) -> Any:
    for name in reversed(path):
        value = {name: value} if isinstance(name, str) else [value]
    return value


def _deepest(root: _Value, path: Path) -> tuple[_Value, Path]:
    """Return the value that exists furthest down the path, and the rest of the path."""
    for depth, name in enumerate(path):
        item = root.find(name)
        if item is None:
            return root, path[depth:]
        root = item.value
    return root, ()


def _append(text: str, holder: _Value, style: _Style, added: tuple[str | int, Any]) -> Iterable[_Edit]:
    """Yield what adds an item after the others, with a comma after it if the others end with one."""
    last = holder.items[-1]
    end = last.value.end if last.comma is None else last.comma + 1
    if last.comma is None:
        yield _Edit(start=end, end=end, text=",")
    trailing = "" if last.comma is None else ","
    if not _begins_line(text, holder):
        yield _Edit(start=end, end=end, text=f" {_item(added, style, '', is_multiline=False)}{trailing}")
        return
    indent = _indent_at(text, holder.items[0].start)
    if comments := _COMMENTS_TO_END_OF_LINE.match(text, end):
        end = comments.end()
    item = _item(added, style, indent, is_multiline=True)
    yield _Edit(start=end, end=end, text=f"{style.newline}{indent}{item}{trailing}")


def _fill(text: str, holder: _Value, style: _Style, added: tuple[str | int, Any]) -> Iterable[_Edit]:
    """Yield what adds the first item; comments stay before it."""
    inner = text[holder.start + 1 : holder.end - 1]
    comments = inner.rstrip()
    start = holder.start + 1 + len(comments)
    if not style.is_multiline and "\n" not in inner:
        item = _item(added, style, "", is_multiline=False)
        yield _Edit(start=start, end=holder.end - 1, text=f" {item}" if comments else item)
        return
    outer = _indent_at(text, holder.start)
    indent = outer + style.indent
    item = _item(added, style, indent, is_multiline=True)
    yield _Edit(start=start, end=holder.end - 1, text=f"{style.newline}{indent}{item}{style.newline}{outer}")


def _item(added: tuple[str | int, Any], style: _Style, indent: str, *, is_multiline: bool) -> str:
    name, value = added
    written = style.written(value, indent, is_multiline=is_multiline)
    return f"{json.dumps(name, ensure_ascii=False)}: {written}" if isinstance(name, str) else written


def _cuts(text: str, holder: _Value, index: int) -> Iterable[_Edit]:
    """Yield what removes an item, with its line if nothing else is in it, and with the comma that is too much."""
    item, is_last = holder.items[index], index == len(holder.items) - 1
    before = holder.start + 1
    if index:
        comma = holder.items[index - 1].comma
        assert comma is not None  # noqa: S101  # an item follows
        before = comma + 1
        if item.comma is None:
            yield _Edit(start=comma, end=before)
    end = item.value.end
    if item.comma is not None:
        if text[end : item.comma].strip():
            yield _Edit(start=item.comma, end=item.comma + 1)
        else:
            end = item.comma + 1
    gap = text[before : item.start]
    if len(holder.items) == 1 and not gap.strip() and not text[end : holder.end - 1].strip():
        yield _Edit(start=before, end=holder.end - 1)
    elif _BLANK_TO_END_OF_LINE.match(text, end) or (is_last and not gap.strip()):
        line = _BEGIN_OF_LINE.search(gap)
        yield _Edit(start=before + line.start() if line else item.start, end=end)
    else:  # a comment in the line before must not swallow what follows
        blanks = _BLANKS.match(text, end)
        yield _Edit(start=item.start, end=blanks.end() if blanks else end)


def _edited(text: str, edits: Iterable[_Edit]) -> str:
    """Return the text after all edits; of two at one place the first one comes first."""
    parts, done = list[str](), 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        parts += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join([*parts, text[done:]])


def _begins_line(text: str, holder: _Value) -> bool:
    """Return whether the first item of a container begins on another line than the container."""
    return "\n" in text[holder.start : holder.items[0].start]


def _indent_at(text: str, offset: int) -> str:
    """Return the blanks at the beginning of a line."""
    blanks = _BLANKS.match(text, text.rfind("\n", 0, offset) + 1)
    return blanks[0] if blanks else ""


def _read(text: str) -> _Value | None:
    """Return the value of a text; `None` if it has blanks and comments only."""
    reader = _Reader(text)
    start = reader.skip(0)
    if start == len(text):
        return None
    root = reader.value(start, 0)
    if (end := reader.skip(root.end)) != len(text):
        raise reader.error(end, "expected the end of the file")
    return root


class _Reader:
    """A recursive descent over the text; positions are given and returned."""

    def __init__(self, text: str) -> None:
        self._text = text

    def error(self, at: int, expected: str) -> NotEditable:
        """Return the error for a position, with line and column counted from 1 as editors do."""
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        return NotEditable(f"line {line}, column {column}: {expected}")

    def skip(self, at: int) -> int:
        """Return the position after blanks and comments."""
        found = _TRIVIA.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> _Value:
        """Read the value at a position."""
        if depth > _DEEPEST:
            raise self.error(at, f"nested more than {_DEEPEST} deep")
        if self._text[at : at + 1] in {"{", "["}:
            return self._container(at, depth)
        pattern, what = (_STRING, "a valid string") if self._text[at : at + 1] == '"' else (_WORD, "a value")
        found = pattern.match(self._text, at)
        if found is None:
            raise self.error(at, f"expected {what}")
        return _Value(start=at, end=found.end(), plain=json.loads(found[0]))

    def _container(self, start: int, depth: int) -> _Value:
        is_object = self._text[start] == "{"
        closing = "}" if is_object else "]"
        items: list[_Item] = []
        at = self.skip(start + 1)
        while not self._text.startswith(closing, at):
            if items and items[-1].comma is None:
                raise self.error(at, f"expected a comma or {closing}")
            items.append(self._item(at, None if is_object else len(items), depth))
            comma = items[-1].comma
            at = self.skip(items[-1].value.end if comma is None else comma + 1)
        plain = {item.name: item.value.plain for item in items} if is_object else [item.value.plain for item in items]
        return _Value(start=start, end=at + 1, plain=plain, items=tuple(items))

    def _item(self, start: int, index: int | None, depth: int) -> _Item:
        name, at = (index, start) if index is not None else self._name(start)
        value = self.value(at, depth + 1)
        end = self.skip(value.end)
        return _Item(name=name, start=start, value=value, comma=end if self._text.startswith(",", end) else None)

    def _name(self, at: int) -> tuple[str, int]:
        found = _STRING.match(self._text, at)
        if found is None:
            raise self.error(at, "expected a name in double quotes")
        colon = self.skip(found.end())
        if not self._text.startswith(":", colon):
            raise self.error(colon, "expected a colon")
        return json.loads(found[0]), self.skip(colon + 1)

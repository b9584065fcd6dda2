"""`--batch`: one request a line, as a prompt, or as JSON with arguments of the tool."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from journey_mcp.cli.images.prompts import STDIN, read_text
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.tools import arguments
from journey_mcp.tools.argument_names import match_name

_MAX_CHARACTERS = 10_000_000
_MAX_REQUESTS = 10_000
_MAX_SHOWN = 80
_ENDINGS = {".jsonl", ".ndjson"}
_OF_COMMAND = {"fresh": "--fresh", "wait_s": "--wait"}
"""Arguments of the tools that are options of the whole command."""
_NOTHING_SENT = "Nothing was sent and nothing was charged."


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One request of a batch."""

    number: int
    """Of the line, from 1."""
    place: str
    """File and line, for messages."""
    arguments: Mapping[str, Any]
    """Of the tool: those of the line, and the command's options that the line does not set."""


def read_lines(path: str, kind: type[arguments.Imagine], given: Mapping[str, Any]) -> list[Line]:
    """Return the requests of a file, or of standard input for `-`.

    `.jsonl` and `.ndjson` files have a JSON object a line, with arguments of the tool by name; standard input does if
    its first line is one. In other files each line is a prompt; blank lines, and those that begin with `#`, are
    skipped. `given` are the arguments of all lines.

    Raises:
        InvalidArguments: the file cannot be read, has no requests, or a line is wrong: names the line and its value.
    """
    text = read_text(path, option="--batch", max_characters=_MAX_CHARACTERS)
    name = "standard input" if path == STDIN else path
    is_json = Path(path).suffix.lower() in _ENDINGS or (path == STDIN and text.lstrip().startswith("{"))
    lines = [
        Line(number=number, place=(place := f"{name}, line {number}"), arguments=_arguments(line, place, kind, given))
        if is_json
        else Line(number=number, place=f"{name}, line {number}", arguments={**given, "prompt": line})
        # not splitlines(): a prompt may hold other separators
        for number, line in enumerate(map(str.strip, text.split("\n")), start=1)
        if line and (is_json or not line.startswith("#"))
    ]
    if not lines:
        raise InvalidArguments(f"{name} has no prompts.", next_step=f"Write one on each line. {_NOTHING_SENT}")
    if len(lines) > _MAX_REQUESTS:
        raise InvalidArguments(
            f"{name} has {len(lines):,} requests (at most {_MAX_REQUESTS:,} are accepted).",
            next_step=f"Split it into several batches. {_NOTHING_SENT}",
        )
    return lines


def _arguments(line: str, place: str, kind: type[arguments.Imagine], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(place, line, f"is not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise _wrong(place, line, "is not a JSON object")
    own = {match_name(name, kind.model_fields) or name: value for name, value in plain.items()}
    for name, option in _OF_COMMAND.items():
        if name in own:
            raise _wrong(place, line, f"has {name}, which holds for the whole command: give {option} there")
    return {**given, **own}


def _wrong(place: str, line: str, problem: str) -> InvalidArguments:
    shown = repr(line[:_MAX_SHOWN]) + ("…" if len(line) > _MAX_SHOWN else "")
    return InvalidArguments(
        f"{place}: {shown} {problem}.",
        next_step=f'Write an object with arguments of the tool, such as {{"prompt": "a boat"}}. {_NOTHING_SENT}',
    )

"""The tools' words in those of the command line: commands and options in place of tools and arguments."""

import re
from functools import partial

from journey_mcp.core.requests import OPTIONS, Tool

COMMANDS: dict[Tool, str] = {"imagine": "imagine", "edit_image": "edit"}
"""The command that does a tool's work."""

_WORDS = {
    "fetch_task without task_ids": "`journey-mcp tasks`",
    "fetch_task": "`journey-mcp fetch`",
    **{tool: f"`journey-mcp {command}`" for tool, command in COMMANDS.items()},
    "reference_images": "--reference",
    # a name of one word may be meant as a word
    **{name: f"--{name.replace('_', '-')}" for name in (*OPTIONS, "webhook_url") if "_" in name},
}
_PATTERNS = {
    r"fresh=true": "--fresh",
    r" ?if it is attached to the chat: [^.]*\.": "",
    r"the person declined": "you declined",
    r"the person was not asked": "you were not asked",
    r"this client cannot ask the person": "without a terminal you cannot be asked",
    r" ?ask the person what they would rather have\.": "",
    r"ask the person (?:who runs the server )?to (\w)": r"\1",
}
_SENTENCES = [(re.compile(pattern, re.IGNORECASE), words) for pattern, words in _PATTERNS.items()]
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")
_VALUE = re.compile(r"\b([a-z_]+)=(?:'([^']*)'|([\w:.-]*\w))")


def for_people(hint: str) -> str:
    """A next step that was written for callers of the tools, for a person at the command line."""
    hint = to_person(hint)
    hint = _VALUE.sub(lambda match: f"{option(match[1])} {match[2] or match[3]}", hint)
    return _WORD.sub(lambda match: _WORDS[match[1]], hint)


def to_person(text: str) -> str:
    """Words to a model about the person it works for, as words to that person."""
    for pattern, words in _SENTENCES:
        text = pattern.sub(partial(_capitalized_like, words), text)
    return text


def _capitalized_like(words: str, match: re.Match[str]) -> str:
    """What replaces a match, with a capital where the match has one."""
    replaced = match.expand(words)
    return replaced[:1].upper() + replaced[1:] if match[0][:1].isupper() else replaced


def option(argument: str) -> str:
    """The option that gives an argument of the tools."""
    return _WORDS.get(argument, f"--{argument.replace('_', '-')}")

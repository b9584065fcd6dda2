"""Next steps for the command line: in the words for the person, with commands and options for tools and arguments."""

import re

from journey_mcp.core.errors import Failure
from journey_mcp.core.next_steps import person_words
from journey_mcp.core.requests import OPTIONS, Tool

COMMANDS: dict[Tool, str] = {"imagine": "imagine", "edit_image": "edit", "refine_image": "refine"}
"""The command for each tool."""

_WORDS = {
    "fetch_task without task_ids": "`journey-mcp tasks`",
    "fetch_task": "`journey-mcp fetch`",
    **{tool: f"`journey-mcp {command}`" for tool, command in COMMANDS.items()},
    "reference_images": "--reference",
    # a name without an underscore may be an ordinary word
    **{name: f"--{name.replace('_', '-')}" for name in (*OPTIONS, "webhook_url") if "_" in name},
}
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")
_FLAG = re.compile(r"\b([a-z_]+)=true\b")
_VALUE = re.compile(r"\b([a-z_]+)=(?:'([^']*)'|([\w:.-]*\w))")


def next_step(failure: Failure) -> str:
    """Return what the person can do about a failure; empty if nothing is known."""
    return with_options(person_words(failure.advice or ""))


def with_options(hint: str) -> str:
    """Return a next step with commands and options in place of tools and arguments."""
    hint = _VALUE.sub(lambda match: f"{option(match[1])} {match[2] or match[3]}", with_flags(hint))
    return _WORD.sub(lambda match: _WORDS[match[1]], hint)


def with_flags(text: str) -> str:
    """Return a text with options in place of arguments that say yes; others are shown as values that were given."""
    return _FLAG.sub(lambda match: option(match[1]), text)


def option(argument: str) -> str:
    """Return the option, or the argument of a command, for an argument of the tools."""
    return _WORDS.get(argument, "ACTION" if argument == "action" else f"--{argument.replace('_', '-')}")

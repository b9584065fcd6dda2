"""The tools' words in those of the command line: commands and options in place of tools and arguments."""

import re

from journey_mcp.requests import OPTIONS, Tool

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
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")
_VALUE = re.compile(r"\b([a-z_]+)=(?:'([^']*)'|([\w:.-]*\w))")


def for_people(hint: str) -> str:
    """A next step that was written for callers of the tools, for a person at the command line."""
    hint = hint.replace("fresh=true", "--fresh")
    hint = _VALUE.sub(lambda match: f"{option(match[1])} {match[2] or match[3]}", hint)
    return _WORD.sub(lambda match: _WORDS[match[1]], hint)


def option(argument: str) -> str:
    """The option that gives an argument of the tools."""
    return _WORDS.get(argument, f"--{argument.replace('_', '-')}")

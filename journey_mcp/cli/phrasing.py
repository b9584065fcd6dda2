"""Messages of the tools, rephrased for the command line: commands and options for tools and arguments."""

import re
from functools import partial

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
_PATTERNS = {
    r"fresh=true": "--fresh",
    r" ?if it is attached to the chat: [^.]*\.": "",
    r"the person declined": "you declined",
    r"the person was not asked": "you were not asked",
    r"this client cannot ask the person": "without a terminal you cannot be asked",
    r" ?ask the person what they want instead\.": "",
    r"ask the person to raise JOURNEY_MCP_CONFIRM_ABOVE": "confirm the cost with --yes",
    r"ask the person (?:who runs the server )?to (\w)": r"\1",
}
_SENTENCES = [(re.compile(pattern, re.IGNORECASE), words) for pattern, words in _PATTERNS.items()]
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")
_VALUE = re.compile(r"\b([a-z_]+)=(?:'([^']*)'|([\w:.-]*\w))")


def for_people(hint: str) -> str:
    """Rephrase a next step, written for callers of the tools, for the command line."""
    hint = to_person(hint)
    hint = _VALUE.sub(lambda match: f"{option(match[1])} {match[2] or match[3]}", hint)
    return _WORD.sub(lambda match: _WORDS[match[1]], hint)


def to_person(text: str) -> str:
    """Rephrase a text for a model that mentions its user, as a text for that user."""
    for pattern, words in _SENTENCES:
        text = pattern.sub(partial(_capitalized_like, words), text)
    return text


def _capitalized_like(words: str, match: re.Match[str]) -> str:
    """Return the replacement of a match, capitalized like the match."""
    replaced = match.expand(words)
    return replaced[:1].upper() + replaced[1:] if match[0][:1].isupper() else replaced


def option(argument: str) -> str:
    """Return the option, or the argument of a command, for an argument of the tools."""
    return _WORDS.get(argument, "ACTION" if argument == "action" else f"--{argument.replace('_', '-')}")

"""Prompts: `prompts/list` and `prompts/get`."""

from collections.abc import Mapping

import mcp_types as types
from mcp import MCPError

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.tools import prompts
from journey_mcp.tools.prompts import Argument, Prompt
from journey_mcp.tools.tool_set import ToolSet

_MAX_SHOWN = 80


def list_prompts(tool_set: ToolSet) -> types.ListPromptsResult:
    """Return the prompts that the listed tools can carry out."""
    return types.ListPromptsResult(prompts=[_listed(prompt) for prompt in prompts.offered(tool_set.names)])


def get_prompt(tool_set: ToolSet, name: str, arguments: Mapping[str, str]) -> types.GetPromptResult:
    """Return the message that a prompt stands for.

    Raises:
        MCPError: there is no such prompt, or an argument is wrong; says what is allowed.
    """
    prompt = find(tool_set, name)
    try:
        text = prompts.render(prompt, arguments, tool_set.catalog, tool_set.defaults)
    except InvalidArguments as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from error
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.GetPromptResult(description=prompt.description, messages=[message])


def find(tool_set: ToolSet, name: str) -> Prompt:
    """Return the prompt of this name.

    Raises:
        MCPError: there is none; names those that there are.
    """
    offered = {prompt.name: prompt for prompt in prompts.offered(tool_set.names)}
    if name not in offered:
        names = ", ".join(offered) or "none"
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name[:_MAX_SHOWN]}. Prompts: {names}")
    return offered[name]


def _listed(prompt: Prompt) -> types.Prompt:
    return types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description,
        arguments=[_argument(argument) for argument in prompt.arguments],
    )


def _argument(argument: Argument) -> types.PromptArgument:
    return types.PromptArgument(
        name=argument.name, title=argument.title, description=argument.description, required=argument.required
    )

"""Completion of arguments: names of models, and ids of tasks and images, the newest first."""

from collections.abc import Iterable, Sequence

import mcp_types as types

from journey_mcp.core.images import ImageId
from journey_mcp.core.principals import Principal
from journey_mcp.core.task_query import TaskQuery
from journey_mcp.server.features import prompts, uris
from journey_mcp.studio import Studio
from journey_mcp.tools.prompts import models_of
from journey_mcp.tools.tool_set import ToolSet

_MOST = 100
"""The most values that the protocol allows."""
_LONGEST = 1_000
"""Longer values are not completed: each result would repeat them."""
_SEARCHED = 200
"""How many of the newest tasks are searched."""


def complete_prompt(
    tool_set: ToolSet, ref: types.PromptReference, argument: types.CompletionArgument
) -> types.CompleteResult:
    """Complete a prompt's argument: the name of a model, or the last one in a list of models.

    Raises:
        MCPError: there is no such prompt.
    """
    prompt = prompts.find(tool_set, ref.name)
    models = models_of(prompt, tool_set.catalog)
    if len(argument.value) > _LONGEST:
        return _result([])
    if argument.name == "model":
        return _result(_matching(argument.value, models))
    if argument.name == "models":
        before, comma, last = argument.value.rpartition(",")
        given = {name.strip() for name in before.split(",")}
        rest = [model for model in models if model not in given]
        return _result([f"{before}{comma}{' ' * bool(comma)}{model}" for model in _matching(last.strip(), rest)])
    return _result([])


async def complete_uri(
    tool_set: ToolSet,
    studio: Studio,
    principal: Principal,
    ref: types.ResourceTemplateReference,
    argument: types.CompletionArgument,
) -> types.CompleteResult:
    """Complete the variable of a resource template."""
    if ref.uri == uris.MODEL:
        return _result(_matching(argument.value, tool_set.catalog.models))
    if ref.uri not in {uris.IMAGE, uris.TASK}:
        return _result([])
    tasks = await studio.newest(principal, TaskQuery(limit=_SEARCHED))
    if ref.uri == uris.TASK:
        return _result(_matching(argument.value, [task.id for task in tasks]))
    images = [str(ImageId(task.id, n)) for task in tasks for n in range(1, len(task.images) + 1)]
    return _result(_matching(argument.value, images))


def _matching(given: str, values: Iterable[str]) -> list[str]:
    """Return the values that begin with what is given, then those that contain it; in their order."""
    text = given.strip().lower()
    found = [value for value in values if text in value.lower()]
    return sorted(found, key=lambda value: not value.lower().startswith(text))


def _result(values: Sequence[str]) -> types.CompleteResult:
    completion = types.Completion(values=[*values[:_MOST]], total=len(values), has_more=len(values) > _MOST)
    return types.CompleteResult(completion=completion)

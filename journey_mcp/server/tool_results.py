"""Tool results: an object, the same facts as text, and optional links to the images."""

from collections.abc import Sequence
from typing import Any

import mcp_types as types

from journey_mcp import gallery
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import Task
from journey_mcp.registry import Catalog
from journey_mcp.studio import Studio
from journey_mcp.tools import availability, results, shortening
from journey_mcp.tools.defaults import Defaults
from journey_mcp.tools.gallery import facts_of

_UNKNOWN_TYPE = "application/octet-stream"


async def task_result(task: Task, *, now: float, defaults: Defaults) -> types.CallToolResult:
    """Return a task as the result of the tool that created it."""
    available = await availability.check_availability([task])
    plain = results.task_object(
        task,
        now=now,
        with_paths=defaults.takes_files,
        credit_prices=defaults.credit_prices,
        available=available,
        can_edit=defaults.can_edit,
    )
    shown = shortening.fit_single(plain)
    linked = [shown.plain] if defaults.has_links else []
    return result(shown, linked, is_error=task.status is Status.FAILED)


def result(shown: results.Rendered, linked: Sequence[dict[str, Any]], *, is_error: bool) -> types.CallToolResult:
    """Return an object and its text as a tool's result, with a link for each image of the linked tasks.

    Several SDKs fail on a result with links, and more of them on a link without a media type.
    """
    links = [
        types.ResourceLink(
            type="resource_link", uri=image["url"], name=image["id"], mime_type=image.get("mime_type", _UNKNOWN_TYPE)
        )
        for task in linked
        for image in task.get("images", ())
        if "url" in image
    ]
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=shown.text), *links]
    return types.CallToolResult(content=content, structured_content=shown.plain, is_error=is_error)


def for_gallery(
    result: types.CallToolResult,
    tasks: Sequence[Task],
    studio: Studio,
    defaults: Defaults,
    catalog: Catalog | None,
) -> types.CallToolResult:
    """Return the result with what the gallery shows of its tasks besides, in `_meta`: models do not get it.

    `catalog`: the part that the caller may use, if that is not all.
    """
    actions: dict[str, Any] = {}
    for task in tasks:
        actions |= studio.actions_of(task, defaults, catalog)
    facts = {task.id: facts_of(task, studio.catalog) for task in tasks}
    return result.model_copy(update={"meta": {gallery.FACTS: facts, gallery.ACTIONS: actions}})

"""Image blocks: the tool `view_image`, and previews at the end of other results."""

from base64 import b64encode
from collections.abc import Mapping, Sequence

import mcp_types as types

from journey_mcp.core.errors import JourneyError
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Task
from journey_mcp.core.views import View
from journey_mcp.server import tool_results
from journey_mcp.studio import Studio
from journey_mcp.studio.previews import WITHIN_S
from journey_mcp.tools import view_results
from journey_mcp.tools.arguments import ViewImage
from journey_mcp.tools.defaults import Defaults

_PRIORITY = 0.3
"""Of a preview: a host that has to save may leave it out. No host honours an audience."""


async def view_image(studio: Studio, given: ViewImage, principal: Principal) -> types.CallToolResult:
    """Return small JPEGs of finished images; it is an error only if none can be shown."""
    view = await studio.views.look(given.image_ids, principal, size=given.size, layout=given.layout)
    result = tool_results.result(view_results.render(view), [], is_error=not view.seen)
    return result.model_copy(update={"content": [*result.content, *map(image_block, view.jpegs)]})


def error_result(error: JourneyError) -> types.CallToolResult:
    """Return the result of a call that fails as a whole."""
    return tool_results.result(view_results.render_error(error), [], is_error=True)


async def completed(
    tasks: Mapping[str, Task], studio: Studio, previewed: Sequence[Task]
) -> tuple[dict[str, Task], View | None]:
    """Return tasks with the paths of their copies, and a preview of some finished ones: what is there in 300 ms.

    The paths are those of images that finished in this process, so that the first result has them.
    """
    until = studio.elapsed() + WITHIN_S
    view = await studio.previews.of(previewed) if previewed else None
    return await studio.wait_for_copies(tasks, until - studio.elapsed()), view


async def task_result(task: Task, studio: Studio, defaults: Defaults, *, has_preview: bool) -> types.CallToolResult:
    """Return a task as the result of the call that made it, with a preview if the client is due one."""
    previewed = [task] if has_preview and task.status is Status.SUCCEEDED else []
    tasks, preview = await completed({task.id: task}, studio, previewed)
    result = await tool_results.task_result(tasks[task.id], now=studio.now(), defaults=defaults)
    return with_preview(result, preview, previewed)


def with_preview(result: types.CallToolResult, view: View | None, tasks: Sequence[Task]) -> types.CallToolResult:
    """Return a result with the preview of these finished tasks as its last block, if there is one.

    Several tasks are on one sheet; then text and object say which number is which image.
    """
    if view is None:
        return result
    content, plain = list(result.content), dict(result.structured_content or {})
    if len({task.id for task in tasks}) > 1:
        plain["preview"] = [seen.id for seen in view.seen]
        content[0] = _with_line(content[0], view_results.legend(view))
    preview = image_block(view.jpegs[0]).model_copy(update={"annotations": types.Annotations(priority=_PRIORITY)})
    return result.model_copy(update={"content": [*content, preview], "structured_content": plain})


def image_block(jpeg: bytes) -> types.ImageContent:
    """Return a JPEG as content."""
    return types.ImageContent(type="image", data=b64encode(jpeg).decode(), mime_type="image/jpeg")


def _with_line(block: types.ContentBlock, line: str) -> types.ContentBlock:
    assert isinstance(block, types.TextContent)  # noqa: S101  # as every result begins
    return block.model_copy(update={"text": f"{block.text}\n\n{line}"})

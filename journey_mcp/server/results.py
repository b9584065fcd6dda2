"""What tools return: an object, the same facts as text, and links to the pictures."""

from collections.abc import Sequence
from typing import Any

import mcp_types as types

from journey_mcp import rendering
from journey_mcp.tasks import Status, Task


def task_result(task: Task, *, now: float, with_paths: bool) -> types.CallToolResult:
    """What the tool that made a task returns of it."""
    plain = rendering.task_object(task, now=now, with_paths=with_paths)
    return result(plain, rendering.as_text(plain), [plain], is_error=task.status is Status.FAILED)


def result(
    plain: dict[str, Any], text: str, tasks: Sequence[dict[str, Any]], *, is_error: bool
) -> types.CallToolResult:
    """An object and its text as a tool's result, with a link for each picture of its tasks."""
    links = [
        types.ResourceLink(type="resource_link", uri=image["url"], name=image["id"], mime_type=image.get("mime_type"))
        for task in tasks
        for image in task.get("images", ())
    ]
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text), *links]
    return types.CallToolResult(content=content, structured_content=plain, is_error=is_error)

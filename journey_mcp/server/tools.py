"""The handlers of the three tools: arguments to request, the studio's work, and its rendering."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext

from journey_mcp.errors import InternalError, JourneyError, UnknownTask
from journey_mcp.images import ImageId
from journey_mcp.requests import Tool
from journey_mcp.server import arguments, render
from journey_mcp.server.specs import Defaults
from journey_mcp.studio import Studio
from journey_mcp.tasks import Status, Task
from journey_mcp.waiting import Report

Context = ServerRequestContext[Any, Any]
Given = dict[str, Any] | None

_log = logging.getLogger(__name__)


async def imagine(studio: Studio, defaults: Defaults, given: Given, report: Report) -> types.CallToolResult:
    """Make a picture from text."""
    return await _create(studio, defaults, "imagine", arguments.read(arguments.Imagine, "imagine", given), report)


async def edit_image(studio: Studio, defaults: Defaults, given: Given, report: Report) -> types.CallToolResult:
    """Change a picture."""
    return await _create(
        studio, defaults, "edit_image", arguments.read(arguments.EditImage, "edit_image", given), report
    )


async def fetch_task(studio: Studio, defaults: Defaults, given: Given, report: Report) -> types.CallToolResult:
    """Tell where tasks stand."""
    asked = arguments.read(arguments.FetchTask, "fetch_task", given)
    if asked.task_ids is None:
        newest = await studio.newest()
        return _listing([_told(studio, defaults, task) for task in newest])
    seconds = defaults.wait_s if asked.wait_s is None else asked.wait_s
    # a picture's id names its task as well; asked for twice, a task is told once
    ids = list(dict.fromkeys(image.task_id if (image := ImageId.parse(id_)) else id_ for id_ in asked.task_ids))
    found = await studio.fetch(ids, seconds=seconds, wait_for=asked.wait_for, report=report)
    return _listing([_entry(studio, defaults, id_, found.get(id_)) for id_ in ids], is_error=not found)


Handler = Callable[[Studio, Defaults, Given, Report], Awaitable[types.CallToolResult]]
HANDLERS: dict[str, Handler] = {"imagine": imagine, "edit_image": edit_image, "fetch_task": fetch_task}


async def call(tool: str, studio: Studio, defaults: Defaults, given: Given, ctx: Context) -> types.CallToolResult:
    """Run a tool's handler; what it raises becomes a tool error that the model can act on."""

    async def report(progress: float, message: str) -> None:
        await ctx.session.report_progress(progress, 1.0, message)

    try:
        return await HANDLERS[tool](studio, defaults, given, report)
    except JourneyError as error:
        return failed(tool, error)
    except Exception:  # noqa: BLE001  # the outermost boundary of a call
        report_id = secrets.token_hex(4)
        _log.exception("a tool failed in our own code (report %s)", report_id)
        return failed(tool, InternalError(f"journey-mcp failed; report id {report_id}."))


def failed(tool: str, error: JourneyError) -> types.CallToolResult:
    """A call that came to no task, in the tool's own shape."""
    plain = render.failed_object(error.failure, status=Status.FAILED.value)
    if tool == "fetch_task":
        return _listing([plain], is_error=True)
    return _result(plain, render.as_text(plain), [], is_error=True)


async def _create(
    studio: Studio, defaults: Defaults, tool: Tool, asked: arguments.Imagine, report: Report
) -> types.CallToolResult:
    request = arguments.image_request(tool, asked, defaults)
    task = await studio.create(request, files_allowed=defaults.takes_files)
    seconds = defaults.wait_s if asked.wait_s is None else asked.wait_s
    task = await studio.wait_for_new(task, seconds, report)
    plain = render.task_object(task, now=studio.now(), with_paths=defaults.takes_files)
    return _result(plain, render.as_text(plain), [plain], is_error=task.status is Status.FAILED)


def _told(studio: Studio, defaults: Defaults, task: Task) -> dict[str, Any]:
    return render.task_object(task, now=studio.now(), with_prompt=True, with_paths=defaults.takes_files)


def _entry(studio: Studio, defaults: Defaults, task_id: str, task: Task | None) -> dict[str, Any]:
    if task is not None:
        return _told(studio, defaults, task)
    failure = UnknownTask(
        f"There is no task {task_id[:80]!r}; tasks are kept {studio.settings.keep_days} days."
    ).failure
    return render.failed_object(failure, task_id=task_id)


def _listing(tasks: list[dict[str, Any]], *, is_error: bool = False) -> types.CallToolResult:
    return _result({"tasks": tasks}, render.listing_text(tasks), tasks, is_error=is_error)


def _result(plain: dict[str, Any], text: str, tasks: list[dict[str, Any]], *, is_error: bool) -> types.CallToolResult:
    links = [
        types.ResourceLink(type="resource_link", uri=image["url"], name=image["id"], mime_type=image.get("mime_type"))
        for task in tasks
        for image in task.get("images", ())
    ]
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text), *links]
    return types.CallToolResult(content=content, structured_content=plain, is_error=is_error)

"""The handlers of the three tools: arguments to request, the studio's work, and its rendering."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext

from journey_mcp.core.errors import InternalError, JourneyError, UnknownTask
from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.requests import Tool
from journey_mcp.core.tasks import Task
from journey_mcp.core.text import cleaned
from journey_mcp.engine.budget import Confirm
from journey_mcp.engine.waiting import Report
from journey_mcp.server import tool_results
from journey_mcp.server.elicitation import Asked, confirmer
from journey_mcp.server.extensions import tasks as tasks_extension
from journey_mcp.server.extensions.task_views import view
from journey_mcp.studio import Studio
from journey_mcp.studio.image_sources import Roots
from journey_mcp.tools import arguments, availability, results, shortening
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.arguments import ArgumentsT
from journey_mcp.tools.defaults import Defaults
from journey_mcp.tools.results import Rendered

Context = ServerRequestContext[Any, Any]
Given = dict[str, Any] | None
Result = types.CallToolResult | types.InputRequiredResult | dict[str, Any]
"""A plain one is that of an extension: a task."""
Made = types.CallToolResult | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called: how they hear of progress, how the person behind them is asked, and what they take for an answer."""

    report: Report
    confirm: Confirm | None
    roots: Roots | None
    """Asks for the folders in which the person works."""
    takes_tasks: bool
    """A call that makes pictures is answered with its task, at once."""


_LONGEST_UNKNOWN_ID = 40

_log = logging.getLogger(__name__)


async def imagine(studio: Studio, defaults: Defaults, given: Given, caller: Caller) -> Made:
    """Make a picture from text."""
    asked = _read(arguments.Imagine, "imagine", given, studio, defaults)
    return await _create(studio, defaults, "imagine", asked, caller)


async def edit_image(studio: Studio, defaults: Defaults, given: Given, caller: Caller) -> Made:
    """Change a picture."""
    asked = _read(arguments.EditImage, "edit_image", given, studio, defaults)
    return await _create(studio, defaults, "edit_image", asked, caller)


async def fetch_task(studio: Studio, defaults: Defaults, given: Given, caller: Caller) -> types.CallToolResult:
    """Tell where tasks stand."""
    asked = _read(arguments.FetchTask, "fetch_task", given, studio, defaults)
    if asked.task_ids is None:
        # a listing acknowledges nothing: a client that lost an answer lists, and then repeats its call
        newest = {task.id: task for task in await studio.newest()}
        entries = await _entries(studio, defaults, list(newest), newest)
        return _listing(shortening.fit_listing(entries), has_links=defaults.has_links)
    seconds = defaults.wait_s if asked.wait_s is None else asked.wait_s
    ids = _task_ids(asked.task_ids)
    found = await studio.fetch(ids, seconds=seconds, wait_for=asked.wait_for, report=caller.report)
    studio.delivered(list(found.values()))
    entries = await _entries(studio, defaults, ids, found)
    return _listing(_fitting(entries, asked.task_ids), has_links=defaults.has_links, is_error=not found)


async def cancel_task(studio: Studio, defaults: Defaults, given: Given, _caller: Caller) -> types.CallToolResult:
    """End tasks."""
    asked = _read(arguments.CancelTask, "cancel_task", given, studio, defaults)
    ids = _task_ids(asked.task_ids)
    ended = await studio.cancel(ids)
    told = {id_: replace(task, notices=(said, *task.notices)) for id_, (task, said) in ended.items()}
    entries = await _entries(studio, defaults, ids, told)
    return _listing(_fitting(entries, asked.task_ids), has_links=defaults.has_links, is_error=not told)


Handler = Callable[[Studio, Defaults, Given, Caller], Awaitable[Made]]
HANDLERS: dict[str, Handler] = {
    "imagine": imagine,
    "edit_image": edit_image,
    "fetch_task": fetch_task,
    "cancel_task": cancel_task,
}


async def call(params: types.CallToolRequestParams, studio: Studio, defaults: Defaults, ctx: Context) -> Result:
    """Run a tool's handler; what it raises becomes a tool error that the model can act on."""
    tool = params.name

    async def report(progress: float, message: str) -> None:
        await ctx.session.report_progress(progress, 1.0, message)

    client_roots = ctx.lifespan_context.client_roots
    roots = client_roots.of_call(ctx, params) if client_roots else None
    caller = Caller(report, confirmer(ctx, params), roots, tasks_extension.is_declared(ctx))
    try:
        return await HANDLERS[tool](studio, defaults, params.arguments, caller)
    except Asked as asked:
        return asked.result
    except JourneyError as error:
        return failed(tool, error)
    except Exception:  # noqa: BLE001  # the outermost boundary of a call
        report_id = secrets.token_hex(4)
        _log.exception("a tool failed in our own code (report %s)", report_id)
        return failed(tool, InternalError(f"journey-mcp failed; report id {report_id}."))


def failed(tool: str, error: JourneyError) -> types.CallToolResult:
    """A call that came to no task, in the tool's own shape."""
    shown = results.render(results.failed_object(error.failure, status=Status.FAILED.value))
    if tool in {"fetch_task", "cancel_task"}:
        return _listing([shown], is_error=True)
    return tool_results.result(shown, [], is_error=True)


def _read(kind: type[ArgumentsT], tool: str, given: Given, studio: Studio, defaults: Defaults) -> ArgumentsT:
    return arguments.parse(kind, tool, given, ToolContext(catalog=studio.catalog, defaults=defaults))


async def _create(studio: Studio, defaults: Defaults, tool: Tool, asked: arguments.Imagine, caller: Caller) -> Made:
    asked_at = studio.elapsed()
    request = arguments.image_request(tool, asked, defaults)
    created = await studio.create(
        request,
        files_allowed=defaults.takes_files,
        roots=caller.roots,
        fresh=asked.fresh,
        confirm=caller.confirm,
    )
    if caller.takes_tasks:
        return tasks_extension.created(await view(studio, defaults, created.task, created.notice))
    seconds = defaults.wait_s if asked.wait_s is None else asked.wait_s
    task = await studio.wait_for_new(created.task, seconds, caller.report)
    studio.delivered([task], asked_at=asked_at)
    if created.notice:
        task = replace(task, notices=(created.notice, *task.notices))
    return await tool_results.task_result(task, now=studio.now(), defaults=defaults)


def _task_ids(given: Sequence[str]) -> list[str]:
    """A picture's id names its task as well; named twice, a task is told once."""
    return list(dict.fromkeys(image.task_id if (image := ImageId.parse(id_)) else id_ for id_ in given))


async def _entries(
    studio: Studio, defaults: Defaults, ids: Sequence[str], found: Mapping[str, Task]
) -> list[dict[str, Any]]:
    """The objects of these tasks; of those that are not there, that they are not."""
    available = await availability.check_availability(list(found.values()))
    return [
        results.task_object(
            found[id_], now=studio.now(), with_prompt=True, with_paths=defaults.takes_files, available=available
        )
        if id_ in found
        else _unknown(studio, id_)
        for id_ in ids
    ]


def _unknown(studio: Studio, task_id: str) -> dict[str, Any]:
    failure = UnknownTask(
        f"There is no task {task_id[:80]!r}; tasks are kept {studio.settings.keep_days} days."
    ).failure
    return results.failed_object(failure, task_id=cleaned(task_id, _LONGEST_UNKNOWN_ID))


def _fitting(entries: list[dict[str, Any]], wanted: Sequence[str]) -> list[Rendered]:
    """Entries that were asked for by id: a single one may be longer."""
    return [shortening.fit_single(entries[0], wanted)] if len(entries) == 1 else shortening.fit_listing(entries, wanted)


def _listing(shown: list[Rendered], *, has_links: bool = False, is_error: bool = False) -> types.CallToolResult:
    tasks = [one.plain for one in shown]
    whole = Rendered({"tasks": tasks}, results.listing_text([one.text for one in shown]))
    return tool_results.result(whole, tasks if has_links else [], is_error=is_error)

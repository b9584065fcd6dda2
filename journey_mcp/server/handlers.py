"""The tool handlers: parse the arguments, call the studio, render the result."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext

from journey_mcp.core.errors import JourneyError, StoreUnavailable, UnknownTask
from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys
from journey_mcp.core.reports import internal_error
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.task_query import PAGE_SIZE
from journey_mcp.core.tasks import Task
from journey_mcp.core.text import cleaned
from journey_mcp.engine.budget import Confirm, InputRequired
from journey_mcp.engine.waiting import Report
from journey_mcp.registry import Catalog
from journey_mcp.server import tool_results, viewing
from journey_mcp.server.auth.identity import identity_of
from journey_mcp.server.elicitation import Elicited, make_confirm
from journey_mcp.server.extensions import apps
from journey_mcp.server.extensions import tasks as tasks_extension
from journey_mcp.server.extensions.task_views import view
from journey_mcp.server.finished_results import lasts_with
from journey_mcp.server.preview_hosts import takes_previews
from journey_mcp.studio import Studio
from journey_mcp.studio.image_sources import Roots
from journey_mcp.studio.keep import KeepRequest
from journey_mcp.tools import arguments, availability, listing, results, shortening
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.arguments import ArgumentsT
from journey_mcp.tools.defaults import Defaults
from journey_mcp.tools.results import Rendered
from journey_mcp.tools.tool_set import ToolSet

Context = ServerRequestContext[Any, Any]
RawArguments = dict[str, Any] | None
Result = types.CallToolResult | types.InputRequiredResult | dict[str, Any]
"""A plain object is the result of an extension: a task."""
CallResult = types.CallToolResult | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """What a client supports in one call: progress, confirmation, roots and tasks."""

    principal: Principal
    report: Report
    confirm: Confirm | None
    roots: Roots | None
    """Requests the folders in which the person works."""
    takes_tasks: bool
    """A call that creates images returns its task at once."""
    takes_previews: bool = False
    """Results with finished images end with a preview."""
    has_gallery: bool = False
    """The client shows the gallery."""
    is_gallery: bool = False
    """The page of the gallery calls: the person reads the result, and no model does."""
    providers: tuple[str, ...] | None = None
    """The only providers whose configured keys this principal may use."""
    keys: CallerKeys = NO_KEYS
    """Provider keys of the caller's own."""
    catalog: Catalog | None = None
    """What these offer; `None` for all that is configured."""


_MAX_UNKNOWN_ID = 40


async def imagine(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> CallResult:
    """Make an image from text."""
    parsed = _parse(arguments.Imagine, "imagine", raw, studio, defaults, caller)
    return await _create(studio, defaults, arguments.image_request("imagine", parsed, defaults), parsed, caller)


async def edit_image(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> CallResult:
    """Edit an image."""
    parsed = _parse(arguments.EditImage, "edit_image", raw, studio, defaults, caller)
    return await _create(studio, defaults, arguments.image_request("edit_image", parsed, defaults), parsed, caller)


async def refine_image(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> CallResult:
    """Run an action on an earlier image."""
    parsed = _parse(arguments.RefineImage, "refine_image", raw, studio, defaults, caller)
    return await _create(studio, defaults, arguments.refine_request(parsed), parsed, caller)


async def fetch_task(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> types.CallToolResult:
    """Return tasks, with a wait for running ones, or list the newest tasks."""
    parsed = _parse(arguments.FetchTask, "fetch_task", raw, studio, defaults, caller)
    if parsed.task_ids is None:
        return await _list_tasks(studio, defaults, parsed, caller)
    seconds = defaults.wait_s if parsed.wait_s is None else parsed.wait_s
    ids = _task_ids(parsed.task_ids)
    try:
        found = await studio.fetch(
            ids, caller.principal, seconds=seconds, wait_for=parsed.wait_for, report=caller.report
        )
    except StoreUnavailable as error:
        return _unread("fetch_task", ids, error)
    in_order = [found[id_] for id_ in ids if id_ in found]
    previewed = [task for task in in_order if caller.takes_previews and studio.previews.is_due(task)]
    studio.acknowledge(list(found.values()))
    found, preview = await viewing.completed(found, studio, previewed)
    entries = await _task_objects(studio, defaults, ids, found)
    listing = _listing(_fit(entries, parsed.task_ids), has_links=defaults.has_links, is_error=not found)
    if len(found) == len(ids) == 1 and not (caller.takes_previews or caller.has_gallery):
        lasts_with(found[ids[0]])
    result = viewing.with_preview(listing, preview, previewed)
    return _for_caller(result, list(found.values()), studio, defaults, caller)


async def _list_tasks(
    studio: Studio, defaults: Defaults, parsed: arguments.FetchTask, caller: Caller
) -> types.CallToolResult:
    """List tasks. This acknowledges nothing: a client that lost a result lists tasks, and then repeats its call."""
    query = arguments.task_query(parsed, limit=PAGE_SIZE + 1)
    found = await studio.newest(caller.principal, query)
    shown = {task.id: task for task in found[:PAGE_SIZE]}
    whole = listing.render(
        await _task_objects(studio, defaults, list(shown), shown),
        query,
        has_older=len(found) > PAGE_SIZE,
        spent=await studio.spent(caller.principal) if query.before is None else None,
        keep_days=defaults.keep_days,
        credit_prices=defaults.credit_prices,
    )
    result = tool_results.result(whole, whole.plain["tasks"] if defaults.has_links else [], is_error=False)
    return _for_caller(result, list(shown.values()), studio, defaults, caller)


async def cancel_task(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> types.CallToolResult:
    """Cancel tasks."""
    parsed = _parse(arguments.CancelTask, "cancel_task", raw, studio, defaults, caller)
    ids = _task_ids(parsed.task_ids)
    try:
        canceled = await studio.cancel(ids, caller.principal)
    except StoreUnavailable as error:
        return _unread("cancel_task", ids, error)
    found = {id_: replace(task, notices=(said, *task.notices)) for id_, (task, said) in canceled.items()}
    entries = await _task_objects(studio, defaults, ids, found)
    return _listing(_fit(entries, parsed.task_ids), has_links=defaults.has_links, is_error=not found)


async def view_image(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> types.CallToolResult:
    """Show finished images."""
    parsed = _parse(arguments.ViewImage, "view_image", raw, studio, defaults, caller)
    return await viewing.view_image(studio, parsed, caller.principal)


async def keep_image(studio: Studio, defaults: Defaults, raw: RawArguments, caller: Caller) -> types.CallToolResult:
    """Keep an image of the person, or a mask."""
    parsed = _parse(arguments.KeepImage, "keep_image", raw, studio, defaults, caller)
    kept = await studio.keep_image(KeepRequest(data=parsed.data, mask_of=parsed.mask_of), caller.principal)
    shown = results.kept_object(kept.id, width=kept.width, height=kept.height, mime_type=kept.mime_type)
    return tool_results.result(shown, [], is_error=False)


Handler = Callable[[Studio, Defaults, RawArguments, Caller], Awaitable[CallResult]]
HANDLERS: dict[str, Handler] = {
    "imagine": imagine,
    "edit_image": edit_image,
    "refine_image": refine_image,
    "fetch_task": fetch_task,
    "cancel_task": cancel_task,
    "view_image": view_image,
    "keep_image": keep_image,
}


async def call(params: types.CallToolRequestParams, studio: Studio, tool_set: ToolSet, ctx: Context) -> Result:
    """Run a tool's handler for an MCP client."""

    async def report(progress: float, message: str) -> None:
        await ctx.session.report_progress(progress, 1.0, message)

    identity = identity_of(ctx)
    client_roots = ctx.lifespan_context.client_roots
    roots = client_roots.for_call(ctx, params) if client_roots else None
    caller = Caller(
        identity.principal,
        report,
        make_confirm(ctx, params),
        roots,
        tasks_extension.is_declared(ctx),
        takes_previews(ctx, studio.settings.preview),
        apps.is_declared(ctx) or apps.is_wanted(params),
        apps.is_wanted(params),
        identity.providers,
        identity.keys,
        tool_set.catalog,
    )
    try:
        return await run(params.name, params.arguments, studio, tool_set.defaults, caller)
    except Elicited as elicited:
        return elicited.result


async def run(tool: str, raw: RawArguments, studio: Studio, defaults: Defaults, caller: Caller) -> CallResult:
    """Run a tool's handler; an error becomes a tool error that the model can act on.

    Raises:
        InputRequired: the caller's `confirm` needs an answer first.
    """
    try:
        return await HANDLERS[tool](studio, defaults, raw, caller)
    except InputRequired:
        raise
    except JourneyError as error:
        return error_result(tool, error, for_person=caller.is_gallery)
    except Exception as error:  # noqa: BLE001  # the outermost boundary of a call
        return error_result(tool, internal_error("a tool failed unexpectedly", error))


def error_result(tool: str, error: JourneyError, *, for_person: bool = False) -> types.CallToolResult:
    """Return the result of a call that fails before a task exists, in the shape of its tool.

    `for_person`: the next step is in the words for the person, and not in those for a model.
    """
    if tool == "view_image":
        return viewing.error_result(error)
    failure = error.failure.for_person() if for_person else error.failure
    shown = results.render(results.failed_object(failure, status=Status.FAILED.value))
    if tool in {"fetch_task", "cancel_task"}:
        return _listing([shown], is_error=True)
    return tool_results.result(shown, [], is_error=True)


def _parse(
    kind: type[ArgumentsT], tool: str, raw: RawArguments, studio: Studio, defaults: Defaults, caller: Caller
) -> ArgumentsT:
    context = ToolContext(catalog=caller.catalog or studio.catalog, defaults=defaults)
    return arguments.parse(kind, tool, raw, context)


async def _create(
    studio: Studio,
    defaults: Defaults,
    request: ImageRequest,
    parsed: arguments.Imagine | arguments.RefineImage,
    caller: Caller,
) -> CallResult:
    called_at = studio.elapsed()
    created = await studio.create(
        request,
        caller.principal,
        files_allowed=defaults.takes_files,
        roots=caller.roots,
        fresh=parsed.fresh,
        confirm=caller.confirm,
        providers=caller.providers,
        keys=caller.keys,
    )
    if caller.takes_previews:
        studio.previews.expect(created.task)
    if caller.takes_tasks:
        return tasks_extension.created(view(studio, created.task, created.notice))
    seconds = defaults.wait_s if parsed.wait_s is None else parsed.wait_s
    task = await studio.wait_for_new(created.task, seconds, caller.report)
    # over HTTP the client repeats a call whose connection broke
    studio.acknowledge([task], asked_at=called_at, may_be_lost=not defaults.takes_files)
    if created.notice:
        task = replace(task, notices=(created.notice, *task.notices))
    result = await viewing.task_result(task, studio, defaults, has_preview=caller.takes_previews)
    return _for_caller(result, [task], studio, defaults, caller)


def _for_caller(
    result: types.CallToolResult, tasks: Sequence[Task], studio: Studio, defaults: Defaults, caller: Caller
) -> types.CallToolResult:
    if not caller.has_gallery:
        return result
    return tool_results.for_gallery(result, tasks, studio, defaults, caller.catalog)


def _task_ids(raw: Sequence[str]) -> list[str]:
    """Return the ids of tasks, each once; an image id stands for its task."""
    return list(dict.fromkeys(image.task_id if (image := ImageId.parse(id_)) else id_ for id_ in raw))


async def _task_objects(
    studio: Studio, defaults: Defaults, ids: Sequence[str], found: Mapping[str, Task]
) -> list[dict[str, Any]]:
    """Return the objects of these tasks, and an error for each unknown id."""
    available = await availability.check_availability(list(found.values()))
    return [
        results.task_object(
            found[id_],
            now=studio.now(),
            with_prompt=True,
            with_paths=defaults.takes_files,
            credit_prices=defaults.credit_prices,
            available=available,
            can_edit=defaults.can_edit,
        )
        if id_ in found
        else _unknown(studio, id_)
        for id_ in ids
    ]


def _unread(tool: str, ids: Sequence[str], error: StoreUnavailable) -> types.CallToolResult:
    """Return a result without a status: a task that cannot be read now has not failed."""
    step = error.failure.advice
    more = f" {step}" if step not in (None, StoreUnavailable.next_step) else ""
    failure = replace(
        error.failure.advising(f"Call {tool} again with the same task_ids in a moment.{more}"),
        message=f"The task cannot be read now. It goes on, and nothing is lost. {error}",
    )
    entries = [results.failed_object(failure, task_id=cleaned(id_, _MAX_UNKNOWN_ID)) for id_ in ids]
    return _listing(_fit(entries, ids), is_error=True)


def _unknown(studio: Studio, task_id: str) -> dict[str, Any]:
    failure = UnknownTask(
        f"There is no task {task_id[:80]!r}; tasks are kept {studio.settings.keep_days} days."
    ).failure
    return results.failed_object(failure, task_id=cleaned(task_id, _MAX_UNKNOWN_ID))


def _fit(entries: list[dict[str, Any]], wanted: Sequence[str]) -> list[Rendered]:
    """Shorten entries that were requested by id; a single one may be longer."""
    return [shortening.fit_single(entries[0], wanted)] if len(entries) == 1 else shortening.fit_listing(entries, wanted)


def _listing(shown: list[Rendered], *, has_links: bool = False, is_error: bool = False) -> types.CallToolResult:
    tasks = [one.plain for one in shown]
    whole = Rendered({"tasks": tasks}, results.listing_text([one.text for one in shown]))
    return tool_results.result(whole, tasks if has_links else [], is_error=is_error)

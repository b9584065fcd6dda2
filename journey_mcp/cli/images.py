"""`imagine`, `edit`, `fetch` and `cancel`: they wait for tasks and save images as files."""

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from journey_mcp.cli import console, export
from journey_mcp.cli.event_loop import run
from journey_mcp.cli.phrasing import for_people, to_person
from journey_mcp.core.errors import InvalidArguments, JourneyError, UnknownTask
from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest, Tool
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.engine.budget import Confirm, ConfirmationRequest
from journey_mcp.registry import Catalog
from journey_mcp.routing.actions import with_resolved_action
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.studio import Studio, open_studio
from journey_mcp.tools import argument_values, arguments, availability, results
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.tool_set import read_tool_set

_MAX_TASKS = 20
_GRID_SIZE = 4
_COPIED_WITHIN_S = 10.0
"""How long the result is held back to say where its images are stored; the command waits for that anyway."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What to do with the result."""

    output: Path | None
    force: bool
    wait_s: float | None
    """`None`: until it is finished."""
    as_json: bool
    fresh: bool = False
    """Make a new task even if an identical request is running."""

    @property
    def seconds(self) -> float:
        """The longest time to wait."""
        return math.inf if self.wait_s is None else self.wait_s


@dataclass(kw_only=True)
class _Unfinished:
    """The tasks that continue if Ctrl-C ends the command; filled while it runs."""

    output_options: OutputOptions
    tasks: list[Task] = field(default_factory=list)


_Work = Callable[[_Unfinished], Awaitable[int]]


def create(tool: Tool, given: dict[str, Any], output_options: OutputOptions) -> int:
    """Make or edit an image; return the exit code.

    Raises:
        JourneyError: no task exists.
    """
    settings = ready_settings()
    tool_set = read_tool_set(settings)
    request = _request(tool, given, ToolContext(catalog=tool_set.catalog, defaults=tool_set.defaults))
    return _run(partial(_create, settings, request, output_options), output_options)


def _request(tool: Tool, given: dict[str, Any], context: ToolContext) -> ImageRequest:
    if tool == "refine_image":
        return arguments.refine_request(arguments.parse(arguments.RefineImage, tool, given, context))
    form = arguments.EditImage if tool == "edit_image" else arguments.Imagine
    return arguments.image_request(tool, arguments.parse(form, tool, given, context), context.defaults)


def fetch(task_ids: Sequence[str], output_options: OutputOptions) -> int:
    """Wait for tasks, show them, and save the images of a single one; return the exit code.

    Raises:
        JourneyError: none of the tasks is known, or the options are invalid.
    """
    ids = _ids(task_ids)
    if len(ids) > _MAX_TASKS:
        raise InvalidArguments(f"fetch takes at most {_MAX_TASKS} tasks at once; {len(ids)} were given.")
    if output_options.output is not None and len(ids) != 1:
        raise InvalidArguments(f"-o saves the images of one task; {len(ids)} were given.")
    return _run(partial(_fetch, ready_settings(), ids, output_options), output_options)


def cancel(task_ids: Sequence[str], *, as_json: bool) -> int:
    """Cancel tasks, and show the result for each; return the exit code.

    Raises:
        JourneyError: none of the tasks is known.
    """
    output_options = OutputOptions(output=None, force=False, wait_s=0, as_json=as_json)
    return _run(partial(_cancel, ready_settings(), _ids(task_ids), output_options), output_options)


def _ids(texts: Sequence[str]) -> list[str]:
    """Return the named tasks, each once; a text may name several, or an image of one."""
    named = argument_values.parse_task_ids(list(texts))
    return list(dict.fromkeys(image.task_id if (image := ImageId.parse(id_)) else id_ for id_ in named))


async def _cancel(settings: Settings, ids: list[str], output_options: OutputOptions, _unfinished: _Unfinished) -> int:
    async with open_studio(settings) as studio:
        ended = await studio.cancel(ids, LOCAL)
        if not ended:
            raise _unknown(ids[0], studio)
        tasks = {id_: replace(task, notices=(notice, *task.notices)) for id_, (task, notice) in ended.items()}
        return await _list(studio, ids, tasks, output_options)


def _run(work: _Work, output_options: OutputOptions) -> int:
    """Run the command. Ctrl-C ends the waiting, not the tasks: the command that resumes it is printed."""
    unfinished = _Unfinished(output_options=output_options)
    try:
        return run(work, unfinished)
    except KeyboardInterrupt:
        for line in _interruption_notes(unfinished):
            console.info(line)
        return console.INTERRUPTED


async def _create(
    settings: Settings, request: ImageRequest, output_options: OutputOptions, unfinished: _Unfinished
) -> int:
    async with open_studio(settings) as studio:
        if output_options.output is not None:
            export.check_writable(
                _possible_files(output_options.output, request, studio.catalog), replace=output_options.force
            )
        created = await studio.create(
            request, LOCAL, fresh=output_options.fresh, confirm=Confirm(_ask) if sys.stdin.isatty() else None
        )
        task = created.task
        if created.notice:
            console.info(to_person(str(created.notice)))
        unfinished.tasks = [task]
        console.info(f"Task {task.id}: {task.request.label} at {task.provider}.")
        try:
            with console.progress(f"{task.request.label}: sent") as report:
                task = await studio.wait_for_new(task, output_options.seconds, report)
        except anyio.get_cancelled_exc_class():
            unfinished.tasks = [await _latest(studio, task)]
            raise
        unfinished.tasks = [task]
        studio.acknowledge([task])
        task = (await studio.wait_for_copies({task.id: task}, _COPIED_WITHIN_S))[task.id]
        return await _conclude(studio, task, output_options)


async def _ask(question: ConfirmationRequest) -> bool:
    return await console.ask(f"Make an image with {question}? This exceeds {question.limit}.")


def _possible_files(output: Path, request: ImageRequest, catalog: Catalog) -> list[Path]:
    """Return the files that may be written, because it is not known yet which offer runs the request."""
    forms = {offer.result for offer in catalog.offers.get(request.model, ())}
    if request.action is not None:
        action, _ = with_resolved_action(request, catalog)
        forms = {one.result for one in catalog.actions[action.kind]}
    single = export.targets(output, 1) if forms != {"grid"} else []
    return single + (export.targets(output, _GRID_SIZE) if "grid" in forms else [])


async def _fetch(settings: Settings, ids: list[str], output_options: OutputOptions, unfinished: _Unfinished) -> int:
    async with open_studio(settings) as studio:
        known = await studio.fetch(ids, LOCAL)
        if not known:
            raise _unknown(ids[0], studio)
        if output_options.output is not None:
            export.check_writable(
                export.targets(output_options.output, max(1, len(known[ids[0]].images))), replace=output_options.force
            )
        for task in known.values():
            if reason := studio.elsewhere(task):
                console.info(f"{task.id} is not polled: {reason}")
        unfinished.tasks = list(known.values())
        if any(not task.status.is_final for task in unfinished.tasks):
            with console.progress(f"{len(known)} task(s)") as report:
                known |= await studio.fetch(list(known), LOCAL, seconds=output_options.seconds, report=report)
            unfinished.tasks = list(known.values())
        studio.acknowledge(unfinished.tasks)
        known = await studio.wait_for_copies(known, _COPIED_WITHIN_S)
        if output_options.output is not None:
            return await _conclude(studio, known[ids[0]], output_options, as_list=True)
        return await _list(studio, ids, known, output_options)


async def _list(studio: Studio, ids: list[str], known: dict[str, Task], output_options: OutputOptions) -> int:
    """Show tasks without saving anything."""
    available = await availability.check_availability(list(known.values()))
    plain = [
        results.task_object(known[id_], now=studio.now(), with_prompt=True, available=available)
        if id_ in known
        else results.failed_object(_unknown(id_, studio).failure, task_id=id_)
        for id_ in ids
    ]
    if output_options.as_json:
        console.result_json({"tasks": plain})
    else:
        console.result(
            results.listing_text([results.as_text(_for_people(one, known.get(one["task_id"]))) for one in plain])
        )
    has_failed = len(known) < len(ids) or any(_has_failed(task) for task in known.values())
    return console.FAILED if has_failed else console.OK


async def _conclude(studio: Studio, task: Task, output_options: OutputOptions, *, as_list: bool = False) -> int:
    """Show one task and save its images; return the exit code."""
    available = await availability.check_availability([task])
    plain = results.task_object(task, now=studio.now(), with_prompt=as_list, available=available)
    if output_options.as_json:
        console.result_json({"tasks": [plain]} if as_list else plain)
    else:
        text = results.as_text(_for_people(plain, task))
        # a failure is not a result: keep it out of files and pipes
        (console.info if _has_failed(task) else console.result)(text)
    if _has_failed(task):
        return console.FAILED
    if task.submission is Submission.SENT:
        console.info("Waiting for the provider's answer, which would be lost otherwise. Ctrl-C exits anyway.")
    if task.submission is Submission.PREPARED and not as_list:
        console.info(
            "The task is still queued and ends with this command: nothing was sent or charged. Use a longer --wait."
        )
    if output_options.output is None:
        if task.provider == SANDBOX:
            console.info(
                "The sandbox and its links end with this command. Save the images with -o, "
                "or keep a sandbox running with `journey-mcp sandbox --port 8787`."
            )
        return console.OK
    if not task.status.is_final:
        command = _resume_command([task], replace(output_options, wait_s=None))
        console.info(f"Nothing is saved yet. To wait for the task: {command}")
        return console.FAILED
    return await _save(studio, task, output_options.output, output_options)


async def _save(studio: Studio, task: Task, output: Path, output_options: OutputOptions) -> int:
    """Save all images of a task, even if one of them cannot be saved; return the exit code."""
    count = 0
    # with --json, stdout contains only the object
    write = console.info if output_options.as_json else console.result
    paths = export.targets(output, len(task.images))
    safe_http = studio.safe_http.with_trusted(task.base_url)
    if len(paths) > 1:
        console.info(f"{len(paths)} images: {paths[0].name} to {paths[-1].name}.")
    for number, (path, image) in enumerate(zip(paths, task.images, strict=True), start=1):
        try:
            copy = await studio.read_copy(ImageId(task.id, number), image)
            saved = await export.save(image, path, safe_http, copy=copy, replace=output_options.force)
        except JourneyError as error:
            console.error(error)
            continue
        count += 1
        write(f"Saved {saved.path}")
        if saved.is_misnamed:
            console.info(f"{saved.path.name} contains a {saved.format.upper()} image, despite its name.")
    if count == len(paths):
        return console.OK
    again = replace(output_options, force=output_options.force or count > 0)  # the saved ones exist by now
    console.info(f"To try again: {_resume_command([task], again)}")
    return console.FAILED


async def _latest(studio: Studio, task: Task) -> Task:
    """Return the latest state of the task, for a command that is being interrupted."""
    known: dict[str, Task] = {}
    with anyio.CancelScope(shield=True):
        known = await studio.fetch([task.id], LOCAL)
    return known.get(task.id, task)


def _interruption_notes(unfinished: _Unfinished) -> list[str]:
    """Return what to print after Ctrl-C."""
    tasks = unfinished.tasks
    running = [task for task in tasks if not task.status.is_final]
    if not tasks:
        return ["Stopped; nothing was sent."]
    if all(task.provider == SANDBOX for task in running) and running:
        return ["Stopped, and the sandbox with it; nothing was charged."]
    lines = [
        f"{task.id} was still queued: nothing was sent or charged."
        if task.submission is Submission.PREPARED
        else f"{task.provider} had not confirmed {task.id}: it may still be charged."
        for task in running
        if task.submission is not Submission.ACCEPTED
    ]
    return [f"Stopped waiting. To resume: {_resume_command(tasks, unfinished.output_options)}", *lines]


def _resume_command(tasks: Sequence[Task], output_options: OutputOptions) -> str:
    """Return the command that waits for these tasks, with the same options."""
    words = ["journey-mcp", "fetch", *(task.id for task in tasks)]
    if output_options.wait_s is not None:
        words += ["--wait", f"{output_options.wait_s:g}"]
    if output_options.output is not None:
        words += ["-o", str(output_options.output)]
    words += ["--force"] * output_options.force + ["--json"] * output_options.as_json
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _for_people(plain: dict[str, Any], task: Task | None) -> dict[str, Any]:
    """Return a task's object with its texts phrased for the command line."""
    shown = {**plain, "next_step": _next_step(task, plain) or for_people(plain.get("next_step", ""))}
    if "notices" in plain:
        shown["notices"] = [to_person(notice) for notice in plain["notices"]]
    if "error" in plain:
        shown["error"] = {**plain["error"], "message": to_person(plain["error"]["message"])}
    return shown


def _next_step(task: Task | None, plain: dict[str, Any]) -> str | None:
    """Return the next step for the command line; `None` if the tool's own can be rephrased."""
    if task is None:
        return "`journey-mcp tasks` lists the newest."
    if task.provider == SANDBOX:
        return "`journey-mcp sandbox --port 8787` keeps a sandbox running between commands."
    if not task.status.is_final:
        return f"`journey-mcp fetch {task.id}` waits for it. Repeating the same command joins it."
    usable = [image["id"] for image in plain.get("images", ()) if "url" in image or "path" in image]
    if task.status is Status.SUCCEEDED and usable:
        return f'`journey-mcp edit {usable[:2][-1]} "…"` edits an image.'
    return None


def _unknown(task_id: str, studio: Studio) -> UnknownTask:
    return UnknownTask(
        f"There is no task {task_id[:80]!r}; tasks are kept {studio.settings.keep_days} days.",
        next_step="`journey-mcp tasks` lists the newest.",
    )


def _has_failed(task: Task) -> bool:
    return task.status in {Status.FAILED, Status.CANCELED}

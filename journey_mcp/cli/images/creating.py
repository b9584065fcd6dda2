"""`imagine`, `edit` and `refine`: they create a task, wait for it and save its images as files."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio

from journey_mcp.cli import phrasing
from journey_mcp.cli.images import output_files, several, task_results
from journey_mcp.cli.images.batch import Line, read_lines
from journey_mcp.cli.images.confirming import ask_about_one
from journey_mcp.cli.images.fetching import COPIED_WITHIN_S
from journey_mcp.cli.images.interruption import Unfinished, latest, run_interruptible
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.images.runs import at_place
from journey_mcp.cli.images.several import RunArguments
from journey_mcp.cli.terminal import console, previews
from journey_mcp.core.errors import InvalidArguments, JourneyError
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest, Tool
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.studio import open_studio
from journey_mcp.tools import arguments
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.tool_set import read_tool_set


def create(
    tool: Tool, given: dict[str, Any], output_options: OutputOptions, run_arguments: RunArguments | None = None
) -> int:
    """Make or edit an image, or several; return the exit code.

    Raises:
        JourneyError: no task exists.
    """
    settings = ready_settings()
    tool_set = read_tool_set(settings)
    context = ToolContext(catalog=tool_set.catalog, defaults=tool_set.defaults)
    if run_arguments is None or not run_arguments.is_several:
        if run_arguments and run_arguments.run_id is not None:
            raise InvalidArguments(
                f"--run {run_arguments.run_id[:80]} goes on with a run of -n or --batch, and neither is given.",
                next_step="Repeat the command that the run printed when it started. Nothing was sent.",
            )
        request = request_of(tool, given, context)
        return run_interruptible(partial(_create, settings, request, output_options), output_options)
    return several.create(settings, _entries(tool, given, context, run_arguments), run_arguments, output_options)


def _entries(
    tool: Tool, given: dict[str, Any], context: ToolContext, run_arguments: RunArguments
) -> list[several.Entry]:
    """Return the requests of `-n` and `--batch`; every one is valid as far as its arguments say."""
    count = run_arguments.count
    if run_arguments.batch is None:
        request = request_of(tool, given, context)
        return [several.Entry(request=request, number=number) for number in range(1, count + 1)]
    lines = read_lines(run_arguments.batch, _form(tool), given)
    entries = [
        several.Entry(request=_request_of_line(tool, line, context), number=line.number, place=line.place)
        for line in lines
    ]
    return [entry for entry in entries for _ in range(count)]


def _request_of_line(tool: Tool, line: Line, context: ToolContext) -> ImageRequest:
    try:
        return request_of(tool, line.arguments, context)
    except JourneyError as error:
        raise at_place(line.place, error) from error


def request_of(tool: Tool, given: Mapping[str, Any], context: ToolContext) -> ImageRequest:
    """Return the request that the arguments of a command describe.

    Raises:
        InvalidArguments: one of them is wrong, or the prompt is missing.
    """
    if tool == "refine_image":
        return arguments.refine_request(arguments.parse(arguments.RefineImage, tool, given, context))
    if tool == "edit_image" and given.get("image") is None:
        raise InvalidArguments(
            "The image to edit is missing.",
            next_step="Give it before the prompt: an id, a URL or a file. Nothing was sent and nothing was charged.",
        )
    if given.get("prompt") is None and not context.takes_no_prompt(given["model"]):
        raise InvalidArguments(
            "The prompt is missing.",
            next_step="Give it as words, through a pipe, or with --file PATH. "
            "Nothing was sent and nothing was charged.",
        )
    return arguments.image_request(tool, arguments.parse(_form(tool), tool, given, context), context.defaults)


def _form(tool: Tool) -> type[arguments.Imagine]:
    return arguments.EditImage if tool == "edit_image" else arguments.Imagine


async def _create(
    settings: Settings, request: ImageRequest, output_options: OutputOptions, unfinished: Unfinished
) -> int:
    saving = output_files.saving_of(output_options)
    async with open_studio(settings) as studio:
        if saving:
            output_files.check_new(saving, request, studio.catalog, now=studio.now())
        created = await studio.create(request, LOCAL, fresh=output_options.fresh, confirm=ask_about_one())
        task = created.task
        if created.notice:
            console.info(phrasing.with_flags(str(created.notice)))
        unfinished.tasks = [task]
        if output_options.has_preview:
            previews.prepare(studio, task)
        console.info(f"Task {task.id}: {task.request.label} at {task.provider}.")
        try:
            with console.progress(f"{task.request.label}: sent") as report:
                task = await studio.wait_for_new(task, output_options.seconds, report)
        except anyio.get_cancelled_exc_class():
            unfinished.tasks = await latest(studio, [task])
            raise
        unfinished.tasks = [task]
        studio.acknowledge([task])
        task = (await studio.wait_for_copies({task.id: task}, COPIED_WITHIN_S))[task.id]
        return await task_results.conclude(studio, task, output_options, saving)

"""Tasks as the command line shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from journey_mcp.cli import console, output_files
from journey_mcp.cli.interruption import resume_command
from journey_mcp.cli.output_options import OutputOptions
from journey_mcp.cli.phrasing import for_people, to_person
from journey_mcp.core.errors import UnknownTask
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.studio import Studio
from journey_mcp.tools import availability, results


async def show_list(
    studio: Studio, ids: Sequence[str], known: Mapping[str, Task], output_options: OutputOptions
) -> int:
    """Show tasks without saving anything; return the exit code."""
    available = await availability.check_availability(list(known.values()))
    plain = [
        results.task_object(known[id_], now=studio.now(), with_prompt=True, available=available)
        if id_ in known
        else results.failed_object(unknown_task(id_, studio).failure, task_id=id_)
        for id_ in ids
    ]
    if output_options.as_json:
        console.result_json({"tasks": plain})
    else:
        console.result(
            results.listing_text([results.as_text(_for_people(one, known.get(one["task_id"]))) for one in plain])
        )
    is_incomplete = len(known) < len(ids) or any(has_failed(task) for task in known.values())
    return console.FAILED if is_incomplete else console.OK


async def conclude(studio: Studio, task: Task, output_options: OutputOptions, *, as_list: bool = False) -> int:
    """Show one task and save its images; return the exit code."""
    available = await availability.check_availability([task])
    plain = results.task_object(task, now=studio.now(), with_prompt=as_list, available=available)
    if output_options.as_json:
        console.result_json({"tasks": [plain]} if as_list else plain)
    else:
        text = results.as_text(_for_people(plain, task))
        # a failure is not a result: keep it out of files and pipes
        (console.info if has_failed(task) else console.result)(text)
    if has_failed(task):
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
        command = resume_command([task], replace(output_options, wait_s=None))
        console.info(f"Nothing is saved yet. To wait for the task: {command}")
        return console.FAILED
    return await output_files.save(studio, task, output_options.output, output_options)


def unknown_task(task_id: str, studio: Studio) -> UnknownTask:
    """Return the error for an id that no task has."""
    return UnknownTask(
        f"There is no task {task_id[:80]!r}; tasks are kept {studio.settings.keep_days} days.",
        next_step="`journey-mcp tasks` lists the newest.",
    )


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


def has_failed(task: Task) -> bool:
    """Return whether the task ended without a result."""
    return task.status in {Status.FAILED, Status.CANCELED}

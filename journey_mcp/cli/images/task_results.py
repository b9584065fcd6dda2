"""Tasks as the command line shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from journey_mcp.cli.images import output_files, task_texts
from journey_mcp.cli.images.interruption import resume_command
from journey_mcp.cli.images.output_files import Saved, Saving
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.terminal import console, opening, previews
from journey_mcp.core.errors import UnknownTask
from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.studio import Studio
from journey_mcp.tools import availability, results


async def show_list(
    studio: Studio, ids: Sequence[str], known: Mapping[str, Task], output_options: OutputOptions
) -> int:
    """Show tasks, without saving anything; return the exit code."""
    await _show(studio, ids, known, output_options, Saved())
    open_images(list(known.values()), Saved(), output_options)
    return _exit_code(ids, known)


async def save_and_show_list(
    studio: Studio, ids: Sequence[str], known: Mapping[str, Task], output_options: OutputOptions, saving: Saving
) -> int:
    """Show tasks and save their images, numbered over all of them; return the exit code."""
    tasks = [known[id_] for id_ in ids if id_ in known]
    if output_options.as_json:
        saved = await _saved(studio, tasks, saving, output_options)
        await _show(studio, ids, known, output_options, saved)
    else:
        await _show(studio, ids, known, output_options, Saved())
        saved = await _saved(studio, tasks, saving, output_options)
    open_images(tasks, saved, output_options)
    unsaved = _report_unsaved(tasks, saved, output_options)
    return _exit_code(ids, known) or unsaved


async def conclude(studio: Studio, task: Task, output_options: OutputOptions, saving: Saving | None) -> int:
    """Show one new task and save its images; return the exit code."""
    if output_options.as_json:
        saved = await _saved(studio, [task], saving, output_options)
        console.result_json(await _plain(studio, task, saved))
    else:
        if output_options.has_preview:
            await previews.show(studio, [task])
        text = results.as_text(await _plain(studio, task, Saved()))
        # a failure is not a result: keep it out of files and pipes
        (console.problem if has_failed(task) else console.result)(text)
        saved = await _saved(studio, [task], saving, output_options)
    open_images([task], saved, output_options)
    if has_failed(task):
        return console.FAILED
    _explain_unfinished(task)
    if saving is None:
        if task.provider == SANDBOX:
            explain_sandbox()
        return console.OK
    return _report_unsaved([task], saved, output_options)


async def _show(
    studio: Studio, ids: Sequence[str], known: Mapping[str, Task], output_options: OutputOptions, saved: Saved
) -> None:
    available = await availability.check_availability(list(known.values()))
    shown = [
        plain_task(studio, known[id_], saved, available)
        if id_ in known
        else task_texts.for_people(results.failed_object(unknown_task(id_, studio).failure, task_id=id_), None)
        for id_ in ids
    ]
    if output_options.has_preview:
        await previews.show(studio, list(known.values()))
    if output_options.as_json:
        console.result_json({"tasks": shown}, rows="tasks")
    else:
        console.result(results.listing_text([results.as_text(one) for one in shown]))


async def _plain(studio: Studio, task: Task, saved: Saved) -> dict[str, Any]:
    available = await availability.check_availability([task])
    return plain_task(studio, task, saved, available, with_prompt=False)


def plain_task(
    studio: Studio, task: Task, saved: Saved, available: availability.Availability, *, with_prompt: bool = True
) -> dict[str, Any]:
    """Return a task's object, phrased for the command line, with the files that this command wrote."""
    plain = results.task_object(
        task,
        now=studio.now(),
        with_prompt=with_prompt,
        credit_prices=studio.settings.credit_price,
        available=available,
    )
    return _with_files(task_texts.for_people(plain, task), saved)


def _with_files(plain: dict[str, Any], saved: Saved) -> dict[str, Any]:
    """Return a task's object with the files that this command wrote."""
    if not saved.files:
        return plain
    images = [
        {**image, "saved_to": str(path)} if (path := saved.files.get(image["id"])) else image
        for image in plain.get("images", ())
    ]
    return {**plain, "images": images} if images else plain


async def _saved(studio: Studio, tasks: Sequence[Task], saving: Saving | None, output_options: OutputOptions) -> Saved:
    """Save the images of the finished tasks, and say where."""
    if saving is None:
        return Saved()
    # with room for those of unfinished tasks: later, the same images get the same numbers
    counts, saved = [output_files.image_count(task, studio.catalog) for task in tasks], Saved()
    # with --json, stdout contains only the object
    write = console.info if output_options.as_json else console.result
    for index, task in enumerate(tasks):
        if task.status.is_final:
            first = sum(counts[:index]) + 1
            saved = saved.joined(await output_files.save(studio, task, saving, write, first=first, total=sum(counts)))
    return saved


def open_images(tasks: Sequence[Task], saved: Saved, output_options: OutputOptions) -> None:
    """Open the saved files, and the copies of images that are not saved, if the person wants that."""
    images = {str(ImageId(task.id, n)): image for task in tasks for n, image in enumerate(task.images, start=1)}
    if output_options.opens and images:
        files = [saved.files.get(id_) or image.path for id_, image in images.items()]
        opening.open_files([Path(file) for file in files if file])


def _report_unsaved(tasks: Sequence[Task], saved: Saved, output_options: OutputOptions) -> int:
    """Say how to save what is not saved; return the exit code."""
    # those that were saved exist by now
    again = replace(output_options, force=output_options.force or bool(saved.files))
    if running := [task for task in tasks if not task.status.is_final]:
        command = resume_command(tasks, replace(again, wait_s=None))
        what = "Nothing is saved yet" if not saved.files else f"{len(running)} task(s) are not finished"
        console.problem(f"{what}. To wait for the task{'s' if len(tasks) > 1 else ''}: {command}")
        return console.FAILED
    if saved.count == len(saved.files):
        return console.OK
    console.problem(f"To try again: {resume_command(tasks, again)}")
    return console.FAILED


def _explain_unfinished(task: Task) -> None:
    if task.submission is Submission.SENT:
        console.info("Waiting for the provider's answer, which would be lost otherwise. Ctrl-C exits anyway.")
    if task.submission is Submission.PREPARED:
        console.info(
            "The task is still queued and ends with this command: nothing was sent or charged. Use a longer --wait."
        )


def explain_sandbox() -> None:
    """Say that the images of the built-in sandbox are not kept."""
    console.info(
        "The sandbox and its links end with this command. Save the images with -o, "
        "or keep a sandbox running with `journey-mcp sandbox --port 8787`."
    )


def _exit_code(ids: Sequence[str], known: Mapping[str, Task]) -> int:
    is_incomplete = len(known) < len(ids) or any(has_failed(task) for task in known.values())
    return console.FAILED if is_incomplete else console.OK


def unknown_task(task_id: str, studio: Studio) -> UnknownTask:
    """Return the error for an id that no task has."""
    return UnknownTask(
        f"There is no task {task_id[:80]!r}; tasks are kept {studio.settings.keep_days} days.",
        next_step="`journey-mcp tasks` lists the newest.",
    )


def has_failed(task: Task) -> bool:
    """Return whether the task ended without a result."""
    return task.status in {Status.FAILED, Status.CANCELED}

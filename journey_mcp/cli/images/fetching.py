"""`fetch` and `cancel`: commands for tasks that exist."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from journey_mcp.cli.images import output_files, task_results
from journey_mcp.cli.images.interruption import Unfinished, run_interruptible
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.images import ImageId
from journey_mcp.core.principals import LOCAL
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.studio import open_studio
from journey_mcp.tools import argument_values

_MAX_TASKS = 20
COPIED_WITHIN_S = 10.0
"""How long the result is held back to say where its images are stored; the command waits for that anyway."""


def fetch(task_ids: Sequence[str], output_options: OutputOptions) -> int:
    """Wait for tasks, show them, and save their images; return the exit code.

    Raises:
        JourneyError: none of the tasks is known, or the options are invalid.
    """
    ids = _ids(task_ids)
    if len(ids) > _MAX_TASKS:
        raise InvalidArguments(f"fetch takes at most {_MAX_TASKS} tasks at once; {len(ids)} were given.")
    return run_interruptible(partial(_fetch, ready_settings(), ids, output_options), output_options)


def cancel(task_ids: Sequence[str], *, as_json: bool) -> int:
    """Cancel tasks, and show the result for each; return the exit code.

    Raises:
        JourneyError: none of the tasks is known.
    """
    output_options = OutputOptions(output=None, force=False, wait_s=0, as_json=as_json, preview="off")
    return run_interruptible(partial(_cancel, ready_settings(), _ids(task_ids), output_options), output_options)


def _ids(texts: Sequence[str]) -> list[str]:
    """Return the named tasks, each once; a text may name several, or an image of one."""
    named = argument_values.parse_task_ids(list(texts))
    return list(dict.fromkeys(image.task_id if (image := ImageId.parse(id_)) else id_ for id_ in named))


async def _cancel(settings: Settings, ids: list[str], output_options: OutputOptions, _unfinished: Unfinished) -> int:
    async with open_studio(settings) as studio:
        ended = await studio.cancel(ids, LOCAL)
        if not ended:
            raise task_results.unknown_task(ids[0], studio)
        tasks = {id_: replace(task, notices=(notice, *task.notices)) for id_, (task, notice) in ended.items()}
        return await task_results.show_list(studio, ids, tasks, output_options)


async def _fetch(settings: Settings, ids: list[str], output_options: OutputOptions, unfinished: Unfinished) -> int:
    saving = output_files.saving_of(output_options)
    async with open_studio(settings) as studio:
        known = await studio.fetch(ids, LOCAL)
        if not known:
            raise task_results.unknown_task(ids[0], studio)
        if saving:
            output_files.check_known(saving, list(known.values()), studio.catalog, now=studio.now())
        for task in known.values():
            if reason := studio.elsewhere(task):
                console.info(f"{task.id} is not polled: {reason}")
        unfinished.tasks = list(known.values())
        if any(not task.status.is_final for task in unfinished.tasks):
            with console.progress(f"{len(known)} task(s)") as report:
                known |= await studio.fetch(list(known), LOCAL, seconds=output_options.seconds, report=report)
            unfinished.tasks = list(known.values())
        studio.acknowledge(unfinished.tasks)
        known = await studio.wait_for_copies(known, COPIED_WITHIN_S)
        if saving:
            return await task_results.save_and_show_list(studio, ids, known, output_options, saving)
        return await task_results.show_list(studio, ids, known, output_options)

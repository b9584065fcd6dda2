"""Ctrl-C: it ends the waiting, not the tasks, and the command that resumes it is printed."""

import os
import shlex
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from journey_mcp.cli.event_loop import run
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.terminal import console, output_style
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.studio import Studio


@dataclass(kw_only=True)
class Unfinished:
    """The tasks that continue if Ctrl-C ends the command; filled while it runs."""

    output_options: OutputOptions
    tasks: list[Task] = field(default_factory=list)
    resume: str | None = None
    """The command that goes on; `None`: `fetch` with the tasks."""


Work = Callable[[Unfinished], Awaitable[int]]


def run_interruptible(work: Work, output_options: OutputOptions) -> int:
    """Run the command; return its exit code. After Ctrl-C, the command that resumes it is printed."""
    unfinished = Unfinished(output_options=output_options)
    try:
        return run(work, unfinished)
    except KeyboardInterrupt:
        for line in _interruption_notes(unfinished):
            console.problem(line)
        return console.INTERRUPTED


async def latest(studio: Studio, tasks: Sequence[Task]) -> list[Task]:
    """Return the latest states of the tasks, for a command that is being interrupted."""
    known: dict[str, Task] = {}
    with anyio.CancelScope(shield=True):
        known = await studio.fetch([task.id for task in tasks], LOCAL)
    return [known.get(task.id, task) for task in tasks]


def resume_command(tasks: Sequence[Task], output_options: OutputOptions) -> str:
    """Return the command that waits for these tasks, with the same options."""
    words = ["journey-mcp", "fetch", *(task.id for task in tasks)]
    if output_options.wait_s is not None:
        words += ["--wait", f"{output_options.wait_s:g}"]
    if output_options.output is not None:
        words += ["-o", str(output_options.output)]
    words += ["--force"] * output_options.force + output_style.current().options
    words += ["--open"] * output_options.opens
    words += ["--preview=off"] * (output_options.preview == "off")
    return shell_line(words)


def shell_line(words: Sequence[str]) -> str:
    """Return a command for the shell of this machine."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _interruption_notes(unfinished: Unfinished) -> list[str]:
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
    resume = unfinished.resume or resume_command(tasks, unfinished.output_options)
    return [f"Stopped waiting. To resume: {resume}", *lines]

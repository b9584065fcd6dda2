"""`-n` and `--batch`: several requests of one command, with a table of their outcomes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import accumulate
from pathlib import Path
from typing import Any

from journey_mcp.cli import phrasing
from journey_mcp.cli.images import output_files, prompts, task_results
from journey_mcp.cli.images.confirming import ask_about_all
from journey_mcp.cli.images.interruption import Unfinished, run_interruptible, shell_line
from journey_mcp.cli.images.output_files import Saved, Saving
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.images.runs import Outcome, Run, RunOptions, exit_code, make_run, run_of
from journey_mcp.cli.terminal import console, previews
from journey_mcp.core.errors import Failure, InvalidArguments
from journey_mcp.core.money import Cost
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import SANDBOX, Submission
from journey_mcp.settings import Settings
from journey_mcp.studio import Studio, open_studio
from journey_mcp.studio.create import Estimate
from journey_mcp.tools import availability, results

_NOT_SENT = "not sent"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunArguments:
    """The options of a command for a run."""

    count: int
    """How often each request is made."""
    batch: str | None
    """The file with the requests."""
    at_once: int
    run_id: str | None
    """The run that goes on."""
    words: Sequence[str]
    """The command as it was given, without the program."""
    reads_stdin: bool

    @property
    def is_several(self) -> bool:
        """Whether the command makes a run, and not one request."""
        return self.count > 1 or self.batch is not None

    def resume(self, run_id: str) -> str:
        """Return the command that goes on with the run."""
        line = shell_line(["journey-mcp", self.words[0], "--run", run_id, *_without_run(self.words[1:])])
        return f"{line}  (with the same standard input)" if self.reads_stdin else line


def read_prompts(words: Sequence[str], file: Path | None, batch: str | None) -> tuple[str | None, bool]:
    """Return the prompt of all requests, and whether standard input was or will be read; a batch has its own prompts.

    Raises:
        InvalidArguments: prompts are given twice, or cannot be read.
    """
    if batch is None:
        prompt = prompts.read_prompt(words, file)
        reads_stdin = (not words and file is None and prompt is not None) or prompts.STDIN in {*words[:1], str(file)}
        return prompt, reads_stdin
    if words or file is not None:
        raise InvalidArguments(
            f"--batch {batch} has the prompts, and another one is given: {' '.join(words)[:80] or file}.",
            next_step="Leave out one of them. Nothing was sent and nothing was charged.",
        )
    return None, batch == prompts.STDIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One request of the command."""

    request: ImageRequest
    number: int
    """Of its line in the batch; without one, among the requests. From 1."""
    place: str = ""
    """File and line."""


def create(
    settings: Settings, entries: Sequence[Entry], run_arguments: RunArguments, output_options: OutputOptions
) -> int:
    """Make all requests, or the rest of a run; show a table and save the images; return the exit code.

    Raises:
        JourneyError: a request is invalid, or the sum was not confirmed; nothing was sent.
    """
    return run_interruptible(partial(_create, settings, entries, run_arguments, output_options), output_options)


async def _create(
    settings: Settings,
    entries: Sequence[Entry],
    run_arguments: RunArguments,
    output_options: OutputOptions,
    unfinished: Unfinished,
) -> int:
    saving = output_files.saving_of(output_options, may_exist=run_arguments.run_id is not None)
    async with open_studio(settings) as studio:
        run = run_of(
            [entry.request for entry in entries],
            run_arguments.run_id,
            now=studio.now(),
            keep_days=settings.keep_days,
            places=[entry.place for entry in entries] if run_arguments.batch else (),
        )
        unfinished.resume = run_arguments.resume(run.id)
        files = _Files(studio, entries, saving)
        options = RunOptions(
            ask=ask_about_all(),
            at_once=run_arguments.at_once,
            seconds=output_options.seconds,
            check=files.check,
        )
        outcomes = await make_run(studio, run, options, unfinished, files.finished)
        await _show(studio, run, entries, outcomes, files, run_arguments, output_options)
        is_incomplete = files.is_incomplete(outcomes)
        if is_incomplete or any(outcome.has_failed for outcome in outcomes):
            console.problem(f"To make the rest, without paying again for what is made: {unfinished.resume}")
        return exit_code(outcomes) or (console.PARTLY_FAILED if is_incomplete else console.OK)


class _Files:
    """The files of a run's images. Their numbers are those of the requests: a resumed run gives the same ones."""

    def __init__(self, studio: Studio, entries: Sequence[Entry], saving: Saving | None) -> None:
        self._studio = studio
        self._entries = entries
        self._saving = saving
        counts = [max(output_files.image_counts(entry.request, studio.catalog)) for entry in entries]
        self._total = sum(counts)
        self._ends = list(accumulate(counts))
        self._counts = counts
        self._saved: dict[int, Saved] = {}

    def check(self, estimates: Sequence[Estimate]) -> None:
        """Check that the images of the requests that are not made yet can be saved."""
        if self._saving:
            images = [
                image
                for index, estimate in enumerate(estimates)
                if not estimate.is_made
                for image in output_files.expected(
                    self._entries[index].request, self._numbers(index), self._total, request_number=index + 1
                )
            ]
            self._saving.destination.check(images, now=self._studio.now(), replace=self._saving.replace)

    async def finished(self, outcome: Outcome) -> None:
        """Save the images of a task, and say how a request ended."""
        task = outcome.task
        if self._saving and task and task.status.is_final:
            self._saved[outcome.index] = await output_files.save(
                self._studio,
                task,
                self._saving,
                console.info,
                first=self._numbers(outcome.index).start,
                total=self._total,
            )
        console.info(f"{self._entries[outcome.index].number}: {status_of(outcome)}")

    def saved(self, index: int) -> Saved:
        """Return the files of a request."""
        return self._saved.get(index, Saved())

    def is_incomplete(self, outcomes: Sequence[Outcome]) -> bool:
        """Return whether an image that was to be saved is not."""
        if self._saving is None:
            return False
        return any(
            outcome.task is not None
            and (not outcome.task.status.is_final or len(self.saved(outcome.index).files) < len(outcome.task.images))
            for outcome in outcomes
        )

    def _numbers(self, index: int) -> range:
        end = self._ends[index]
        return range(end - self._counts[index] + 1, end + 1)


async def _show(
    studio: Studio,
    run: Run,
    entries: Sequence[Entry],
    outcomes: Sequence[Outcome],
    files: _Files,
    run_arguments: RunArguments,
    output_options: OutputOptions,
) -> None:
    tasks = [outcome.task for outcome in outcomes if outcome.task]
    available = await availability.check_availability(tasks)
    plain = [
        {
            "line" if run_arguments.batch else "number": entries[outcome.index].number,
            **plain_outcome(studio, outcome, entries[outcome.index].request, files.saved(outcome.index), available),
        }
        for outcome in outcomes
    ]
    if output_options.has_preview:
        await previews.show(studio, tasks)
    if output_options.as_json:
        console.result_json({"run_id": run.id, "tasks": plain}, rows="tasks")
    else:
        columns = ("Line", "Prompt", "Status", "Cost", "Task", "File")
        rows = [_row(*row) for row in zip(entries, outcomes, plain, strict=True)]
        console.table(columns if run_arguments.batch else ("Number", *columns[1:]), rows)
    explain = console.problem if any(map(failure_of, outcomes)) else console.info
    for line in _notes(entries, outcomes):
        explain(line)
    if output_options.output is None and any(task.provider == SANDBOX for task in tasks):
        task_results.explain_sandbox()
    saved = [files.saved(outcome.index) for outcome in outcomes]
    task_results.open_images(tasks, reduce(Saved.joined, saved, Saved()), output_options)


def plain_outcome(
    studio: Studio, outcome: Outcome, request: ImageRequest, saved: Saved, available: availability.Availability
) -> dict[str, Any]:
    """Return the outcome of a request as JSON: the object of its task, or the error."""
    if outcome.task is not None:
        return task_results.plain_task(studio, outcome.task, saved, available)
    assert outcome.error is not None  # noqa: S101  # one of the two is known
    plain = results.failed_object(
        outcome.error.failure, status="not_sent", prompt=results.prompt_excerpt(request.prompt), model=request.model
    )
    return {**plain, "next_step": phrasing.next_step(outcome.error.failure)}


def _row(entry: Entry, outcome: Outcome, plain: Mapping[str, Any]) -> tuple[str, ...]:
    task = outcome.task
    files = [image.get("saved_to") or image.get("path") or image.get("url", "") for image in plain.get("images", ())]
    return (
        str(entry.number),
        results.prompt_excerpt(entry.request.prompt),
        status_of(outcome),
        cost_text(task.cost) if task else "",
        task.id if task else "",
        ", ".join(files),
    )


def status_of(outcome: Outcome) -> str:
    """Return the status of a request in a word."""
    if outcome.task is None or outcome.task.submission is Submission.PREPARED:
        return _NOT_SENT
    return outcome.task.status.value


def cost_text(cost: Cost | None) -> str:
    """Return a cost in words; empty if it is not known."""
    return f"{cost.amount:f} {cost.unit}" if cost else ""


def _notes(entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield why requests failed, each reason once, and how many did."""
    reasons: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[status_of(outcome)] = counts.get(status_of(outcome), 0) + 1
        if failure := failure_of(outcome):
            reasons.setdefault(failure.message, []).append(str(entries[outcome.index].number))
    for reason, numbers in reasons.items():
        yield f"{', '.join(numbers)}: {reason}"
    yield f"{len(outcomes)} requests: {', '.join(f'{count} {status}' for status, count in counts.items())}."


def failure_of(outcome: Outcome) -> Failure | None:
    """Return why a request has no images; `None` if nothing failed."""
    if outcome.error:
        return outcome.error.failure
    return outcome.task.failure if outcome.task else None


def _without_run(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command without `--run ID`."""
    left = iter(words)
    for word in left:
        if word == "--run":
            next(left, None)
        elif not word.startswith("--run="):
            yield word

"""`compare`: one prompt on several models, and one sheet with model, cost and time under each result."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from journey_mcp.cli.images.confirming import ask_about_all
from journey_mcp.cli.images.creating import request_of
from journey_mcp.cli.images.interruption import Unfinished, run_interruptible
from journey_mcp.cli.images.output_files import Saved
from journey_mcp.cli.images.output_options import OutputOptions
from journey_mcp.cli.images.runs import Outcome, RunOptions, exit_code, make_run, run_of
from journey_mcp.cli.images.several import RunArguments, cost_text, failure_of, plain_outcome, status_of
from journey_mcp.cli.images.sheet_files import SavedSheet, SheetFile, sheet_file_of
from journey_mcp.cli.terminal import console, opening, output_style, previews
from journey_mcp.core.errors import InvalidArguments, JourneyError
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.views import DEFAULT_VIEW_SIZE, MAX_PANELS, Panel
from journey_mcp.registry import Catalog
from journey_mcp.routing import model_names
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.studio import Studio, open_studio
from journey_mcp.tools import availability
from journey_mcp.tools.argument_names import ToolContext
from journey_mcp.tools.tool_set import read_tool_set

_MIN_MODELS = 2
_PRECISE_BELOW_S = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """The result of a model."""

    request: ImageRequest
    outcome: Outcome

    @property
    def model(self) -> str:
        """The model as the task names it, if there is one."""
        return self.outcome.task.request.model if self.outcome.task else self.request.model

    @property
    def seconds(self) -> str:
        """How long the task took; empty if it has not ended."""
        task = self.outcome.task
        if task is None or not task.status.is_final:
            return ""
        seconds = task.updated_at - task.created_at
        return f"{seconds:.{1 if seconds < _PRECISE_BELOW_S else 0}f} s"

    @property
    def cost(self) -> str:
        """What the task cost, or empty."""
        return cost_text(self.outcome.task.cost) if self.outcome.task else ""

    @property
    def is_shown(self) -> bool:
        """Whether there is an image."""
        return self.outcome.task is not None and self.outcome.task.status is Status.SUCCEEDED

    @property
    def panel(self) -> Panel:
        """The part of the sheet: the images and what they cost, or why there is none."""
        task, failure = self.outcome.task, failure_of(self.outcome)
        if task and self.is_shown:
            facts = ", ".join(fact for fact in (self.cost, self.seconds) if fact)
            return Panel(ids=(task.id,), lines=(self.model, facts))
        return Panel(ids=(), lines=(self.model, failure.code if failure else status_of(self.outcome)))


def compare(prompt: str | None, models: str, run_arguments: RunArguments, output_options: OutputOptions) -> int:
    """Make one prompt with several models, and a sheet of the results; return the exit code.

    Raises:
        JourneyError: an argument is invalid, or the sum was not confirmed; nothing was sent.
    """
    settings = ready_settings()
    tool_set = read_tool_set(settings)
    context = ToolContext(catalog=tool_set.catalog, defaults=tool_set.defaults)
    names = _models(models, tool_set.catalog)
    requests = [request_of("imagine", {"prompt": prompt, "model": name}, context) for name in names]
    file = sheet_file_of(output_options.output, replace=output_options.force)
    file.check()
    return run_interruptible(partial(_compare, settings, requests, file, run_arguments, output_options), output_options)


def _models(text: str, catalog: Catalog) -> list[str]:
    """Return the models that a text names, each once."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    models = list(dict.fromkeys(model_names.resolve(name.lower(), catalog) or name for name in names))
    if not _MIN_MODELS <= len(models) <= MAX_PANELS:
        raise InvalidArguments(
            f"--models {text[:80]!r} names {len(models)} model(s); a comparison has {_MIN_MODELS} to {MAX_PANELS}.",
            next_step="Name them as in --models midjourney,z-image. `journey-mcp models` lists all. Nothing was sent.",
        )
    return models


async def _compare(
    settings: Settings,
    requests: Sequence[ImageRequest],
    file: SheetFile,
    run_arguments: RunArguments,
    output_options: OutputOptions,
    unfinished: Unfinished,
) -> int:
    async with open_studio(settings) as studio:
        run = run_of(requests, run_arguments.run_id, now=studio.now(), keep_days=settings.keep_days)
        unfinished.resume = run_arguments.resume(run.id)
        options = RunOptions(ask=ask_about_all(), at_once=run_arguments.at_once, seconds=output_options.seconds)

        async def finished(outcome: Outcome) -> None:
            console.info(f"{requests[outcome.index].model}: {status_of(outcome)}")

        outcomes = await make_run(studio, run, options, unfinished, finished)
        compared = [_Compared(request=requests[outcome.index], outcome=outcome) for outcome in outcomes]
        sheet = await _sheet(studio, compared, file, output_options)
        await _report(studio, run.id, compared, sheet, output_options)
        for line in _reasons(compared):
            console.problem(line)
        if sheet and output_options.opens:
            opening.open_files([sheet.path] if sheet.path else [])
        code = exit_code(outcomes)
        if code or sheet is None:
            console.problem(f"To try again, without paying again for what is made: {unfinished.resume}")
        return code or (console.OK if sheet else console.PARTLY_FAILED)


async def _sheet(
    studio: Studio, compared: Sequence[_Compared], file: SheetFile, output_options: OutputOptions
) -> SavedSheet | None:
    """Draw, save and show the sheet; `None` if there is nothing to show, or it cannot be saved."""
    if not any(one.is_shown for one in compared):
        return None
    panels = [one.panel for one in compared]
    try:
        drawn = await studio.views.comparison(panels, LOCAL, size=DEFAULT_VIEW_SIZE, form=file.form)
        saved = await file.save(studio, drawn, compared[0].request.prompt)
    except JourneyError as error:
        console.error(error)
        return None
    if output_options.has_preview:
        await previews.show_image(studio, drawn.content, "the sheet")
    return saved


async def _report(
    studio: Studio,
    run_id: str,
    compared: Sequence[_Compared],
    sheet: SavedSheet | None,
    output_options: OutputOptions,
) -> None:
    """Print all results, and where the sheet is."""
    if output_options.as_json:
        available = await availability.check_availability([one.outcome.task for one in compared if one.outcome.task])
        tasks = [plain_outcome(studio, one.outcome, one.request, Saved(), available) for one in compared]
        plain: dict[str, Any] = {"run_id": run_id, "tasks": tasks}
        console.result_json({**plain, "sheet": sheet.plain} if sheet else plain, rows="tasks")
        if sheet and output_style.current().has_rows_only:
            console.info(sheet.text)
        return
    rows = [
        (one.model, status_of(one.outcome), one.cost, one.seconds, one.outcome.task.id if one.outcome.task else "")
        for one in compared
    ]
    console.table(("Model", "Status", "Cost", "Time", "Task"), rows)
    if sheet:
        console.result(sheet.text)


def _reasons(compared: Sequence[_Compared]) -> Iterator[str]:
    """Yield why models have no image."""
    for one in compared:
        if failure := failure_of(one.outcome):
            yield f"{one.model}: {failure.message}"

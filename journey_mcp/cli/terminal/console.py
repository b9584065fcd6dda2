"""Output and exit codes: results go to stdout; information, errors and progress bars go to stderr."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from journey_mcp.cli.terminal import output_style
from journey_mcp.core.errors import InvalidRequest, JourneyError, SetupError, StoreUnavailable, UnknownTask
from journey_mcp.core.redaction import Redactor, redactor_of, secrets_in

if TYPE_CHECKING:
    from journey_mcp.engine.waiting import Report

OK = 0
FAILED = 1
"""The task failed, or a provider has a problem."""
INVALID = 2
"""The arguments or the setup must be changed."""
PARTLY_FAILED = 3
"""Some requests of several failed."""
_BAR_LENGTH = 32
INTERRUPTED = 130
"""Ctrl-C, as shells report it."""


def result(text: str) -> None:
    """Print a result without control characters, because prompts may come from anywhere."""
    print(_printable(text), flush=True)  # noqa: T201  # the one place that prints results


def drawing(text: str) -> None:
    """Print what `terminal_images` made, with its escape sequences."""
    print(text, end="", flush=True)  # noqa: T201  # as above


def result_json(plain: Any, *, rows: str | None = None) -> None:
    """Print a result as JSON: with `--format jsonl` on one line, or one line for each object of the list `rows`."""
    plain = _redactor().plain(plain)
    is_compact = output_style.current().has_rows_only
    for one in plain[rows] if is_compact and rows else [plain]:
        print(json.dumps(one, ensure_ascii=False, indent=None if is_compact else 2, default=str), flush=True)  # noqa: T201  # as above


def info(text: str) -> None:
    """Print information that is neither a result nor an error."""
    if not output_style.current().is_quiet:
        problem(text)


def problem(text: str) -> None:
    """Print what went wrong, or what to do about it."""
    print(_printable(text), file=sys.stderr, flush=True)  # noqa: T201  # as above


def can_ask() -> bool:
    """Return whether a question about a cost gets an answer: at the terminal, or by `--yes`."""
    return sys.stdin.isatty() or output_style.current().is_confirmed


async def ask(question: str) -> bool:
    """Ask at the terminal, unless `--yes` has answered; any answer but yes means no, and Ctrl-C cancels."""
    if output_style.current().is_confirmed:
        return True
    import anyio  # noqa: PLC0415  # not for --help

    print(f"{_printable(question)} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201  # as above
    if os.name != "nt":  # a thread that reads cannot be canceled: on Windows, Enter ends it
        await anyio.wait_readable(sys.stdin)
    answer = await anyio.to_thread.run_sync(sys.stdin.readline)
    return answer.strip().lower() in {"y", "yes"}


def error(failed: JourneyError) -> None:
    """Print what went wrong and what helps."""
    from journey_mcp.cli import phrasing  # noqa: PLC0415  # not for --help

    problem(f"journey-mcp: {failed}")
    if hint := phrasing.next_step(failed.failure):
        problem(hint)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, narrow: Collection[str] = ()) -> None:
    """Print a table for a person; for a program, lines of complete cells separated by tabs.

    Without `--wide` the table has the columns `narrow`, if there are any, and as many characters as the terminal.
    """
    cells = [[" ".join(cell.split()) for cell in row] for row in rows]
    style = output_style.current()
    if not style.has_tables:
        for row in [columns, *cells]:
            result("\t".join(row))
        return
    from journey_mcp.cli.terminal import drawn_table  # noqa: PLC0415  # only at a terminal

    shown = [number for number, name in enumerate(columns) if name in narrow or style.is_wide or not narrow]
    picked = [[_printable(row[number]) for number in shown] for row in [columns, *cells]]
    drawn_table.draw(picked[0], picked[1:], fits=not style.is_wide)


def wrapped(text: str, *, hanging: int) -> str:
    """Return a line in the width of a person's terminal, unless `--wide` is given; `hanging` indents further lines."""
    style = output_style.current()
    if style.is_wide or not style.has_tables:
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


def bars(title: str, amounts: Mapping[str, Decimal]) -> None:
    """Draw amounts by name as bars, for a person: programs read the table."""
    if not amounts or not output_style.current().has_tables:
        return
    most, widest = max(amounts.values()), max(map(len, amounts))
    result(f"\n{title}")
    for name, amount in amounts.items():
        # an eighth of a character is the smallest bar
        whole, eighths = divmod(max(1, round(amount / most * _BAR_LENGTH * 8)), 8)
        bar = "█" * whole + ("", *"▏▎▍▌▋▊▉")[eighths]
        result(f"{name:<{widest}}  {bar:<{_BAR_LENGTH}}  {amount:f}")


@contextmanager
def progress(what: str) -> Iterator["Report"]:
    """Show a progress bar on stderr while the block runs, if a person sees it; it takes the studio's reports."""
    if not output_style.current().has_progress_bars:
        yield _report_nothing
        return
    from rich.console import Console  # noqa: PLC0415  # only at a terminal
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(what, total=1.0)

        async def report(share: float, message: str) -> None:
            bar.update(line, completed=share, description=message)

        yield report


async def _report_nothing(_share: float, _message: str) -> None:
    """Ignore a report when no bar is shown."""


@contextmanager
def errors_reported(*, as_json: bool) -> Iterator[None]:
    """End the command on an expected error: one or two lines on stderr, or the error object on stdout."""
    try:
        yield
    except JourneyError as failed:
        if as_json:
            from journey_mcp.cli import phrasing  # noqa: PLC0415
            from journey_mcp.core.predictions import Status  # noqa: PLC0415
            from journey_mcp.tools.results import failed_object  # noqa: PLC0415  # only for errors

            plain = failed_object(failed.failure, status=Status.FAILED.value)
            result_json({**plain, "next_step": phrasing.next_step(failed.failure)})
        else:
            error(failed)
        raise typer.Exit(exit_code_of(failed)) from failed


def exit_code_of(failed: JourneyError) -> int:
    """Return the exit code for an error."""
    return INVALID if isinstance(failed, InvalidRequest | UnknownTask | SetupError | StoreUnavailable) else FAILED


def _printable(text: str) -> str:
    return _redactor().text("".join(c if c.isprintable() or c in "\n\t" else " " for c in text))


def _redactor() -> Redactor:
    """Return what redacts the secrets of the environment, even if a setting is invalid."""
    return redactor_of(*secrets_in(os.environ))

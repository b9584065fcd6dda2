"""The bar that a person sees while a picture is made."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from journey_mcp.engine.waiting import Report


@contextmanager
def bar(what: str) -> Iterator[Report]:
    """Show a bar on stderr while the block runs, if that is a terminal; it takes the studio's reports."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        shown = progress.add_task(what, total=1.0)

        async def report(share: float, message: str) -> None:
            progress.update(shown, completed=share, description=message)

        yield report

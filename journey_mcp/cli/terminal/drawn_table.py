"""A table for a person, in the width of the terminal, without broken words."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Spaces between two columns."""


def draw(columns: Sequence[str], rows: Sequence[Sequence[str]], *, fits: bool) -> None:
    """Print a table; unless it has to fit, every row is one line, however long."""
    console = Console()
    by_column = list(zip(columns, *rows, strict=True))
    widths = [max(map(cell_len, cells)) for cells in by_column]
    if fits:
        least = [max(map(_longest_word, cells)) for cells in by_column]
        _shrink(widths, least, console.width - _GAP * (len(columns) - 1))
    else:
        console.width = sum(widths) + _GAP * len(widths)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _longest_word(cell: str) -> int:
    return max(map(cell_len, cell.split()), default=0)


def _shrink(widths: list[int], least: Sequence[int], available: int) -> None:
    """Take the missing characters from the widest column, as long as one is wider than its longest word."""
    while sum(widths) > available:
        number = max(range(len(widths)), key=lambda n: (widths[n] > least[n], widths[n]))
        if widths[number] <= 1:
            return  # no terminal is that narrow
        widths[number] -= 1

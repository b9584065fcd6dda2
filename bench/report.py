"""The tables: measured values, compared with a baseline and with the limits of this project."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.client import ERAS
from bench.commands import HELP, IMPORT, TYPER
from bench.listing import FEW, MANY, PAGES
from bench.load import PER_CALL, PER_TASK, POLL_DELAY, POLLED, POLLED_ONE_BY_ONE, POLLS
from bench.measure import BARE, IN_FLIGHT, OURS, Samples
from bench.over_http import figure as http_figure
from bench.views import VIEWED
from bench.views import figure as view_figure

FIRST_ANSWER_LIMIT = 0.05
TOOLS_LIMIT = 0.15
MEMORY_LIMIT = 1.05
FIRST_CALL_LIMIT = 1.7
IMAGINE_LIMIT = 4.0
IMAGINE_P99_LIMIT = 6.0
TASK_LIMIT = 0.5
CALL_LIMIT = 2.5
POLL_DELAY_LIMIT = 100.0
POLLS_LIMIT = 1 / 16
"""Of the 20 tasks that a request takes, 16 are to be in it on average."""
POLLED_LIMIT = 1.1
OVER_HTTP_LIMIT = 1.18
"""The bare server's CPU time is to be 0.85 of ours at least."""
PAGE_LIMIT = 3.0
VIEW_LIMIT = 1.3
HELP_LIMIT = 1.5
COMMAND_LIMITS = {"models": 2.0, "tasks": 2.0, "spend": 2.0, "doctor": 3.0, "imagine": 3.0}

_ECHO = f"`imagine`, {ERAS[0]}"
"""The figure whose value at the bare server is a call of `echo`."""

_HEAD = """# Benchmarks

`make bench` compares journey-mcp with a bare low-level server of the same SDK with one tool (`bench/bare.py`). Both run
in turn on this machine: {machine}.
{when}, load average before: {load}. A cell is the median, with the 10th and 90th percentile in brackets.

- **Start**: from starting `python -m …` to the first answer on stdout, with cached bytecode and an empty data folder.
  journey-mcp sends the first answers from a record while it imports the SDK; the first that needs the SDK is a `ping`.
- **Memory**: resident memory when the SDK answers.
- **First call**: an `imagine` as soon as the tools are listed, with a new database. The bare server's tool only echoes.
- **`imagine`**: a whole call over stdio. The upstream answers at once; the task is stored before the request leaves,
  and with its answer. The bare server's tool only echoes. Three processes of each server, after 100 calls each.
- **fsync**: 4 KiB written and flushed to the same disk between those calls (`TMPDIR` chooses the disk).
- **`fetch_task`**: repeated calls for one finished task.
- **CPU over HTTP**: CPU time of the server's process per call of `fetch_task` for one finished task, which is in memory
  then. The bare server has a tool that returns the same result without any work.
- **Load**: 2,000 concurrent tasks of `midjourney`, made 50 at a time, with the sandbox in a separate process. *Memory*
  is what each of the later 1,500 adds: to a studio without waiting calls, and to a server with a waiting call for each
  on one stdio session. Both are compared with as many waiting calls at the bare server. The *delay* of a poll, from its
  deadline until its request was written, is compared with a call of the bare server's tool. The number of *polls*, each
  of up to 20 tasks, is compared with a poll for each of them; and how often a task is polled, with 100 tasks without
  `/fetch-many`. More of these would wait for the limit of 50 polls a second: fewer polls, and later results.
- **Listing**: a page of `fetch_task` without ids over stdio, among 1,000 tasks of one caller, compared with the same
  call among 20. The searches look for words in prompts of 250 characters; what they find is the oldest.
- **`view_image`**: a whole call over stdio for a finished image of 2048x2048 pixels that has no thumbnail yet, with the
  worker process running. It is compared with Pillow alone, which makes the same JPEG of 512 pixels from the same file,
  as a function in a warm process: `thumbnail` with Pillow's defaults, then `save` in the same quality.
- **Commands**: from starting `python -m journey_mcp …` to its end, compared with `python -c "import sqlalchemy"`, on
  one database, and help with `python -c "import typer"`. The upstream answers at once.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table."""

    figure: str
    ours: str
    bare: str = ""
    ratio: str = ""
    limit: str = ""
    verdict: str = ""


def render(samples: Samples, load: str) -> str:
    """Return the whole document."""
    head = _HEAD.format(machine=machine(), when=f"{datetime.now(UTC):%Y-%m-%d}", load=load)
    commands = table(command_rows(samples), beside="`import sqlalchemy`")
    helps = table(help_rows(samples), beside="`import typer`")
    pages = table(listing_rows(samples), ours=f"{MANY:,} tasks", beside=f"{FEW} tasks")
    views = table(view_rows(samples), beside="Pillow alone")
    return f"{head}\n{table(rows(samples))}\n\n{pages}\n\n{views}\n\n{commands}\n\n{helps}\n"


def table(lines: list[Row], ours: str = "journey-mcp", beside: str = "bare server") -> str:
    """Return rows as Markdown."""
    cells = [["figure", ours, beside, "ratio", "limit", "verdict"], ["---"] * 6]
    cells += [[row.figure, row.ours, row.bare, row.ratio, row.limit, row.verdict] for row in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def rows(samples: Samples) -> list[Row]:
    """Return the rows about servers, in the order of a client's session."""
    return [*_starts(samples), *_calls(samples), *_throughput(samples), *_over_http(samples), *_load(samples)]


def view_rows(samples: Samples) -> list[Row]:
    """Return the rows about views of images, compared with Pillow alone."""
    return [_compared(samples, view_figure(kind), VIEW_LIMIT) for kind in VIEWED]


def command_rows(samples: Samples) -> list[Row]:
    """Return the rows about commands, compared with the import of SQLAlchemy."""
    return [_compared(samples, f"`{name}`", limit, beside=IMPORT) for name, limit in COMMAND_LIMITS.items()]


def help_rows(samples: Samples) -> list[Row]:
    """Return the rows about help, compared with the import of Typer."""
    return [_compared(samples, f"`{line}`", HELP_LIMIT, beside=TYPER) for line in HELP]


def listing_rows(samples: Samples) -> list[Row]:
    """Return the rows about pages among many tasks, compared with pages among few."""
    return [_page(samples, page) for page in PAGES]


def _page(samples: Samples, page: str) -> Row:
    many, few = (_cell(samples, page, str(count), "ms") for count in (MANY, FEW))
    ratio = samples.median(page, str(MANY)) / samples.median(page, str(FEW))
    return _rated(f"Listing: {page}", many, few, ratio, PAGE_LIMIT)


def machine() -> str:
    """Name the processor, cores, Python and SDK."""
    cores, python, sdk = os.cpu_count(), platform.python_version(), version("mcp")
    return f"{_processor()}, {cores} cores, {platform.system()}, Python {python}, mcp {sdk}"


def load_average() -> str:
    """Return the load average: other work on the machine affects every figure."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _starts(samples: Samples) -> Iterator[Row]:
    for era in ERAS:
        yield _compared(samples, f"Start to first answer, {era}", FIRST_ANSWER_LIMIT)
    yield _compared(samples, "Start to first answer, `tools/list`", TOOLS_LIMIT)
    for era in ERAS:
        yield _compared(samples, f"Start to `tools/list` after it, {era}", TOOLS_LIMIT)
    yield _compared(samples, "Start to the first answer of the SDK", None)
    if samples.get("Memory when the SDK answers", OURS):
        yield _compared(samples, "Memory when the SDK answers", MEMORY_LIMIT, unit="MiB")
    else:
        yield Row(figure="Memory when the SDK answers", ours="not measured: there is no /proc here")
    yield Row(figure="`tools/list`", ours=f"{samples.median('`tools/list`', OURS):,.0f} bytes")
    for era in ERAS:
        yield _compared(samples, f"Start to the result of a first call, {era}", FIRST_CALL_LIMIT)


def _calls(samples: Samples) -> Iterator[Row]:
    for era in ERAS:
        # measured between the calls: other work on the disk makes flushes many times slower
        yield Row(figure=f"fsync, {era}", ours=_cell(samples, f"fsync, {era}", OURS, "ms"))
        yield _compared(samples, f"`imagine`, {era}", IMAGINE_LIMIT)
        yield _slowest(samples, f"`imagine`, {era}", IMAGINE_P99_LIMIT)


def _throughput(samples: Samples) -> Iterator[Row]:
    for era in ERAS:
        for in_flight in IN_FLIGHT:
            figure = f"`fetch_task`, {era}, {in_flight} in flight"
            ours, bare = (f"{samples.median(figure, server):,.0f} calls/s" for server in (OURS, BARE))
            yield Row(figure=figure, ours=ours, bare=bare)


def _over_http(samples: Samples) -> Iterator[Row]:
    for era in ERAS:
        if samples.get(http_figure(era), OURS):
            yield _compared(samples, http_figure(era), OVER_HTTP_LIMIT)
        else:
            yield Row(figure=http_figure(era), ours="not measured: there is no /proc here")


def _load(samples: Samples) -> Iterator[Row]:
    if not samples.get(POLLS, OURS):
        return
    for figure, limit in ((PER_TASK, TASK_LIMIT), (PER_CALL, CALL_LIMIT)):
        if samples.get(figure, OURS):
            yield _compared(samples, figure, limit, unit="KB", beside=(PER_CALL, BARE))
        else:
            yield Row(figure=figure, ours="not measured: there is no /proc here")
    late_ms, echo_ms = samples.percentile(POLL_DELAY, OURS, 99), samples.median(_ECHO, BARE)
    figure, ours = f"{POLL_DELAY}, 99th percentile", f"{late_ms:.1f} ms"
    yield _rated(figure, ours, f"{echo_ms:.2f} ms", late_ms / echo_ms, POLL_DELAY_LIMIT)
    polls, polled = samples.median(POLLS, OURS), samples.median(POLLED, OURS)
    yield _rated(POLLS, f"{polls:.2f}, of one task each {polled:.2f}", "", polls / polled, POLLS_LIMIT)
    one_by_one = samples.median(POLLED_ONE_BY_ONE, OURS)
    yield _rated(POLLED, f"{polled:.2f}, one by one {one_by_one:.2f}", "", polled / one_by_one, POLLED_LIMIT)


def _compared(
    samples: Samples, figure: str, limit: float | None, unit: str = "ms", beside: tuple[str, str] | None = None
) -> Row:
    """Compare medians; `beside` is the baseline: a figure and a server, by default the bare one."""
    beside = beside or (figure, BARE)
    ratio = samples.median(figure, OURS) / samples.median(*beside)
    return _rated(figure, _cell(samples, figure, OURS, unit), _cell(samples, *beside, unit), ratio, limit)


def _slowest(samples: Samples, figure: str, limit: float) -> Row:
    ours_ms, bare_ms = (samples.percentile(figure, server, 99) for server in (OURS, BARE))
    figure = f"{figure}, 99th percentile"
    return _rated(figure, f"{ours_ms:.2f} ms", f"{bare_ms:.2f} ms", ours_ms / bare_ms, limit)


def _rated(figure: str, ours: str, bare: str, ratio: float, limit: float | None) -> Row:
    verdict = _verdict(is_kept=ratio <= limit) if limit else ""
    return Row(
        figure=figure, ours=ours, bare=bare, ratio=f"{ratio:.3f}", limit=f"{limit:g}" if limit else "", verdict=verdict
    )


def _cell(samples: Samples, figure: str, server: str, unit: str) -> str:
    if not samples.get(figure, server):
        return ""
    median = samples.median(figure, server)
    low, high = samples.percentile(figure, server, 10), samples.percentile(figure, server, 90)
    digits = 1 if low > 10 else 2  # noqa: PLR2004  # three significant digits
    return f"{median:.{digits}f} {unit} ({low:.{digits}f}-{high:.{digits}f})"


def _verdict(*, is_kept: bool) -> str:
    return "passed" if is_kept else "**missed**"


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        for line in cpus.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

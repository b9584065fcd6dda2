"""The table: what was measured, beside the bare server and the limits that this project has set itself."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.client import ERAS
from bench.load import PER_CALLER, PER_TASK, POLL_DELAY, POLLS, POLLS_ONE_BY_ONE
from bench.measure import BARE, IN_FLIGHT, OURS, Samples

FIRST_ANSWER_LIMIT = 0.05
TOOLS_LIMIT = 0.15
MEMORY_LIMIT = 1.05
FIRST_CALL_LIMIT = 1.7
IMAGINE_LIMIT_MS = 3.5
FLUSHES_PER_CALL = 3
IMAGINE_P99_LIMIT_MS = 10.0
TASK_LIMIT_KB = 8.0
CALLER_LIMIT_KB = 40.0
POLL_DELAY_LIMIT_MS = 100.0
POLLS_LIMIT = 1 / 8

_HEAD = """# Benchmarks

`make bench` measures journey-mcp beside a bare low-level server of the same SDK with one tool (`bench/bare.py`),
the two in turn, on this machine: {machine}.
{when}, load average before: {load}. A cell is the median, in brackets the 10th and 90th percentile.

- **Start**: from spawning `python -m …` to the first answer on stdout, bytecode cached, data folder empty. journey-mcp
  gives the first answers from a record while it imports the SDK; the first that needs the SDK is a `ping`.
- **Memory**: resident, the moment that one is there.
- **First call**: an `imagine` as soon as the tools are listed; the database is new. The bare server's tool only echoes.
- **`imagine`**: a whole call over stdio, the upstream answering at once, the task stored before it is sent, when sent,
  and when answered. The bare server's tool only echoes.
- **fsync**: 4 KiB written and flushed on the same disk, between those calls (`TMPDIR` chooses the disk).
- **`fetch_task`**: asked for one finished task again and again.
- **Load**: 2,000 tasks of `midjourney` at once, made 50 at a time, the sandbox in a process of its own. *Memory* is
  what each of the later 1,500 adds: to a studio in which nobody waits for them, and to a server with a call for each
  on one stdio session. A poll is *late* from when it was due until its question was written. The *questions* are
  compared with those of the same load without `/fetch-many`.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    figure: str
    ours: str
    bare: str = ""
    ratio: str = ""
    limit: str = ""
    verdict: str = ""


def render(samples: Samples, load: str) -> str:
    """The whole document."""
    head = _HEAD.format(machine=machine(), when=f"{datetime.now(UTC):%Y-%m-%d}", load=load)
    return f"{head}\n{table(rows(samples))}\n"


def table(lines: list[Row]) -> str:
    """Rows as Markdown."""
    cells = [["figure", "journey-mcp", "bare server", "ratio", "limit", "verdict"], ["---"] * 6]
    cells += [[row.figure, row.ours, row.bare, row.ratio, row.limit, row.verdict] for row in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def rows(samples: Samples) -> list[Row]:
    """All figures, in the order of a client's life."""
    return [*_starts(samples), *_calls(samples), *_throughput(samples), *_load(samples)]


def machine() -> str:
    """Processor, cores, Python, SDK."""
    cores, python, sdk = os.cpu_count(), platform.python_version(), version("mcp")
    return f"{_processor()}, {cores} cores, {platform.system()}, Python {python}, mcp {sdk}"


def load_average() -> str:
    """How busy the machine is: what others run on it shows in every figure."""
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
        # of the same minute: other work on a disk makes its flushes many times slower
        yield Row(figure=f"fsync, {era}", ours=_cell(samples, f"fsync, {era}", OURS, "ms"))
        limit_ms = IMAGINE_LIMIT_MS + FLUSHES_PER_CALL * samples.median(f"fsync, {era}", OURS)
        limit = f"{limit_ms:.2f} ms = {IMAGINE_LIMIT_MS} ms + {FLUSHES_PER_CALL} fsync"
        yield _bounded(samples, f"`imagine`, {era}", limit_ms, limit)
        yield _slowest(samples, f"`imagine`, {era}", IMAGINE_P99_LIMIT_MS)


def _throughput(samples: Samples) -> Iterator[Row]:
    for era in ERAS:
        for in_flight in IN_FLIGHT:
            figure = f"`fetch_task`, {era}, {in_flight} in flight"
            ours, bare = (f"{samples.median(figure, server):,.0f} calls/s" for server in (OURS, BARE))
            yield Row(figure=figure, ours=ours, bare=bare)


def _load(samples: Samples) -> Iterator[Row]:
    if not samples.get(POLLS, OURS):
        return
    for figure, limit_kb in ((PER_TASK, TASK_LIMIT_KB), (PER_CALLER, CALLER_LIMIT_KB)):
        if not samples.get(figure, OURS):
            yield Row(figure=figure, ours="not measured: there is no /proc here")
            continue
        told_kb = samples.median(figure, OURS)
        verdict = _verdict(is_kept=told_kb <= limit_kb)
        yield Row(figure=figure, ours=f"{told_kb:.1f} KB", limit=f"{limit_kb:g} KB", verdict=verdict)
    late_ms = samples.percentile(POLL_DELAY, OURS, 99)
    yield Row(
        figure=f"{POLL_DELAY}, 99th percentile",
        ours=f"{late_ms:.1f} ms",
        limit=f"{POLL_DELAY_LIMIT_MS:g} ms",
        verdict=_verdict(is_kept=late_ms < POLL_DELAY_LIMIT_MS),
    )
    together, one_by_one = samples.median(POLLS, OURS), samples.median(POLLS_ONE_BY_ONE, OURS)
    yield Row(
        figure=POLLS,
        ours=f"{together:.2f}, one by one {one_by_one:.2f}",
        ratio=f"{together / one_by_one:.3f}",
        limit=f"{POLLS_LIMIT:g}",
        verdict=_verdict(is_kept=together / one_by_one < POLLS_LIMIT),
    )


def _compared(samples: Samples, figure: str, limit: float | None, unit: str = "ms") -> Row:
    ratio = samples.median(figure, OURS) / samples.median(figure, BARE)
    return Row(
        figure=figure,
        ours=_cell(samples, figure, OURS, unit),
        bare=_cell(samples, figure, BARE, unit),
        ratio=f"{ratio:.3f}",
        limit=f"{limit:.2f}" if limit else "",
        verdict=_verdict(is_kept=ratio <= limit) if limit else "",
    )


def _bounded(samples: Samples, figure: str, limit_ms: float, limit: str) -> Row:
    return Row(
        figure=figure,
        ours=_cell(samples, figure, OURS, "ms"),
        bare=_cell(samples, figure, BARE, "ms"),
        limit=limit,
        verdict=_verdict(is_kept=samples.median(figure, OURS) <= limit_ms),
    )


def _slowest(samples: Samples, figure: str, limit_ms: float) -> Row:
    ours_ms, bare_ms = (samples.percentile(figure, server, 99) for server in (OURS, BARE))
    return Row(
        figure=f"{figure}, 99th percentile",
        ours=f"{ours_ms:.2f} ms",
        bare=f"{bare_ms:.2f} ms",
        limit=f"{limit_ms:g} ms",
        verdict=_verdict(is_kept=ours_ms <= limit_ms),
    )


def _cell(samples: Samples, figure: str, server: str, unit: str) -> str:
    if not samples.get(figure, server):
        return ""
    median = samples.median(figure, server)
    low, high = samples.percentile(figure, server, 10), samples.percentile(figure, server, 90)
    digits = 1 if low > 10 else 2  # noqa: PLR2004  # three figures that count
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

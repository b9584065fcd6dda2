"""The figures of docs/operations.md: measured, predicted by the model, and how far these differ."""

import math
import os
import statistics
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.capacity.model import calls_per_second, costs_of, extrapolated, mixed
from bench.capacity.running_tasks import RunningTasks
from bench.capacity.scaling import FETCH, IMAGINE, MIX, MIXED, SIZES, Point, Scaling

SCALING_LIMIT = 1.15
"""CPU time of a call at several replicas, compared with one."""
MEMORY_LIMIT_MIB = 100.0
LATE_LIMIT_MS = 100.0
WAKE_UP_LIMIT_MS = 100.0
_SHARE = 0.6
"""Of a core that the capacity table lets calls use: with more, calls wait for each other."""
_IMAGE_S = 60.0
"""How long a task runs, in the capacity table."""
_CALLS = (10, 100, 1000)
"""Calls per second of the mix, in the capacity table."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All measurements of a run."""

    scaling: Scaling
    running_tasks: Sequence[RunningTasks]
    """At a provider that takes batches: with few tasks, more and many; then with many that are polled one by one."""
    wakeups_ms: Sequence[float]


def render(figures: Figures, *, machine: str, when: str, load: str) -> str:
    """Return everything in Markdown."""
    head = (
        f"`make capacity`, {when}, load average before: {load}. Machine: {machine}. PostgreSQL 18 is on the same one."
    )
    parts = [
        head,
        _SCALING,
        _table(_scaling(figures.scaling.points)),
        _transactions(figures.scaling.transactions),
        _RUNNING,
        _table(_running_tasks(figures.running_tasks)),
        _WAKING,
        _table(_waking(figures.wakeups_ms)),
        _CHECKED,
        _table(_checked(figures, os.cpu_count() or 1)),
        _CAPACITY,
        _table(_capacity(figures)),
    ]
    return "\n\n".join(part if part.startswith("|") else _wrapped(part) for part in parts) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


_SCALING = (
    "**Calls.** CPU time of the replicas for one call, by the clock of their processes, and its ratio to that at one "
    f"replica. The limit is {SCALING_LIMIT:g}: replicas cost each other nothing, so calls per second grow with the "
    "cores. Here they grow until the two cores are used up, on which the database and the client run as well. The "
    "client has 16 calls in flight at each replica. Each `imagine` makes a task of its own, and the upstream answers "
    "at once."
)
_RUNNING = (
    "**Running tasks.** Tasks of JourneyAPI that one replica has taken over: private memory above that of the idle "
    "replica, polls, and how late 99 of 100 polls were sent, as the bound of a bucket of `journey_poll_delay_seconds`. "
    f"The limits are {MEMORY_LIMIT_MIB:g} MiB and {LATE_LIMIT_MS:g} ms."
)
_WAKING = (
    "**Webhooks.** From the post of a webhook to one replica until the result is at a client that waits at another, "
    f"over whole calls, one at a time. The limit is {WAKE_UP_LIMIT_MS:g} ms."
)
_CHECKED = (
    "**The model** adds up CPU times: a replica uses one core at most, and replicas, database and client the cores of "
    "the machine. Its inputs are the costs of each call at one replica, and a line through the figures of the fewer "
    "tasks. It is checked against the other measurements."
)
_CAPACITY = (
    f"**Capacity** by the model, on cores like these: calls per second of {MIX}; the tasks that run meanwhile if each "
    f"takes {_IMAGE_S:.0f} s and none has a webhook; replicas that each use {_SHARE:.0%} of a core."
)


def _scaling(points: Sequence[Point]) -> Iterator[Sequence[str]]:
    yield ["call", "replicas", "calls/s", "CPU of replicas", "ratio", "CPU of the database", "verdict"]
    first = {point.kind: point for point in points if point.replicas == 1}
    for point in points:
        ratio = point.replica_ms / first[point.kind].replica_ms
        yield [
            point.kind,
            str(point.replicas),
            f"{point.per_second:,.0f}",
            f"{point.replica_ms:.2f} ms",
            f"{ratio:.2f}",
            f"{point.database_ms:.2f} ms",
            _verdict(is_kept=ratio <= SCALING_LIMIT),
        ]


def _transactions(of_calls: Mapping[str, float]) -> str:
    each = " and ".join(f"{count:.1f} for {kind}" for kind, count in of_calls.items())
    return f"Transactions of the database for a call: {each}. The replica has the result of `fetch_task` in memory."


def _running_tasks(running_tasks: Sequence[RunningTasks]) -> Iterator[Sequence[str]]:
    yield ["polled", "tasks", "memory", "polls/s", "late", "CPU of the replica", "CPU of the database", "verdict"]
    for one in running_tasks:
        yield [
            one.polled,
            f"{one.tasks:,}",
            f"{one.mib:.0f} MiB",
            f"{one.polls_per_second:.0f}",
            f"≤ {one.late_ms:.0f} ms",
            f"{one.replica_cores:.2f} cores",
            f"{one.database_cores:.2f} cores",
            _verdict(is_kept=one.mib < MEMORY_LIMIT_MIB and one.late_ms <= LATE_LIMIT_MS),
        ]


def _waking(delays_ms: Sequence[float]) -> Iterator[Sequence[str]]:
    yield ["calls", "median", "90th percentile", "slowest", "verdict"]
    ordered = sorted(delays_ms)
    slow_ms = ordered[-(-len(ordered) * 9 // 10) - 1]
    yield [
        str(len(ordered)),
        f"{statistics.median(ordered):.0f} ms",
        f"{slow_ms:.0f} ms",
        f"{ordered[-1]:.0f} ms",
        _verdict(is_kept=ordered[-1] < WAKE_UP_LIMIT_MS),
    ]


def _checked(figures: Figures, cores: int) -> Iterator[Sequence[str]]:
    yield ["figure", "predicted", "measured", "difference"]
    costs = costs_of(figures.scaling.points)
    measured = {(point.kind, point.replicas): point for point in figures.scaling.points}
    predicted = {FETCH: costs[FETCH], IMAGINE: costs[IMAGINE], MIX: mixed(costs, MIXED)}
    yield _difference(f"CPU of {MIX}", "ms", predicted[MIX].replica_ms, measured[MIX, 1].replica_ms)
    for kind, its in predicted.items():
        for replicas in SIZES:
            per_second = calls_per_second(its, replicas=replicas, cores=cores)
            figure = f"{kind} at {replicas} replica{'s' if replicas > 1 else ''}"
            yield _difference(figure, "calls/s", per_second, measured[kind, replicas].per_second)
    few, more, many = figures.running_tasks[:3]
    expected = extrapolated(few, more, many.tasks)
    of = f"of {many.tasks:,} tasks, from {few.tasks:,} and {more.tasks:,}"
    yield _difference(f"memory {of}", "MiB", expected.mib, many.mib)
    yield _difference(f"CPU of the replica {of}", "cores", expected.replica_cores, many.replica_cores)
    yield _difference(f"CPU of the database {of}", "cores", expected.database_cores, many.database_cores)


def _difference(figure: str, unit: str, predicted: float, measured: float) -> Sequence[str]:
    shown = [f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2f} {unit}" for value in (predicted, measured)]  # noqa: PLR2004  # three digits
    return [figure, *shown, f"{measured / predicted - 1:+.0%}"]


def _capacity(figures: Figures) -> Iterator[Sequence[str]]:
    its = mixed(costs_of(figures.scaling.points), MIXED)
    few, _, many = figures.running_tasks[:3]
    yield ["calls/s", "running tasks", "memory for them", "cores of replicas", "replicas", "cores of the database"]
    for calls in _CALLS:
        imagines = calls * MIXED[IMAGINE] / sum(MIXED.values())
        running = extrapolated(few, many, round(imagines * _IMAGE_S))
        cores = calls * its.replica_ms / 1000 + running.replica_cores
        yield [
            f"{calls:,}",
            f"{running.tasks:,}",
            f"{running.mib:.0f} MiB",
            f"{cores:.2f}",
            f"{math.ceil(cores / _SHARE)}",
            f"{calls * its.database_ms / 1000 + running.database_cores:.2f}",
        ]


def _verdict(*, is_kept: bool) -> str:
    return "passed" if is_kept else "**missed**"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *lines = rows
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))

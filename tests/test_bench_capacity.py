"""The model of the capacity of a service, and its document."""

import math
from dataclasses import replace

import pytest

from bench.capacity.model import Costs, calls_per_second, extrapolated, mixed
from bench.capacity.report import Figures, render
from bench.capacity.running_tasks import BATCHES, SINGLE, RunningTasks, percentile
from bench.capacity.scaling import FETCH, IMAGINE, MIX, SIZES, Point, Scaling

FEW = RunningTasks(
    polled=BATCHES,
    tasks=2500,
    mib=10.0,
    polls_per_second=12.0,
    late_ms=50.0,
    replica_cores=0.05,
    database_cores=0.04,
)
MORE = replace(FEW, tasks=5000, mib=15.0, polls_per_second=24.0, replica_cores=0.1, database_cores=0.08)
MANY = replace(FEW, tasks=10_000, mib=25.0, polls_per_second=48.0, replica_cores=0.2, database_cores=0.16)


@pytest.mark.parametrize(
    ("replicas", "cores", "expected"),
    [
        (1, 8, 500),  # one core of a replica
        (2, 8, 1000),
        (2, 2, 500),  # the machine
        (4, 2, 500),
    ],
)
def test_a_replica_has_one_core_and_shares_those_of_the_machine(replicas: int, cores: int, expected: float) -> None:
    """With the database and the client."""
    costs = Costs(replica_ms=2.0, database_ms=1.5, client_ms=0.5)
    assert calls_per_second(costs, replicas=replicas, cores=cores) == expected


def test_the_cost_of_a_mix_is_the_mean_of_its_calls() -> None:
    """By their shares."""
    costs = {
        FETCH: Costs(replica_ms=1.0, database_ms=0.0, client_ms=0.1),
        IMAGINE: Costs(replica_ms=6.0, database_ms=2.0, client_ms=0.1),
    }
    its = mixed(costs, {FETCH: 4, IMAGINE: 1})
    assert (its.replica_ms, its.database_ms) == (2.0, 0.4)


def test_more_tasks_are_on_a_line_with_fewer() -> None:
    """The first ones also fill caches."""
    assert extrapolated(FEW, MORE, 10_000) == MANY
    assert extrapolated(FEW, MORE, 2500) == FEW


def test_a_percentile_is_the_bound_of_a_bucket() -> None:
    """Of a histogram that counts everything below each bound."""
    polls = {0.005: 90.0, 0.1: 99.0, 1.0: 100.0, math.inf: 100.0}
    assert [percentile(polls, share) for share in (0.5, 0.9, 0.99, 1.0)] == [0.005, 0.005, 0.1, 1.0]


def test_the_document_shows_which_limits_are_kept_and_missed() -> None:
    """Ratios, memory, delays and wake-ups each have one."""
    assert "**missed**" not in document(slower=1.0)
    assert document(slower=2.0).count("**missed**") == 6 + 4 + 1


def test_the_document_compares_the_model_with_measurements() -> None:
    """The mix costs as much as its calls, and more tasks as much as a line through fewer says."""
    text = document(slower=1.0)
    assert f"| CPU of {MIX} | 2.00 ms | 2.00 ms | +0% |" in text
    assert "| memory of 10,000 tasks, from 2,500 and 5,000 | 25 MiB | 25 MiB | +0% |" in text
    # a thousand calls a second make 200 images, which run for a minute
    assert "| 1,000 | 12,000 | 29 MiB |" in text


def document(*, slower: float) -> str:
    """Return the document of measurements that are as predicted, or so much slower than the limits or one replica."""
    ms = {FETCH: 1.0, IMAGINE: 6.0, MIX: 2.0}
    points = [
        Point(
            kind=kind,
            replicas=size,
            per_second=100.0,
            replica_ms=ms[kind] * (slower if size > 1 else 1.0),
            database_ms=0.5,
            client_ms=0.1,
        )
        for kind in ms
        for size in SIZES
    ]
    late_ms = 50.0 * slower**2
    running_tasks = [replace(one, late_ms=late_ms) for one in (FEW, MORE, MANY, replace(MANY, polled=SINGLE))]
    figures = Figures(
        scaling=Scaling(points=points, transactions={FETCH: 0.0, IMAGINE: 7.0}),
        running_tasks=running_tasks,
        wakeups_ms=[20.0, 60.0 * slower],
    )
    return render(figures, machine="a machine", when="2026-11-29", load="0.5")

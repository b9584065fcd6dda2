"""The model of a service: CPU times add up, and the part that has none left is the limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.capacity.running_tasks import RunningTasks
from bench.capacity.scaling import Point


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU time of one call, in milliseconds."""

    replica_ms: float
    database_ms: float
    client_ms: float
    """Of what makes the calls, where it is on the same machine."""


def costs_of(points: Sequence[Point]) -> dict[str, Costs]:
    """Return the costs of each kind of call, as measured at one replica."""
    return {
        point.kind: Costs(replica_ms=point.replica_ms, database_ms=point.database_ms, client_ms=point.client_ms)
        for point in points
        if point.replicas == 1
    }


def mixed(costs: Mapping[str, Costs], shares: Mapping[str, int]) -> Costs:
    """Return the mean costs of calls of several kinds."""
    total = sum(shares.values())

    def mean(of: Callable[[Costs], float]) -> float:
        return sum(of(costs[kind]) * share for kind, share in shares.items()) / total

    return Costs(
        replica_ms=mean(lambda one: one.replica_ms),
        database_ms=mean(lambda one: one.database_ms),
        client_ms=mean(lambda one: one.client_ms),
    )


def calls_per_second(costs: Costs, *, replicas: int, cores: int) -> float:
    """Return how many calls per second replicas take that share a machine with the database and the callers.

    A replica uses one core at most.
    """
    of_machine = cores * 1000 / (costs.replica_ms + costs.database_ms + costs.client_ms)
    return min(replicas * 1000 / costs.replica_ms, of_machine)


def extrapolated(few: RunningTasks, more: RunningTasks, tasks: int) -> RunningTasks:
    """Return what two measurements predict for more tasks, whose polls fit into the calendar."""

    def at(first: float, second: float) -> float:
        return first + (second - first) * (tasks - few.tasks) / (more.tasks - few.tasks)

    return replace(
        more,
        tasks=tasks,
        mib=at(few.mib, more.mib),
        polls_per_second=at(few.polls_per_second, more.polls_per_second),
        replica_cores=at(few.replica_cores, more.replica_cores),
        database_cores=at(few.database_cores, more.database_cores),
    )

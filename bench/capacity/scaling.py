"""Calls at one, two and four replicas: calls per second, and the CPU time of each call."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.capacity.service import Service, running_service
from bench.client import Era

SIZES = (1, 2, 4)
FETCH, IMAGINE, MIX = "`fetch_task`", "`imagine`", "four `fetch_task`, one `imagine`"
MIXED = {FETCH: 4, IMAGINE: 1}
"""The calls of the mix."""
_ERA: Era = "2026-07-28"
_IMAGINE = {
    "name": "imagine",
    "arguments": {"prompt": "a lighthouse at dusk", "model": "z-image", "fresh": True},
}
"""Each of these calls makes a task of its own, which the upstream finishes at once."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A measurement: calls of one kind at so many replicas."""

    kind: str
    replicas: int
    per_second: float
    replica_ms: float
    """CPU time of the replicas for one call."""
    database_ms: float
    client_ms: float
    """CPU time of the process that makes the calls, for one call."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What was measured at one, two and four replicas."""

    points: Sequence[Point]
    transactions: Mapping[str, float]
    """Of the database, for one call of each kind that is not mixed."""


def measure_scaling(calls: int, rounds: int) -> Scaling:
    """Measure each kind of call at one, two and four replicas in turn; the points are the medians of the rounds."""
    measured: dict[tuple[str, int], list[Point]] = {}
    with running_service(max(SIZES)) as service:
        task_id = service.replicas[0].call(_ERA, _IMAGINE)["structuredContent"]["task_id"]
        calls_of = {FETCH: {"name": "fetch_task", "arguments": {"task_ids": [task_id]}}, IMAGINE: _IMAGINE}
        for number in range(rounds + 1):
            for kind, shares in ((FETCH, {FETCH: 1}), (IMAGINE, {IMAGINE: 1}), (MIX, MIXED)):
                for size in SIZES:
                    weighted = [(calls_of[name], share) for name, share in shares.items()]
                    point = _measure(service, kind, size, weighted, calls)
                    if number:  # the first round only fills caches
                        measured.setdefault((kind, size), []).append(point)
        transactions = {kind: _transactions(service, call, calls) for kind, call in calls_of.items()}
    return Scaling(points=[_median(points) for points in measured.values()], transactions=transactions)


def _transactions(service: Service, call: Mapping[str, Any], calls: int) -> float:
    before = service.transactions()
    asyncio.run(service.replicas[0].load(_ERA, call, calls))
    return (service.transactions() - before) / calls


def _measure(
    service: Service, kind: str, size: int, weighted: Sequence[tuple[Mapping[str, Any], int]], calls: int
) -> Point:
    total_share = sum(share for _, share in weighted)
    each = [(call, max(calls * share // total_share // size, 1)) for call, share in weighted]

    async def load() -> None:
        async with asyncio.TaskGroup() as group:
            for replica in service.replicas[:size]:
                for call, count in each:
                    group.create_task(replica.load(_ERA, call, count))

    before, began = service.used(), time.monotonic()
    asyncio.run(load())
    took_s, used = time.monotonic() - began, service.used().since(before)
    made = size * sum(count for _, count in each)
    return Point(
        kind=kind,
        replicas=size,
        per_second=made / took_s,
        replica_ms=used.replicas_s * 1000 / made,
        database_ms=used.database_s * 1000 / made,
        client_ms=used.client_s * 1000 / made,
    )


def _median(points: Sequence[Point]) -> Point:
    return Point(
        kind=points[0].kind,
        replicas=points[0].replicas,
        per_second=median(point.per_second for point in points),
        replica_ms=median(point.replica_ms for point in points),
        database_ms=median(point.database_ms for point in points),
        client_ms=median(point.client_ms for point in points),
    )

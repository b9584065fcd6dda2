"""Thousands of running tasks at one replica, which takes them over from a replica that has died."""

import asyncio
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.capacity.service import Service, running_service
from bench.load import ONE_BY_ONE
from bench.over_http import HttpServer
from bench.studio_load import memory_kb
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task, new_task_id
from journey_mcp.store import Store, open_store

BATCHES, SINGLE = "20 tasks in a poll", "one task in a poll"
_IMAGE_S = 3600.0
"""Progress is reported in percent, so a third of the polls bring news, which are stored."""
_TAKEN_OVER_WITHIN_S = 120.0
_AT_ONCE = 16
_BUCKET = re.compile(r'journey_poll_delay_seconds_bucket\{.*le="([^"]+)".*\} (\S+)')


@dataclass(frozen=True, kw_only=True)
class RunningTasks:
    """A measurement: so many running tasks at one replica, over some time."""

    polled: str
    tasks: int
    mib: float
    """Private memory above that of the idle replica."""
    polls_per_second: float
    late_ms: float
    """99 of 100 polls were not later than that: the bound of a bucket of the metric."""
    replica_cores: float
    database_cores: float


def measure_running_tasks(tasks: int, *, settle_s: float, seconds: float, polled: str = BATCHES) -> RunningTasks:
    """Measure `seconds` of polls, beginning `settle_s` after the replica has taken the tasks over."""
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder:
        registry = Path(folder) / "one_by_one.toml"
        registry.write_text(ONE_BY_ONE, encoding="utf-8")
        more = {"JOURNEY_MCP_REGISTRY": str(registry)} if polled == SINGLE else {}
        with running_service(1, image_s=_IMAGE_S, more=more) as service:
            (replica,) = service.replicas
            time.sleep(3.0)  # until its warm-up is over
            idle_kb = memory_kb(str(replica.pid)) or 0
            asyncio.run(_fill(service, tasks))
            _wait_until_taken_over(service)
            time.sleep(settle_s)
            delays, before, began = _delays(replica), service.used(), time.monotonic()
            time.sleep(seconds)
            used, after, took_s = service.used().since(before), _delays(replica), time.monotonic() - began
            polls = {bound: count - delays.get(bound, 0.0) for bound, count in after.items()}
            return RunningTasks(
                polled=polled,
                tasks=tasks,
                mib=((memory_kb(str(replica.pid)) or 0) - idle_kb) / 1024,
                polls_per_second=polls[float("inf")] / took_s,
                late_ms=percentile(polls, 0.99) * 1000,
                replica_cores=used.replicas_s / took_s,
                database_cores=used.database_s / took_s,
            )


def percentile(polls: dict[float, float], share: float) -> float:
    """Return the smallest bound of a cumulative histogram that this share of all polls does not exceed."""
    return next(bound for bound, count in sorted(polls.items()) if count >= share * polls[float("inf")])


def _delays(replica: HttpServer) -> dict[float, float]:
    """Return how many polls were not later than each of some bounds, in seconds."""
    return {float(bound): float(count) for bound, count in _BUCKET.findall(replica.get("/metrics"))}


async def _fill(service: Service, count: int) -> None:
    """Store running tasks whose replica has died."""
    left = iter(range(count))

    async def fill(store: Store) -> None:
        for number in left:
            await store.tasks.add(_task(number, service.upstream_url), worker_id="dead", lease_until=time.time() - 60)

    async with open_store(service.database_url) as store, asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(fill(store))


def _task(number: int, base_url: str) -> Task:
    request = ImageRequest(tool="imagine", prompt=f"a lighthouse at dusk, view {number}", model="midjourney")
    return Task(
        id=new_task_id(),
        principal=LOCAL,
        request=request,
        provider="journeyapi",
        base_url=base_url,
        created_at=time.time(),
        updated_at=time.time(),
        status=Status.RUNNING,
        submission=Submission.ACCEPTED,
        prediction_id=f"bench-{number}-{time.monotonic()}",
    )


def _wait_until_taken_over(service: Service) -> None:
    until = time.monotonic() + _TAKEN_OVER_WITHIN_S
    query, database = "SELECT count(*) FROM tasks WHERE lease_worker = 'dead'", service.database_url.rpartition("/")[2]
    while service.database.execute(query, database) != [(0,)]:
        if time.monotonic() > until:
            raise TimeoutError("The replica does not take the tasks over.")
        time.sleep(0.5)

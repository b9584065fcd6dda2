"""The listing of tasks: a page among many tasks, beside one among a page of them."""

import asyncio
import math
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal

from bench.client import StdioClient
from bench.measure import OURS, Samples, clean_environment, running_upstream
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task, new_task_id
from journey_mcp.settings import read_settings
from journey_mcp.store import open_store

FEW, MANY = 20, 1_000
FIRST, LAST, RARE, NOTHING = "first page", "last page", "search that finds one page", "search that finds nothing"
PAGES = (FIRST, LAST, RARE, NOTHING)
_UNTIMED_CALLS = 20


def measure_listing(samples: Samples, calls: int) -> None:
    """Time pages of a server with few tasks and of one with many, in turn."""
    with (
        running_upstream() as port,
        tempfile.TemporaryDirectory(prefix="journey-bench-") as few,
        tempfile.TemporaryDirectory(prefix="journey-bench-") as many,
    ):
        environment = clean_environment(port)
        environments = {
            count: {**environment, "JOURNEY_MCP_DATA_DIR": folder} for count, folder in ((FEW, few), (MANY, many))
        }
        befores = {count: asyncio.run(_fill(its, count)) for count, its in environments.items()}
        with (
            StdioClient(OURS, environments[FEW], "2026-07-28") as with_few,
            StdioClient(OURS, environments[MANY], "2026-07-28") as with_many,
        ):
            clients = {FEW: with_few, MANY: with_many}
            for client in clients.values():
                client.open()
                for _ in range(_UNTIMED_CALLS):
                    client.call("fetch_task", {})
            for _ in range(calls):
                for count, client in clients.items():
                    for page, arguments in _arguments(befores[count]).items():
                        began = time.perf_counter()
                        client.call("fetch_task", arguments)
                        samples.add(page, str(count), (time.perf_counter() - began) * 1000)


def _arguments(before: str | None) -> Mapping[str, Mapping[str, str]]:
    """Return the arguments for each page; `before` is the task before the last page."""
    last = {"before": before} if before else {}
    return {FIRST: {}, LAST: last, RARE: {"query": "heron"}, NOTHING: {"query": "unicorn"}}


async def _fill(environment: Mapping[str, str], count: int) -> str | None:
    """Store finished tasks, of which the 20 oldest match a search; return the task before these, if there is one."""
    settings = read_settings(environment)
    tasks = [_task(number, count) for number in range(count)]
    async with open_store(settings.resolved_database_url()) as store:
        for task in tasks:
            await store.tasks.add(task, worker_id="bench", lease_until=-math.inf)
    return tasks[FEW].id if count > FEW else None


def _task(number: int, count: int) -> Task:
    subject = "heron" if number < FEW else "lighthouse"
    prompt = f"a {subject} at dusk, view {number}, {'soft light ' * 20}"
    urls = [f"https://images.test/{number}/{candidate}.png" for candidate in range(4)]
    created_at = time.time() - (count - number) * 60
    return Task(
        id=new_task_id(),
        principal=LOCAL,
        request=ImageRequest(tool="imagine", prompt=prompt, model="z-image"),
        provider="journeyapi",
        base_url="https://api.journeyapi.com/api/v1",
        created_at=created_at,
        updated_at=created_at + 20,
        status=Status.SUCCEEDED,
        submission=Submission.ACCEPTED,
        prediction_id=f"a6a3a450-6513-470e-a69e-{number:012}",
        images=tuple(OutputImage(url=url, width=1024, height=1024) for url in urls),
        cost=Cost(amount=Decimal(2), unit="credits", source="registry"),
        charges={"credits": Decimal(2)},
    )

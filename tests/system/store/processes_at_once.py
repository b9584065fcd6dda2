"""What a server process does with the store, for tests of several at once: `python -m` runs one of these programs.

Each opens the store, says "ready", and begins when it gets a line. It prints what it did as JSON.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import psycopg
from store.examples import TASK

from journey_mcp.core.limits import parse_limits
from journey_mcp.core.tasks import DuplicatePolicy
from journey_mcp.store import Store, open_store

CALLS = 50
ACCOUNT: Mapping[str, Any] = {"provider": "journeyapi", "base_url": "u"}
SLOTS = 4
HELD_S = 0.02


async def spend(store: Store, _url: str, name: str) -> list[str]:
    """Create tasks for one credit each, within a budget of 60; return those that were stored."""
    limits = parse_limits("60credits/day")

    async def create(number: int) -> str | None:
        now = time.time()
        task = replace(TASK, id=f"{name}{number}", created_at=now, charges={"credits": Decimal(1)})
        return task.id if await store.tasks.add(task, worker_id=name, lease_until=now + 6, limits=limits) else None

    return await at_once(create)


async def repeat(store: Store, _url: str, name: str) -> list[str]:
    """Make the same calls as the other processes; return those that were stored."""

    async def create(number: int) -> str | None:
        key: dict[str, Any] = {"deduplication_key": f"k{number}", "duplicate_policy": DuplicatePolicy.JOIN}
        task = replace(TASK, id=f"{name}{number}", **key)
        return task.id if await store.tasks.add(task, worker_id=name, lease_until=time.time() + 6) else None

    return await at_once(create)


async def queue(store: Store, url: str, name: str) -> list[str]:
    """Run tasks that wait for one of few slots; a ledger of the test says who had one when."""
    ledger = await psycopg.AsyncConnection.connect(url, autocommit=True)
    lock = anyio.Lock()

    async def note(change: int) -> None:
        async with lock:
            await ledger.execute("INSERT INTO ledger (at, change) VALUES (clock_timestamp(), %s)", (change,))

    async def run(number: int) -> str | None:
        task = replace(TASK, id=f"{name}{number}")
        await store.tasks.add(task, worker_id=name, lease_until=time.time() + 600)
        while not await store.queue.acquire_slot(task.id, **ACCOUNT, limit=SLOTS, silent_since=0.0, now=time.time()):
            await anyio.sleep(HELD_S / 4)
        await note(1)
        await anyio.sleep(HELD_S)
        await note(-1)
        await store.queue.leave(task.id)
        return task.id

    try:
        return await at_once(run, 15)
    finally:
        await ledger.close()


async def take_over(store: Store, _url: str, name: str) -> list[str]:
    """Take over all tasks whose lease has expired, as often as there are any; return those that were taken."""
    taken: list[str] = []
    now = time.time()
    while orphans := await store.leases.orphans(now=now, addresses=[("journeyapi", "u")]):
        ids = [task.id for task, _ in orphans]
        taken += [task.id for task in await store.leases.acquire(ids, worker_id=name, lease_until=now + 600, now=now)]
    return taken


async def deliver(store: Store, _url: str, _name: str) -> list[str]:
    """Take all webhooks that are due, a few at a time."""
    taken: list[str] = []
    while await store.outbox.next_due() <= time.time():
        due = await store.outbox.due(now=time.time(), again_at=time.time() + 600, limit=5)
        taken += [task.id for task, _ in due]
    return taken


async def at_once(call: Callable[[int], Awaitable[str | None]], count: int = CALLS) -> list[str]:
    """Make so many calls at once; return what they return."""
    found: list[str] = []

    async def one(number: int) -> None:
        if (result := await call(number)) is not None:
            found.append(result)

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)
    return found


PROGRAMS: Mapping[str, Callable[[Store, str, str], Awaitable[list[str]]]] = {
    program.__name__: program for program in (spend, repeat, queue, take_over, deliver)
}


async def main(program: str, url: str, name: str) -> None:
    """Run one program."""
    async with open_store(url) as store:
        print("ready", flush=True)  # noqa: T201  # for the test
        await anyio.to_thread.run_sync(sys.stdin.readline)
        print(json.dumps(await PROGRAMS[program](store, url, name)), flush=True)  # noqa: T201


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])

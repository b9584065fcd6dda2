"""Databases that are emptied, replaced or deleted under a running server: the budget is never exceeded."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from store.test_replaced import HARMS, create_other_database
from support import Environment, created, make_environment, make_request

from attack.attempts import Ground, Outcome
from journey_mcp.core.errors import JourneyError, OverBudget, StoreUnavailable
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.tasks import Task

_LIMIT, _COST = 12, 4
"""Credits; an image of midjourney costs four."""


async def _call(here: Environment, prompt: str) -> Task | None:
    """Return the task of a call; None if the budget or the database rejected it."""
    try:
        return await created(here.studio, make_request(model="midjourney", prompt=prompt))
    except (OverBudget, StoreUnavailable):
        return None


def _put_back(path: Path, was: bytes) -> None:
    """Restore a file, in its place; SQLite has the shared memory mapped, and a process whose mapping shrinks dies."""
    if not path.name.endswith("-shm"):
        path.write_bytes(was)
        return
    beside = path.with_suffix(".restored")
    beside.write_bytes(was)
    beside.replace(path)


async def damaged(here: Environment, random: Random, file: Path, harm: Callable[[Path], None]) -> list[str]:
    """Make calls, damage the database between them, and return the problems."""
    tasks = [await _call(here, f"kite {number}") for number in range(random.randrange(1, 4))]
    await here.clock.sleep(random.choice((0, 0, 0.01, 5, 40)))
    content = {path: path.read_bytes() for path in file.parent.glob("tasks.db*")}
    harm(file)
    others = [await _call(here, f"another {number}") for number in range(random.randrange(1, 8))]
    wrong = ["a call was accepted without the database"] if any(others) else []
    await here.clock.sleep(random.choice((0, 30, 300)))
    for task in filter(None, tasks):
        try:
            ended = (await here.studio.fetch([task.id], LOCAL, seconds=300))[task.id]
        except JourneyError:
            continue  # it had ended, and no worker has it in memory
        is_free = ended.failure is not None and ended.failure.code in {"store_unavailable", "not_submitted"}
        if ended.status is not Status.SUCCEEDED and not is_free:
            wrong.append(f"a task that ran is {ended.status}: {ended.failure}")
    if random.random() < 0.3:
        for path, was in content.items():
            _put_back(path, was)
        for number in range(4):
            await _call(here, f"after all {number}")
    if len(here.created) * _COST > _LIMIT:
        wrong.append(f"{len(here.created)} tasks of {_COST} credits, with a budget of {_LIMIT}")
    return [f"{harm.__name__}: {what}" for what in wrong]


async def damaged_databases(ground: Ground) -> Outcome:
    """Damage databases while tasks are created, run, or have ended; restore some."""
    outcome = Outcome(unit=f"databases damaged under a running server with a budget of {_LIMIT} credits")
    for number in range(ground.count(40)):
        folder = ground.folder / f"{number}"
        folder.mkdir()
        create_other_database(folder)
        faults = ground.random.choice(((), ("fetch:delay=30,times=3",), ("submit:delay=10,times=2",)))
        more = {"JOURNEY_MCP_BUDGET": f"{_LIMIT}credits/day", "plan": "enterprise"}
        async with make_environment(folder, *faults, **more) as here:
            wrong = await damaged(here, ground.random, folder / "tasks.db", ground.random.choice(HARMS))
        outcome.attempt(held=not wrong, what="; ".join(wrong))
    return outcome

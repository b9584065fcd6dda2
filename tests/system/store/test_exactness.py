"""What is counted or taken once stays so when several processes do it at once."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from postgres import execute
from processes import TIMEOUT_S
from store.examples import TASK

from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.store import Store, open_store
from system.store.processes_at_once import SLOTS

TESTS = Path(__file__).parents[2]


@contextmanager
def started(program: str, url: str, name: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a process; end it after the test."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "system.store.processes_at_once", program, url, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def run_at_once(program: str, url: str, count: int = 3) -> list[str]:
    """Run so many processes at once; return what they return."""
    with ExitStack() as stack:
        processes = [stack.enter_context(started(program, url, f"{'abcdefgh'[n]}_")) for n in range(count)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [found for process in processes for found in json.loads(process.communicate(timeout=TIMEOUT_S)[0])]


def test_a_budget_is_never_overspent(url: str) -> None:
    """150 calls for a budget with room for 60."""
    stored = run_at_once("spend", url)
    assert len(stored) == 60
    assert {id_ for (id_,) in execute(url, "SELECT id FROM tasks")} == set(stored)


def test_of_equal_calls_one_is_stored(url: str) -> None:
    """150 calls of 50 kinds."""
    stored = run_at_once("repeat", url)
    assert Counter(id_.partition("_")[2] for id_ in stored) == {str(number): 1 for number in range(50)}
    assert execute(url, "SELECT count(*) FROM tasks") == [(50,)]


def test_no_more_tasks_have_a_slot_than_there_are(url: str) -> None:
    """By the ledger of the test."""
    execute(url, "CREATE TABLE ledger (at timestamptz, change int)")
    assert len(run_at_once("queue", url)) == 45
    running = "SELECT max(running) FROM (SELECT sum(change) OVER (ORDER BY at) AS running FROM ledger) AS sums"
    ((most,),) = execute(url, running)
    assert 1 < most <= SLOTS


async def fill(store: Store, count: int) -> None:
    """Store finished tasks, whose webhooks are due."""
    request = replace(TASK.request, webhook_url="https://example.test/hook")
    for number in range(count):
        task = replace(TASK, id=f"t{number}", request=request)
        await store.tasks.add(task, worker_id="gone", lease_until=time.time() - 60)
        done = task.sent(101).accepted(Prediction(prediction_id="p", status=Status.SUCCEEDED), 102)
        await store.tasks.save(done, worker_id="gone")


async def test_a_task_is_taken_over_by_one_process(url: str) -> None:
    """All of them, by four at once."""
    async with open_store(url) as store:
        for number in range(200):
            task = replace(TASK, id=f"t{number}")
            await store.tasks.add(task, worker_id="gone", lease_until=time.time() - 60)
    taken = run_at_once("take_over", url, 4)
    assert sorted(taken) == sorted(f"t{number}" for number in range(200))


async def test_a_webhook_is_delivered_by_one_process(url: str) -> None:
    """All of them, by three at once."""
    async with open_store(url) as store:
        await fill(store, 100)
    assert sorted(run_at_once("deliver", url)) == sorted(f"t{number}" for number in range(100))


def test_processes_that_start_together_migrate_once(url: str) -> None:
    """On an empty database; all of them start."""
    run_at_once("take_over", url, 4)
    versions = execute(url, "SELECT version FROM schema_version ORDER BY version")
    assert versions == [(number,) for number in range(1, Store.version + 1)]
    assert len(execute(url, "SELECT id FROM identity")) == 1

"""The journal on PostgreSQL, where several statements run at once."""

from dataclasses import replace

import anyio
import psycopg
from processes import TIMEOUT_S
from store.examples import TASK

from journey_mcp.core.clock import Clock
from journey_mcp.core.tasks import Task
from journey_mcp.engine.journal import Journal
from journey_mcp.store import open_store


def _sent(task: Task, now: float) -> Task:
    return task.sent(now)


async def test_a_change_does_not_wait_for_that_of_another_task(url: str) -> None:
    """Somebody else holds the row of the first task; once it is free, the first change is stored as well."""
    first, second = replace(TASK, id="tsk_first"), replace(TASK, id="tsk_second")
    async with open_store(url) as store, anyio.create_task_group() as group:
        journal = Journal(store, Clock(), store.notifications)
        assert [await journal.add(task) for task in (first, second)] == [True, True]
        with psycopg.connect(url) as other, anyio.fail_after(TIMEOUT_S):
            other.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", (first.id,))
            group.start_soon(journal.change, first.id, _sent)
            await anyio.wait_all_tasks_blocked()
            assert await journal.change(second.id, _sent) == journal.get(second.id)
            assert journal.get(first.id) == first
            other.rollback()
            assert await journal.change(first.id, lambda task, _now: task) == journal.get(first.id) != first

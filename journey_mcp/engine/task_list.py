"""The list of a principal's tasks, as the store has them, and what they cost."""

from journey_mcp.core.errors import UnknownTask
from journey_mcp.core.money import SpendSummary
from journey_mcp.core.principals import Principal
from journey_mcp.core.task_query import TaskQuery, start_of_day
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.store import Store

_DAYS_S = 30 * 86400.0


async def read_newest(store: Store, query: TaskQuery, *, principal: Principal) -> list[Task]:
    """Return the principal's tasks that match, the newest first.

    Raises:
        UnknownTask: the principal has no task with the id before which the list ends.
    """
    before = None
    if query.before is not None:
        before = (await store.tasks.get([query.before], principal=principal)).get(query.before)
        if before is None:
            raise UnknownTask(
                f"before={query.before[:80]!r} is none of your tasks, or it has been deleted.",
                next_step="Give the id of the last task of the page before (tsk_…), or leave out before to begin with "
                "the newest task.",
            )
    return await store.tasks.newest(
        principal=principal,
        limit=query.limit,
        since=query.since,
        until=query.until,
        before=before,
        words=query.words,
    )


async def read_spent(store: Store, *, principal: Principal | None, now: float) -> SpendSummary:
    """Return what the principal's tasks cost today and in the last 30 days; without a principal, those of all."""
    today, last_30_days = [
        await store.spend.by_provider(principal=principal, since=since, except_provider=SANDBOX)
        for since in (start_of_day(now), now - _DAYS_S)
    ]
    return SpendSummary(today=tuple(today), last_30_days=tuple(last_30_days))

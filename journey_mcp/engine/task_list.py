"""The list of a principal's newest tasks, as the store has them."""

from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Task
from journey_mcp.store import Store

_FOR_S = 24 * 3600.0
_AT_MOST = 20


async def read_newest(store: Store, *, principal: Principal, now: float) -> list[Task]:
    """Return the principal's 20 newest tasks of the last day."""
    return await store.tasks.newest(principal=principal, since=now - _FOR_S, limit=_AT_MOST)

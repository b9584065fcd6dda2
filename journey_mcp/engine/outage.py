"""How long an unsent task outlives a database that does not answer: long enough for a restart or a failover."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable

OUTAGE_S = 60.0
"""After this time a task that could not be sent ends, free of charge."""
RETRY_S = 1.0

_Result = TypeVar("_Result")


async def outlast(clock: Clock, access: Callable[[], Awaitable[_Result]], is_over: Callable[[], bool]) -> _Result:
    """Return the result of `access`, which is tried again while the database does not answer, until `is_over`.

    Raises:
        StoreUnavailable: it did not answer for `OUTAGE_S`, or until `is_over`.
    """
    until = clock.elapsed() + OUTAGE_S
    while True:
        try:
            return await access()
        except StoreUnavailable:
            if clock.elapsed() >= until or is_over():
                raise
        await clock.sleep(RETRY_S)

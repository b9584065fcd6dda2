"""The call rate: how many calls of each principal a minute may have, over all processes of a database."""

import logging
from dataclasses import dataclass

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.principals import Principal
from journey_mcp.store import Store

_MINUTE_S = 60
_BLOCKS = 20
"""A process reserves a twentieth of a minute's calls at once: most calls then cost no statement."""
_KEPT_MINUTES = 2

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Reserved:
    """The calls of a principal that this process may still pass on in a minute."""

    calls: int = 0


class CallRate:
    """Number of calls of each principal in each minute of the calendar.

    No more calls pass than the limit says. Of several processes, each may keep a block that another one could have
    used. While the database does not answer every call passes: none of them can store anything.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._minute = 0
        self._reserved: dict[Principal, _Reserved] = {}

    async def retry_after_s(self, principal: Principal, limit: int) -> float | None:
        """Count a call; return the seconds until the next minute if the limit is reached, and otherwise `None`."""
        now = self._clock.now()
        minute = int(now // _MINUTE_S)
        if minute != self._minute:
            self._minute, self._reserved = minute, {}
            await self._forget(minute - _KEPT_MINUTES)
        reserved = self._reserved.setdefault(principal, _Reserved())
        if reserved.calls <= 0:
            try:
                reserved.calls += await self._block(principal, minute, limit)
            except StoreUnavailable as error:
                _log.warning("calls cannot be counted: %s", error)
                return None
        if reserved.calls <= 0:
            return _MINUTE_S - now % _MINUTE_S
        reserved.calls -= 1
        return None

    async def _block(self, principal: Principal, minute: int, limit: int) -> int:
        """Reserve a block of calls, or the last ones one by one; return how many."""
        for calls in dict.fromkeys((max(1, limit // _BLOCKS), 1)):
            if await self._store.call_counts.reserve(principal, minute=minute, calls=calls, limit=limit):
                return calls
        return 0

    async def _forget(self, than_minute: int) -> None:
        try:
            await self._store.call_counts.delete_older(than_minute=than_minute)
        except StoreUnavailable as error:
            _log.warning("old counts of calls cannot be deleted: %s", error)

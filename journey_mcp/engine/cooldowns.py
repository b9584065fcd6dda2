"""Cooldowns: a provider that refused a task is tried last for a while, by every process, until it accepts one."""

import logging
from collections.abc import Iterable, Mapping

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.providers.base import Account
from journey_mcp.store import Store
from journey_mcp.store.cooldowns import Cooldown

_COOLDOWN_S = 300.0

_log = logging.getLogger(__name__)


def by_name(cooldowns: Mapping[tuple[str, str], Cooldown], accounts: Iterable[Account]) -> dict[str, Cooldown]:
    """Return the cooldowns of these accounts, by provider."""
    found = ((account.provider, cooldowns.get((account.provider, account.address))) for account in accounts)
    return {name: cooldown for name, cooldown in found if cooldown is not None}


class Cooldowns:
    """The cooldowns that the store has."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: set[tuple[str, str]] = set()

    async def all(self) -> dict[tuple[str, str], Cooldown]:
        """Return the current cooldowns, by provider and base URL."""
        found = await self._store.cooldowns.active(self._clock.now())
        self._seen |= found.keys()
        return found

    async def begin(self, account: Account, reason: str) -> None:
        """Begin the cooldown of a provider that refused a task."""
        await self._record(account, reason, _COOLDOWN_S)

    async def end(self, account: Account) -> None:
        """End the cooldown of a provider that accepted a task. Nothing is written if this process knows of none."""
        if (account.provider, account.address) in self._seen:
            await self._record(account, "", 0.0)
            self._seen.discard((account.provider, account.address))

    async def _record(self, account: Account, reason: str, seconds: float) -> None:
        self._seen.add((account.provider, account.address))
        cooldown = Cooldown(
            provider=account.provider,
            base_url=account.address,
            until=self._clock.now() + seconds,
            reason=reason,
        )
        try:
            await self._store.cooldowns.record(cooldown)
        except StoreUnavailable:
            _log.exception("the cooldown of %s cannot be stored; other processes do not see it", account.provider)

"""Providers that refused lately: tried last for a while, by every process, until one of their tasks is accepted."""

import logging
from collections.abc import Iterable, Mapping

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.providers.base import Account
from journey_mcp.store import Store
from journey_mcp.store.cooldowns import Cooldown

_REST_S = 300.0

_log = logging.getLogger(__name__)


def by_name(cooldowns: Mapping[tuple[str, str], Cooldown], accounts: Iterable[Account]) -> dict[str, Cooldown]:
    """Those of these accounts' providers that rest."""
    found = ((account.provider, cooldowns.get((account.provider, account.base_url))) for account in accounts)
    return {name: rest for name, rest in found if rest is not None}


class Cooldowns:
    """Who rests, as the store knows it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: set[tuple[str, str]] = set()

    async def all(self) -> dict[tuple[str, str], Cooldown]:
        """Who rests now, by provider and base URL."""
        found = await self._store.cooldowns.active(self._clock.now())
        self._seen |= found.keys()
        return found

    async def begin(self, account: Account, reason: str) -> None:
        """This provider refused."""
        await self._note(account, reason, _REST_S)

    async def end(self, account: Account) -> None:
        """This provider accepted a task. Nothing is written when this process knows of no rest."""
        if (account.provider, account.base_url) in self._seen:
            await self._note(account, "", 0.0)
            self._seen.discard((account.provider, account.base_url))

    async def _note(self, account: Account, reason: str, seconds: float) -> None:
        self._seen.add((account.provider, account.base_url))
        rest = Cooldown(
            provider=account.provider,
            base_url=account.base_url,
            until=self._clock.now() + seconds,
            reason=reason,
        )
        try:
            await self._store.cooldowns.record(rest)
        except StoreUnavailable:
            _log.exception("whether %s rests cannot be stored; the others try it in their order", account.provider)

"""Totals: what an operator sees of all principals together."""

from collections import Counter
from collections.abc import Sequence

from journey_mcp.core.tasks import SANDBOX
from journey_mcp.core.totals import Totals
from journey_mcp.engine.cooldowns import by_name
from journey_mcp.providers.base import Account
from journey_mcp.store import Store

_DAY_S = 86400.0


async def read_totals(store: Store, accounts: Sequence[Account], now: float) -> Totals:
    """Return the totals of a database, with the cooldowns of these accounts.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    unfinished: Counter[tuple[str, str]] = Counter()
    queued: Counter[str] = Counter()
    for row in await store.tasks.count_by_state():
        unfinished[row.provider, row.submission] += row.tasks
        queued[row.provider] += row.tasks if row.is_queued else 0
    on_cooldown = by_name(await store.cooldowns.active(now), accounts)
    return Totals(
        unfinished=unfinished,
        queued=+queued,
        spent=tuple(await store.spend.by_provider(principal=None, since=now - _DAY_S, except_provider=SANDBOX)),
        on_cooldown={account.provider: account.provider in on_cooldown for account in accounts},
    )

"""Totals of a database: what an operator may see, without whose it is and what it shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from journey_mcp.core.money import SpendTotal


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Counts of all principals together."""

    unfinished: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The number of unfinished tasks, by provider and submission."""
    queued: Mapping[str, int] = field(default_factory=dict)
    """The number of tasks that wait for a slot, by provider."""
    spent: tuple[SpendTotal, ...] = ()
    """What tasks of the last 24 hours cost, by provider and unit."""
    on_cooldown: Mapping[str, bool] = field(default_factory=dict)
    """Which of the configured providers get no new tasks now."""

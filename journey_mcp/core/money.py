"""Money: units, costs and charges."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Unit = Literal["credits", "usd"]
Charges = Mapping[Unit, Decimal]
"""Amounts by unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """An amount of money and its source."""

    amount: Decimal
    unit: Unit
    source: Literal["registry", "provider"]
    """The list price of our registry, or the provider's response."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendTotal:
    """What the tasks of a period cost at one provider, in one unit."""

    provider: str
    unit: Unit | None
    """`None` for the tasks whose cost is unknown."""
    amount: Decimal
    """0 if the cost is unknown."""
    tasks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendSummary:
    """What a principal's tasks cost; those of the sandbox cost nothing."""

    today: tuple[SpendTotal, ...]
    """Since the day began, in UTC."""
    last_30_days: tuple[SpendTotal, ...]

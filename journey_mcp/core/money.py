"""Money: units, costs and charges."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Unit = Literal["credits", "usd"]
Charges = Mapping[Unit, Decimal]
"""Money in each unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Money, as it is told."""

    amount: Decimal
    unit: Unit
    source: Literal["registry", "provider"]
    """Who told the figure: our registry's table, or the provider's answer."""

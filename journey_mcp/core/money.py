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

"""Spending limits, written as `8credits/call,100credits/day@journeyapi,2usd/day`.

A limit counts what is charged in its unit. A limit in credits counts each provider separately, because credits of two
providers are not the same money; a limit in dollars counts all providers together. Credits count as dollars only if
the user states their price. This module has the arithmetic; the store has what was spent.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from journey_mcp.core.money import Charges, Cost, Unit

PERIODS: Mapping[str, float | None] = {"call": 0.0, "hour": 3600.0, "day": 86400.0, "total": None}
"""Length in seconds; `None` has no end."""
UNKNOWN_COST: Charges = {"credits": Decimal(8), "usd": Decimal("0.10")}
"""What an image is charged as if its price is unknown; `JOURNEY_MCP_UNKNOWN_COST` changes it."""
_AMOUNT = r"(\d{1,9}(?:\.\d{1,6})?)\s*(credits|usd)"
_LIMIT = re.compile(rf"{_AMOUNT}\s*/\s*(call|hour|day|total)(?:\s*@\s*([a-z0-9_-]+))?", re.IGNORECASE)
_MONEY = re.compile(_AMOUNT, re.IGNORECASE)
_PRICE = re.compile(rf"{_AMOUNT}\s*@\s*([a-z0-9_-]+)", re.IGNORECASE)
CreditPrices = Mapping[str, Decimal]
"""US dollars for one credit, by provider."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The most that may be spent in a period."""

    text: str
    """As written in the setting."""
    amount: Decimal
    unit: Unit
    period: str
    """One of `PERIODS`."""
    provider: str | None = None
    """The only provider that the limit is for."""
    credit_prices: CreditPrices = field(default_factory=dict)
    """The prices at which credits count towards a limit in dollars."""

    def counted(self, provider: str, charges: Charges) -> Decimal | None:
        """Return what a task at this provider counts in the limit's unit; `None` if the limit does not apply."""
        if self.provider not in (None, provider):
            return None
        return amount_in(self.unit, charges, self.credit_prices.get(provider))

    @property
    def is_per_provider(self) -> bool:
        """Whether the costs of other providers do not count: credits differ between providers."""
        return self.provider is not None or self.unit == "credits"

    def since(self, now: float) -> float:
        """Return the time from which tasks count, in seconds of the Unix epoch."""
        length_s = PERIODS[self.period]
        return 0.0 if length_s is None else now - length_s


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Parse a comma-separated list of `AMOUNT UNIT/PERIOD[@PROVIDER]`.

    Raises:
        ValueError: names the wrong part and the form.
    """
    return tuple(map(_limit, _parts(text)))


def parse_credit_prices(text: str) -> CreditPrices:
    """Parse a comma-separated list of `AMOUNTusd@PROVIDER`, each provider once.

    Raises:
        ValueError: names the wrong part and the form.
    """
    found: dict[str, Decimal] = {}
    for part in _parts(text):
        match = _PRICE.fullmatch(part)
        provider = match[3].lower() if match else ""
        if match is None or _unit(match[2]) != "usd" or provider in found:
            raise ValueError(f"{part!r} must be AMOUNTusd@PROVIDER, such as 0.01usd@journeyapi, each provider once")
        found[provider] = Decimal(match[1])
    return found


def parse_amounts(text: str) -> dict[Unit, Decimal]:
    """Parse a comma-separated list of `AMOUNT UNIT`, at most one of each unit.

    Raises:
        ValueError: names the wrong part and the form.
    """
    found: dict[Unit, Decimal] = {}
    for part in _parts(text):
        match = _MONEY.fullmatch(part)
        unit = _unit(match[2]) if match else None
        if match is None or unit is None or unit in found:
            raise ValueError(f"{part!r} must be an amount and a unit, such as 6credits or 0.50usd, each unit once")
        found[unit] = Decimal(match[1])
    return found


def format_limits(limits: Iterable[Limit]) -> str:
    """Return limits as `parse_limits` reads them."""
    return ",".join(limit.text for limit in limits)


def format_credit_prices(prices: CreditPrices) -> str:
    """Return prices as `parse_credit_prices` reads them."""
    return ",".join(f"{price:f}usd@{provider}" for provider, price in prices.items())


def format_amounts(amounts: Charges) -> str:
    """Return amounts as `parse_amounts` reads them."""
    return ",".join(f"{amount:f}{unit}" for unit, amount in amounts.items())


def charge(cost: Cost | None, unit: Unit | None, unknown: Charges) -> Charges:
    """Return what a task is charged as: its cost, else the unknown cost in this unit, or in every unit for `None`."""
    if cost is not None:
        return {cost.unit: cost.amount}
    return unknown if unit is None else {unit: unknown[unit]}


def amount_in(unit: Unit, charges: Charges, credit_price: Decimal | None) -> Decimal | None:
    """Return the charges in this unit, with credits as dollars if they have a price; `None` if there are none."""
    if unit == "usd" and unit not in charges and "credits" in charges and credit_price is not None:
        return charges["credits"] * credit_price
    return charges.get(unit)


def _limit(part: str) -> Limit:
    match = _LIMIT.fullmatch(part)
    if match is None:
        raise ValueError(
            f"{part!r} must be AMOUNT UNIT/PERIOD[@PROVIDER], such as 100credits/day@journeyapi or 2usd/day"
        )
    return Limit(
        text=part,
        amount=Decimal(match[1]),
        unit=_unit(match[2]),
        period=match[3].lower(),
        provider=match[4].lower() if match[4] else None,
    )


def _unit(text: str) -> Unit:
    return "usd" if text.lower() == "usd" else "credits"


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if parts and not all(parts):
        raise ValueError(f"{text!r} has an empty part")
    return parts

"""Spending limits, written as `8credits/call,100credits/day@journeyapi,2usd/day@each`.

A limit counts what is charged in its unit. A limit in credits counts each provider separately, because credits of two
providers are not the same money; a limit in dollars counts all providers together. Credits count as dollars only if
the user states their price. A limit counts all principals together, or only one, or each by itself. This module has
the arithmetic; the store has what was spent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol

from journey_mcp.core.money import Charges, Cost, Unit
from journey_mcp.core.principals import Principal, is_named

PERIODS: Mapping[str, float | None] = {"call": 0.0, "hour": 3600.0, "day": 86400.0, "total": None}
"""Length in seconds; `None` has no end."""
UNKNOWN_COST: Charges = {"credits": Decimal(8), "usd": Decimal("0.10")}
"""What an image is charged as if its price is unknown; `JOURNEY_MCP_UNKNOWN_COST` changes it."""
_AMOUNT = r"(\d{1,9}(?:\.\d{1,6})?)\s*(credits|usd)"
_SCOPE = r"\s*@\s*(?:principal:[\w.:/-]+|[a-z0-9_-]+)"
_LIMIT = re.compile(rf"{_AMOUNT}\s*/\s*(call|hour|day|total)((?:{_SCOPE}){{0,2}})", re.IGNORECASE)
_MONEY = re.compile(_AMOUNT, re.IGNORECASE)
_PRICE = re.compile(rf"{_AMOUNT}\s*@\s*([a-z0-9_-]+)", re.IGNORECASE)
CreditPrices = Mapping[str, Decimal]
"""US dollars for one credit, by provider."""
NO_PRICES: CreditPrices = MappingProxyType({})
EACH = "each"
_NAMED = "principal:"


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
    principal: str | None = None
    """The only principal that the limit is for, by id or token name; `EACH` for each principal by itself."""
    source: str = "JOURNEY_MCP_BUDGET"
    """Where it is written: what to change if the limit is too low."""
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

    def is_for(self, principal: Principal) -> bool:
        """Return whether the limit applies to tasks of this principal."""
        return self.principal in (None, EACH) or is_named(principal, self.principal)

    def since(self, now: float) -> float:
        """Return the time from which tasks count, in seconds of the Unix epoch."""
        length_s = PERIODS[self.period]
        return 0.0 if length_s is None else now - length_s


class PrincipalLimits(Protocol):
    """Source of the limits of single principals that are written elsewhere than in the setting."""

    def limits_of(self, principal: Principal) -> Sequence[Limit]:
        """Return the limits of this principal alone."""
        ...

    def max_unfinished(self, principal: Principal) -> int | None:
        """Return how many unfinished tasks this principal may have; `None` if nothing else is written for it."""
        ...


class _NoPrincipalLimits:
    """No principal has limits of its own."""

    def limits_of(self, _principal: Principal) -> Sequence[Limit]:
        """Return none."""
        return ()

    def max_unfinished(self, _principal: Principal) -> int | None:
        """Return `None`."""
        return None


NO_PRINCIPAL_LIMITS: PrincipalLimits = _NoPrincipalLimits()


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Parse a comma-separated list of `AMOUNT UNIT/PERIOD[@PROVIDER][@each or @principal:NAME]`.

    Raises:
        ValueError: names the wrong part and the form.
    """
    return tuple(map(_limit, _parts(text)))


def parse_limits_of_one(text: str) -> tuple[Limit, ...]:
    """Parse a comma-separated list of `AMOUNT UNIT/PERIOD[@PROVIDER]`, where it is known whose limits these are.

    Raises:
        ValueError: names the wrong part and the form.
    """
    limits = parse_limits(text)
    for limit in limits:
        if limit.principal is not None:
            raise ValueError(f"{limit.text!r} is the limit of one principal already: leave out @{limit.principal}")
    return limits


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
    scopes = [scope.strip() for scope in match[4].split("@")[1:]] if match else []
    of_principals = [scope for scope in scopes if scope.lower() == EACH or scope.lower().startswith(_NAMED)]
    providers = [scope.lower() for scope in scopes if scope not in of_principals]
    if match is None or len(of_principals) > 1 or len(providers) > 1:
        raise ValueError(
            f"{part!r} must be AMOUNT UNIT/PERIOD[@PROVIDER][@each or @principal:NAME], such as "
            f"100credits/day@journeyapi, 2usd/day or 1usd/day@each"
        )
    return Limit(
        text=part,
        amount=Decimal(match[1]),
        unit=_unit(match[2]),
        period=match[3].lower(),
        provider=providers[0] if providers else None,
        principal=_principal(of_principals[0]) if of_principals else None,
    )


def _principal(scope: str) -> str:
    """Return the name in `principal:NAME`, as it is written; or `EACH`."""
    return EACH if scope.lower() == EACH else scope[len(_NAMED) :]


def _unit(text: str) -> Unit:
    return "usd" if text.lower() == "usd" else "credits"


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if parts and not all(parts):
        raise ValueError(f"{text!r} has an empty part")
    return parts

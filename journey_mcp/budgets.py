"""Limits on spending, as a person writes them: `8credits/call,100credits/day@journeyapi,2usd/day`.

A limit in credits holds for each provider by itself, since credits of two providers are not the same money; one in
dollars for all together. Numbers only: who spent what, the store knows.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from journey_mcp.tasks import Charges, Cost, Unit

PERIODS: Mapping[str, float | None] = {"call": 0.0, "hour": 3600.0, "day": 86400.0, "total": None}
"""Seconds; `None` is for ever."""
UNKNOWN_COST: Charges = {"credits": Decimal(8), "usd": Decimal("0.10")}
"""What a picture counts in a unit in which its price is not known, unless a person says otherwise."""
_AMOUNT = r"(\d{1,9}(?:\.\d{1,6})?)\s*(credits|usd)"
_LIMIT = re.compile(rf"{_AMOUNT}\s*/\s*(call|hour|day|total)(?:@([a-z0-9_-]+))?", re.IGNORECASE)
_MONEY = re.compile(_AMOUNT, re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """How much may be spent in a period."""

    text: str
    """As the person wrote it."""
    amount: Decimal
    unit: Unit
    period: str
    """One of `PERIODS`."""
    provider: str | None = None
    """The only one it is for."""

    def holds_for(self, provider: str) -> bool:
        """Whether a task of this provider counts."""
        return self.provider in (None, provider)

    @property
    def is_per_provider(self) -> bool:
        """Whether what other providers cost does not count: credits are every provider's own money."""
        return self.provider is not None or self.unit == "credits"

    def since(self, now: float) -> float:
        """From when on tasks count, in seconds of the Unix epoch."""
        length_s = PERIODS[self.period]
        return 0.0 if length_s is None else now - length_s


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Read a comma-separated list of `AMOUNT UNIT/PERIOD[@PROVIDER]`.

    Raises:
        ValueError: names the part that is none, and the form.
    """
    return tuple(map(_limit, _parts(text)))


def parse_amounts(text: str) -> dict[Unit, Decimal]:
    """Read a comma-separated list of `AMOUNT UNIT`, at most one of each unit.

    Raises:
        ValueError: names the part that is none, and the form.
    """
    found: dict[Unit, Decimal] = {}
    for part in _parts(text):
        match = _MONEY.fullmatch(part)
        unit = _unit(match[2]) if match else None
        if match is None or unit is None or unit in found:
            raise ValueError(f"{part!r} must be an amount and a unit, such as 6credits or 0.50usd, each unit once")
        found[unit] = Decimal(match[1])
    return found


def charge(estimates: Iterable[Cost], unknown: Charges) -> dict[Unit, Decimal]:
    """What a task counts in each unit: what is told, and where nothing is, what unknown costs count."""
    told = {cost.unit: cost.amount for cost in estimates}
    return {unit: told.get(unit, unknown.get(unit, Decimal(0))) for unit in ("credits", "usd")}


def above(amounts: Charges, bounds: Charges) -> Unit | None:
    """The first unit in which so much is more than the bound; `None` when there is none."""
    return next((unit for unit, bound in bounds.items() if amounts.get(unit, Decimal(0)) > bound), None)


def of_call(limits: Sequence[Limit], provider: str) -> list[Limit]:
    """The limits on a single call that hold for this provider."""
    return [limit for limit in limits if limit.period == "call" and limit.holds_for(provider)]


def of_time(limits: Sequence[Limit], provider: str) -> list[Limit]:
    """The limits over a time that hold for this provider."""
    return [limit for limit in limits if limit.period != "call" and limit.holds_for(provider)]


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

"""`spend`: spending by day, provider and model, or by principal and provider."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from journey_mcp.cli.event_loop import run
from journey_mcp.cli.terminal import console
from journey_mcp.core.limits import CreditPrices, amount_in, format_credit_prices, format_limits
from journey_mcp.core.money import Unit
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.store import open_store
from journey_mcp.store.spend import Spending

By = Literal["day", "principal"]
"""By what spending is split first."""
_COLUMNS: Mapping[By, Mapping[str, str]] = {
    "day": {"day": "Day", "provider": "Provider", "model": "Model"},
    "principal": {"principal": "Principal", "provider": "Provider"},
}
"""The columns that name a row, with their titles."""
_AMOUNTS = {
    "tasks": "Tasks",
    "credits": "Credits",
    "usd": "USD",
    "without_price": "Without price",
    "unconfirmed": "Unconfirmed",
}
_DAY_S = 86400.0
_UNITS: tuple[Unit, ...] = ("credits", "usd")
_ABOUT_COSTS = "Costs are as reported by the provider, otherwise list prices. Credits differ between providers."


def spend(days: int, by: By, *, as_json: bool) -> None:
    """Show the spending of the last days of all principals: as a table and, at a terminal, bars; or as JSON.

    Raises:
        SetupError: the database cannot be read.
    """
    settings = ready_settings()
    spent = run(_read, settings, time.time() - days * _DAY_S)
    rows = [
        {**dict(zip(_COLUMNS[by], key, strict=True)), **_amounts(spendings, settings.credit_price)}
        for key, spendings in _grouped(spent, by).items()
    ]
    if as_json:
        console.result_json(
            {"days": days, "spent": rows, "budget": format_limits(settings.budget) or None}, rows="spent"
        )
    elif not rows:
        console.info(f"Nothing was spent in the last {days} days.")
    else:
        _show(rows, by)
        for note in _notes(rows, settings):
            console.info(note)


async def _read(settings: Settings, since: float) -> list[Spending]:
    async with open_store(settings.resolved_database_url()) as store:
        return [
            spending for spending in await store.spend.since(since) if spending.is_sent and spending.provider != SANDBOX
        ]


def _grouped(spent: Iterable[Spending], by: By) -> dict[tuple[str, ...], list[Spending]]:
    """Return the spendings of each row, by its names: the newest day first, otherwise by the alphabet."""
    groups: dict[tuple[str, ...], list[Spending]] = {}
    for spending in spent:
        groups.setdefault(_names(spending, by), []).append(spending)
    in_order = sorted(groups.items())
    # a sort keeps the order of equal ones
    return dict(sorted(in_order, key=lambda group: group[0][0], reverse=True) if by == "day" else in_order)


def _names(spending: Spending, by: By) -> tuple[str, ...]:
    if by == "principal":
        return spending.principal, spending.provider
    return f"{datetime.fromtimestamp(spending.at, UTC):%Y-%m-%d}", spending.provider, spending.model


def _amounts(spendings: Sequence[Spending], credit_prices: CreditPrices) -> dict[str, Any]:
    return {
        "tasks": len(spendings),
        **{
            unit: _plain_amount(sum(_amount(part, unit, credit_prices) for part in spendings if part.unit is not None))
            for unit in _UNITS
        },
        "told_by_provider": sum(part.is_reported for part in spendings),
        "without_price": sum(part.unit is None for part in spendings),
        "unconfirmed": sum(part.is_unconfirmed for part in spendings),
    }


def _amount(part: Spending, unit: Unit, credit_prices: CreditPrices) -> Decimal:
    """Return a known cost in this unit: credits count in dollars too where they have a price."""
    known = {name: amount for name, amount in part.counted.items() if name == part.unit}
    return amount_in(unit, known, credit_prices.get(part.provider)) or Decimal(0)


def _plain_amount(amount: Decimal | int) -> str:
    return f"{Decimal(amount).normalize():f}"


def _show(rows: Sequence[Mapping[str, Any]], by: By) -> None:
    columns = {**_COLUMNS[by], **_AMOUNTS}
    cells = [[str(row[name]) for name in columns] for row in rows]
    # the notes count the tasks without a price, and the unconfirmed ones
    console.table(list(columns.values()), cells, narrow=list(columns.values())[:-2])
    for provider in dict.fromkeys(row["provider"] for row in rows):
        for unit in _UNITS:
            console.bars(f"{provider}, {unit} per {by}", _totals(rows, by, provider, unit))


def _totals(rows: Sequence[Mapping[str, Any]], by: By, provider: str, unit: Unit) -> dict[str, Decimal]:
    """Return what each day or principal spent in a unit at a provider."""
    totals: dict[str, Decimal] = {}
    for row in rows:
        if row["provider"] == provider and (amount := Decimal(row[unit])):
            totals[row[by]] = totals.get(row[by], Decimal(0)) + amount
    return totals


def _notes(rows: Sequence[Mapping[str, Any]], settings: Settings) -> Iterable[str]:
    yield _ABOUT_COSTS
    if settings.credit_price:
        yield f"USD includes credits at {format_credit_prices(settings.credit_price)} (JOURNEY_MCP_CREDIT_PRICE)."
    if unpriced := sum(row["without_price"] for row in rows):
        counted = " or ".join(f"{_plain_amount(amount)} {unit}" for unit, amount in settings.unknown_cost.items())
        yield (
            f"The price of {unpriced} of the tasks is unknown: their cost is in no column. "
            f"Each counts towards budgets as {counted}, whichever its provider charges (JOURNEY_MCP_UNKNOWN_COST)."
        )
    if unconfirmed := sum(row["unconfirmed"] for row in rows):
        yield f"{unconfirmed} of the tasks were sent but never confirmed: they may not have been charged."

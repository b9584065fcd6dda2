"""`spend`: spending by day, model and provider."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from journey_mcp.cli import console
from journey_mcp.cli.event_loop import run
from journey_mcp.core.limits import format_limits
from journey_mcp.core.money import Unit
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.store import open_store
from journey_mcp.store.spend import Spending

_DAY_S = 86400.0
_UNITS: tuple[Unit, ...] = ("credits", "usd")
_ABOUT_COSTS = "Costs are as reported by the provider, otherwise list prices. Credits differ between providers."


def spend(days: int, *, as_json: bool) -> None:
    """Show the spending of the last days: as a table and, at a terminal, bars; or as JSON.

    Raises:
        SetupError: the database cannot be read.
    """
    settings = ready_settings()
    spent = run(_read, settings, time.time() - days * _DAY_S)
    rows = [_row(key, spendings) for key, spendings in _grouped(spent).items()]
    if as_json:
        console.result_json({"days": days, "spent": rows, "budget": format_limits(settings.budget) or None})
    elif not rows:
        console.info(f"Nothing was spent in the last {days} days.")
    else:
        _show(rows)
        for note in _notes(rows, settings):
            console.info(note)


async def _read(settings: Settings, since: float) -> list[Spending]:
    async with open_store(settings.resolved_database_url()) as store:
        return [
            spending for spending in await store.spend.since(since) if spending.is_sent and spending.provider != SANDBOX
        ]


def _grouped(spent: Iterable[Spending]) -> dict[tuple[str, str, str], list[Spending]]:
    groups: dict[tuple[str, str, str], list[Spending]] = {}
    for spending in spent:
        day = f"{datetime.fromtimestamp(spending.at, UTC):%Y-%m-%d}"
        groups.setdefault((day, spending.provider, spending.model), []).append(spending)
    return dict(sorted(groups.items(), key=lambda group: (_newest_first(group[0][0]), *group[0][1:])))


def _newest_first(day: str) -> int:
    return -int(day.replace("-", ""))


def _row(key: tuple[str, str, str], spendings: Sequence[Spending]) -> dict[str, Any]:
    day, provider, model = key
    return {
        "day": day,
        "provider": provider,
        "model": model,
        "tasks": len(spendings),
        **{
            unit: _plain_amount(sum(part.counted.get(unit, 0) for part in spendings if part.unit == unit))
            for unit in _UNITS
        },
        "told_by_provider": sum(part.is_reported for part in spendings),
        "without_price": sum(part.unit is None for part in spendings),
        "unconfirmed": sum(part.is_unconfirmed for part in spendings),
    }


def _plain_amount(amount: Decimal | int) -> str:
    return f"{Decimal(amount).normalize():f}"


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    names = ("day", "provider", "model", "tasks", "credits", "usd", "without_price", "unconfirmed")
    columns = ("Day", "Provider", "Model", "Tasks", "Credits", "USD", "Without price", "Unconfirmed")
    console.table(columns, [[str(row[name]) for name in names] for row in rows])
    for provider in dict.fromkeys(row["provider"] for row in rows):
        for unit in _UNITS:
            console.bars(f"{provider}, {unit} per day", _by_day(rows, provider, unit))


def _by_day(rows: Sequence[Mapping[str, Any]], provider: str, unit: Unit) -> dict[str, Decimal]:
    days: dict[str, Decimal] = {}
    for row in rows:
        if row["provider"] == provider and (amount := Decimal(row[unit])):
            days[row["day"]] = days.get(row["day"], Decimal(0)) + amount
    return days


def _notes(rows: Sequence[Mapping[str, Any]], settings: Settings) -> Iterable[str]:
    yield _ABOUT_COSTS
    if unpriced := sum(row["without_price"] for row in rows):
        counted = " or ".join(f"{_plain_amount(amount)} {unit}" for unit, amount in settings.unknown_cost.items())
        yield (
            f"The price of {unpriced} of the tasks is unknown: their cost is in no column. "
            f"Each counts towards budgets as {counted}, whichever its provider charges (JOURNEY_MCP_UNKNOWN_COST)."
        )
    if unconfirmed := sum(row["unconfirmed"] for row in rows):
        yield f"{unconfirmed} of the tasks were sent but never confirmed: they may not have been charged."

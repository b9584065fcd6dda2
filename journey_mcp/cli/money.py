"""`spend`: what was spent, by day, model and provider."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio

from journey_mcp.cli import console
from journey_mcp.cli.setup import ready_settings
from journey_mcp.settings import Settings
from journey_mcp.store import Spending, open_store

_DAY_S = 86400.0
_BAR = 24
"""The longest bar, in characters."""
_UNKNOWN = (
    "This is what counts against budgets: in a unit in which a price is not known, what JOURNEY_MCP_UNKNOWN_COST says. "
    "The two columns are the same money, and not added up."
)


def spend(days: int, *, as_json: bool) -> None:
    """Show the spendings of the last days, as a table with bars or as JSON.

    Raises:
        SetupError: the database cannot be read.
    """
    settings = ready_settings()
    spent = anyio.run(_read, settings, time.time() - days * _DAY_S)
    rows = [_row(key, parts) for key, parts in _grouped(spent).items()]
    if as_json:
        console.result_json({"days": days, "spent": rows, "budget": settings.budget})
    elif not rows:
        console.remark(f"Nothing was spent in the last {days} days.")
    else:
        _show(rows)


async def _read(settings: Settings, since: float) -> list[Spending]:
    async with open_store(settings.resolved_database_url()) as store:
        return await store.spendings(since=since)


def _grouped(spent: Iterable[Spending]) -> dict[tuple[str, str, str], list[Spending]]:
    groups: dict[tuple[str, str, str], list[Spending]] = {}
    for one in spent:
        day = f"{datetime.fromtimestamp(one.at, UTC):%Y-%m-%d}"
        groups.setdefault((day, one.provider, one.model), []).append(one)
    return dict(sorted(groups.items(), reverse=True))


def _row(key: tuple[str, str, str], parts: Sequence[Spending]) -> dict[str, Any]:
    day, provider, model = key
    credits_, usd = sum(part.credits for part in parts), sum(part.usd for part in parts)
    return {
        "day": day,
        "provider": provider,
        "model": model,
        "tasks": len(parts),
        "credits": f"{Decimal(credits_).normalize():f}",
        "usd": f"{Decimal(usd).normalize():f}",
    }


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = ("Day", "Provider", "Model", "Tasks", "Credits", "USD", "USD per row")
    most = max(Decimal(row["usd"]) for row in rows)
    cells = [
        (*(str(row[n]) for n in ("day", "provider", "model", "tasks", "credits", "usd")), _bar(row, most))
        for row in rows
    ]
    console.table(columns, cells)
    console.remark(_UNKNOWN)


def _bar(row: Mapping[str, Any], most: Decimal) -> str:
    share = Decimal(row["usd"]) / most if most else Decimal(0)
    return "█" * max(1, round(share * _BAR)) if share else ""

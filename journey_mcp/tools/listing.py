"""The listing of a caller's tasks: an object and the same facts as text, with what was spent."""

from collections.abc import Iterator, Sequence
from typing import Any

from journey_mcp.core.limits import NO_PRICES, CreditPrices
from journey_mcp.core.money import SpendSummary, SpendTotal
from journey_mcp.core.plain import without_empty
from journey_mcp.core.task_query import TaskQuery
from journey_mcp.core.text import cleaned
from journey_mcp.tools import shortening
from journey_mcp.tools.results import Rendered, amount_text, in_dollars, listing_text

_MAX_NAME = 40


def render(
    tasks: Sequence[dict[str, Any]],
    query: TaskQuery,
    *,
    has_older: bool,
    spent: SpendSummary | None,
    keep_days: int,
    credit_prices: CreditPrices = NO_PRICES,
) -> Rendered:
    """Return a listing within its limits.

    `tasks` are task objects; `has_older`: more follow; `spent` is for the first page only.
    """
    plain: dict[str, Any] = {"tasks": []}
    if spent is not None and spent.last_30_days:
        plain["spent"] = spend_object(spent, credit_prices)
    if has_older:
        plain["next_before"] = tasks[-1]["task_id"]
    rest = list(_lines(plain, query, has_tasks=bool(tasks), keep_days=keep_days))
    shown = shortening.fit_listing(tasks, reserved=sum(len(line.encode()) + 2 for line in rest))
    plain["tasks"] = [one.plain for one in shown]
    return Rendered(plain, listing_text([*(one.text for one in shown), *rest]))


def spend_object(spent: SpendSummary, credit_prices: CreditPrices = NO_PRICES) -> dict[str, Any]:
    """Return what was spent, by period, provider and unit."""
    return {
        "today": [_total_object(total, credit_prices) for total in spent.today],
        "last_30_days": [_total_object(total, credit_prices) for total in spent.last_30_days],
    }


def spend_text(spent: dict[str, Any]) -> str:
    """Return the object of `spend_object` as text."""
    today, month = (_totals_text(spent[period]) for period in ("today", "last_30_days"))
    return f"Spent today (UTC): {today}. In the last 30 days: {month}."


def _lines(plain: dict[str, Any], query: TaskQuery, *, has_tasks: bool, keep_days: int) -> Iterator[str]:
    if not has_tasks:
        yield no_tasks(query, keep_days)
    if "next_before" in plain:
        yield f'Older tasks: call fetch_task with before "{plain["next_before"]}" and the same query, if any.'
    if "spent" in plain:
        yield spend_text(plain["spent"])


def no_tasks(query: TaskQuery, keep_days: int) -> str:
    """Return why a list is empty."""
    if query.before is not None:
        return "No older tasks."
    if query.is_filter:
        return f"No task matches. Words must be in the prompt or model; tasks are kept {keep_days} days."
    return f"No tasks in the last {keep_days} days."


def _total_object(total: SpendTotal, credit_prices: CreditPrices) -> dict[str, Any]:
    plain = {
        "provider": cleaned(total.provider, _MAX_NAME),
        "unit": total.unit,
        "amount": f"{total.amount.normalize():f}" if total.unit else None,
        **in_dollars(total.amount, total.unit, credit_prices.get(total.provider)),
        "tasks": total.tasks,
    }
    return without_empty(plain)


def _totals_text(totals: Sequence[dict[str, Any]]) -> str:
    return ", ".join(map(_total_text, totals)) or "nothing"


def _total_text(total: dict[str, Any]) -> str:
    count = f"{total['tasks']} task{'' if total['tasks'] == 1 else 's'}"
    if "unit" not in total:
        return f"{count} of unknown cost at {total['provider']}"
    return f"{amount_text(total)} at {total['provider']} ({count})"

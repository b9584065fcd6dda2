"""The listing of tasks: its limits."""

from decimal import Decimal

import pytest
from support import compact

from journey_mcp.core.money import SpendSummary, SpendTotal, Unit
from journey_mcp.core.task_query import ALL_TASKS
from journey_mcp.tools import listing
from tools.test_shortening import WORST, twenty

UNITS: tuple[Unit, Unit] = ("credits", "usd")


@pytest.mark.parametrize("kind", WORST)
def test_a_page_with_many_providers_is_short(kind: str) -> None:
    """Whatever its tasks hold; names of providers are cut."""
    totals = tuple(
        SpendTotal(provider=f"{n}{'p' * 500}", unit=unit, amount=Decimal("123456.78"), tasks=99)
        for n in range(5)
        for unit in UNITS
    )
    spent = SpendSummary(today=totals, last_30_days=totals)
    shown = listing.render(twenty(WORST[kind]), ALL_TASKS, has_older=True, spent=spent, keep_days=30)
    assert len(shown.text.encode()) <= 12_000
    assert len(compact(shown.plain)) <= 28_000
    assert len(shown.plain["tasks"]) == 20

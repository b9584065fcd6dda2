"""The brake on spending: what a call counts, whether the limits leave room for it, and when they do again."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from journey_mcp.budgets import (
    PERIODS,
    UNKNOWN_COST,
    Limit,
    above,
    charge,
    of_call,
    of_time,
    parse_amounts,
    parse_limits,
)
from journey_mcp.clock import duration, timestamp
from journey_mcp.errors import NotConfirmed, OverBudget
from journey_mcp.settings import Settings
from journey_mcp.store import Store
from journey_mcp.tasks import Charges, Cost, Task, Unit

_RAISE = "Choose a cheaper model, or ask the person to raise JOURNEY_MCP_BUDGET."


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a person is asked to agree to."""

    model: str
    provider: str
    amount: Decimal
    unit: Unit
    bound: Decimal
    """Above which is asked, in the same unit."""
    is_known: bool = True
    """The provider tells its price; otherwise it is what unknown prices count."""

    @property
    def limit(self) -> str:
        """The setting that asks, with its bound."""
        return f"JOURNEY_MCP_CONFIRM_ABOVE ({self.bound:f} {self.unit})"

    def __str__(self) -> str:
        price = f"{_shown(self.amount)} {self.unit}"
        told = f"for about {price}" if self.is_known else f"whose price is not known (it counts as {price})"
        return f"{self.model} at {self.provider} {told}"


def unknown_cost(settings: Settings) -> Charges:
    """What a picture counts in each unit in which its price is not known."""
    return {**UNKNOWN_COST, **parse_amounts(settings.unknown_cost)}


Confirm = Callable[[Question], Awaitable[bool]]
"""Asks a person; whether they agree."""


class Purse:
    """The limits of one configuration over what the store knows."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._limits = parse_limits(settings.budget or "")
        self._unknown = unknown_cost(settings)
        self._confirm_above = parse_amounts(settings.confirm_above or "")

    @property
    def has_limits(self) -> bool:
        """Whether a call may be refused or asked about."""
        return bool(self._limits or self._confirm_above)

    def charges(self, cost: Cost | None) -> Charges:
        """What a task of this estimated cost counts, in each unit."""
        return charge([cost] if cost else [], self._unknown)

    def question(self, task: Task) -> Question | None:
        """What a person has to agree to; `None` when nobody has to."""
        # a price that is known is asked about as it is; what an unknown one counts, only where none is
        counted = {task.cost.unit: task.cost.amount} if task.cost else task.charges
        unit = above(counted, self._confirm_above)
        if unit is None:
            return None
        return Question(
            model=task.request.model,
            provider=task.provider,
            amount=counted[unit],
            unit=unit,
            bound=self._confirm_above[unit],
            is_known=task.cost is not None,
        )

    def limits(self, provider: str) -> Sequence[Limit]:
        """The limits over a time that hold for tasks of this provider."""
        return of_time(self._limits, provider)

    def too_dear(self, task: Task) -> OverBudget | None:
        """The first limit on single calls that this task would pass; `None` when there is none."""
        for limit in of_call(self._limits, task.provider):
            counted = task.charges.get(limit.unit, Decimal(0))
            if counted > limit.amount:
                return OverBudget(
                    f"The budget {limit.text} is passed: {task.request.model} at {task.provider} counts "
                    f"{_shown(counted)} {limit.unit}, and waiting does not change that.",
                    next_step=f"Nothing was sent. {_RAISE}",
                )
        return None

    def unasked(self, task: Task) -> NotConfirmed | None:
        """Why a task may not move to where it stands now: nobody can be asked any more about what it costs there."""
        if question := self.question(task):
            return NotConfirmed(f"{question} is above {question.limit}, and the person was not asked about that.")
        return None

    async def passed(self, task: Task) -> OverBudget | None:
        """The limit over a time that keeps this task out the longest; `None` when there is room."""
        found: list[tuple[float, OverBudget]] = []
        for limit in self.limits(task.provider):
            provider = task.provider if limit.is_per_provider else None
            spent = await self._store.spendings(since=limit.since(task.created_at), provider=provider, but=task.id)
            parts = [(one.at, one.counted[limit.unit]) for one in spent]
            counted = task.charges.get(limit.unit, Decimal(0))
            if sum(amount for _, amount in parts) + counted > limit.amount:
                free_at = _free_at(limit, counted, parts)
                found.append((free_at, _over(limit, task, counted, parts, free_at)))
        return max(found, key=lambda one: one[0])[1] if found else None


def _over(
    limit: Limit, task: Task, counted: Decimal, parts: Sequence[tuple[float, Decimal]], free_at: float
) -> OverBudget:
    spent = sum((amount for _, amount in parts), Decimal(0))
    is_ever_free = free_at < math.inf
    again = "Waiting does not change that."
    if is_ever_free:
        again = f"There is room again in {duration(free_at - task.created_at)}, at {timestamp(free_at)}."
    return OverBudget(
        f"The budget {limit.text} is used up: {task.request.model} at {task.provider} counts {_shown(counted)} "
        f"{limit.unit}, {_shown(spent)} are spent, {_shown(max(limit.amount - spent, Decimal(0)))} are left. {again}",
        next_step=f"Nothing was sent. {'Wait, or c' if is_ever_free else 'C'}{_RAISE[1:]}",
        retry_after_s=round(free_at - task.created_at, 1) if is_ever_free else None,
    )


def _free_at(limit: Limit, counted: Decimal, parts: Sequence[tuple[float, Decimal]]) -> float:
    """When enough of what was spent is older than the period; infinity when that never happens."""
    length_s = PERIODS[limit.period]
    if length_s is None or counted > limit.amount:
        return math.inf
    left = sum((amount for _, amount in parts), Decimal(0))
    for at, amount in parts:
        left -= amount
        if left + counted <= limit.amount:
            return at + length_s
    return math.inf


def _shown(amount: Decimal) -> str:
    return f"{amount.normalize():f}"

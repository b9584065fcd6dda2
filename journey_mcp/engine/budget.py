"""The budget: what a call is charged as, whether the limits leave room for it, and when they will."""

import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from journey_mcp.core.errors import NotConfirmed, OverBudget, TooManyTasks
from journey_mcp.core.limits import (
    PERIODS,
    UNKNOWN_COST,
    CreditPrices,
    Limit,
    PrincipalLimits,
    amount_in,
    charge,
)
from journey_mcp.core.money import Charges, Cost, Unit
from journey_mcp.core.next_steps import NextStep, ask_person
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import Task
from journey_mcp.core.text import duration, timestamp
from journey_mcp.registry import Catalog, Offer
from journey_mcp.settings import Settings
from journey_mcp.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmationRequest:
    """What a person is asked to confirm."""

    model: str
    """With the action, if there is one."""
    provider: str
    amount: Decimal
    unit: Unit
    bound: Decimal | None
    """The amount above which a person is asked, in the same unit; `None` if a person is asked about every cost."""
    credits: Decimal | None = None
    """The amount in the provider's credits, if it is in dollars by the price of a credit."""
    is_known: bool = True
    """The price is known; otherwise the amount is what unknown prices are charged as."""

    @property
    def limit(self) -> str | None:
        """The setting that requires the confirmation, with its bound; `None` if a person is asked about every cost."""
        return None if self.bound is None else _confirm_above(self.bound, self.unit)

    def __str__(self) -> str:
        price = _price(self.amount, self.unit, self.credits)
        price_text = f"for about {price}" if self.is_known else f"whose price is not known (it counts as {price})"
        return f"{self.model} at {self.provider} {price_text}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TotalConfirmationRequest:
    """What a person is asked to confirm once for several tasks."""

    tasks: int
    amount: Decimal
    """Of all of them together."""
    unit: Unit
    bound: Decimal
    """The amount above which a person is asked, in the same unit."""
    unknown: int
    """How many prices are not known; these tasks count as what unknown prices are charged as."""

    @property
    def limit(self) -> str:
        """The setting that requires the confirmation, with its bound."""
        return _confirm_above(self.bound, self.unit)

    def __str__(self) -> str:
        unknown = f" (the price of {self.unknown} is not known)" if self.unknown else ""
        return f"{self.tasks} tasks for about {_shown(self.amount)} {self.unit}{unknown}"


def unit_of(offer: Offer, catalog: Catalog, credit_prices: CreditPrices) -> Unit | None:
    """Return the unit that an offer is charged in, if the registry or the price of a credit gives it."""
    return catalog.unit_of(offer) or ("credits" if offer.provider in credit_prices else None)


@dataclass(frozen=True, slots=True)
class Confirm:
    """How a person is asked to confirm a cost."""

    ask: Callable[[ConfirmationRequest], Awaitable[bool]]
    """Asks, and returns whether the person agrees; raises `InputRequired` if the answer comes with a repeated call."""
    is_asked_always: bool = False
    """The person is asked about every cost, whatever JOURNEY_MCP_CONFIRM_ABOVE says."""


class InputRequired(Exception):
    """A call needs the person's answer, and is repeated with it. Nothing was stored or sent."""


class Budget:
    """The limits of one configuration and of its principals, and what was spent according to the store."""

    def __init__(self, settings: Settings, store: Store, principals: PrincipalLimits) -> None:
        self._store = store
        self._principals = principals
        self._credit_prices = settings.credit_price
        self._limits = settings.spending_limits
        self._max_unfinished = settings.running_tasks
        self._unknown_cost = settings.unknown_cost
        self._confirm_above = settings.confirm_above

    def has_limits(self, principal: Principal) -> bool:
        """Return whether a call of this principal may be refused, or need confirmation."""
        return bool(self._confirm_above or self._limits or self._principals.limits_of(principal))

    def charges(self, offer: Offer, catalog: Catalog, cost: Cost | None) -> Charges:
        """Return what a task of this estimated cost is charged as at an offer."""
        return charge(cost, unit_of(offer, catalog, self._credit_prices), self._unknown_cost)

    def confirmation_request(self, task: Task, *, is_asked_always: bool = False) -> ConfirmationRequest | None:
        """Return what a person has to confirm; `None` if no confirmation is needed."""
        for unit, bound in self._confirm_above.items():
            amount = amount_in(unit, task.charges, self._credit_prices.get(task.provider))
            if amount is not None and amount > bound:
                return _confirmation_request(task, amount, unit, bound)
        if not is_asked_always:
            return None
        unit, amount = next(iter(task.charges.items()))
        return _confirmation_request(task, amount, unit, None)

    def total_confirmation_request(self, tasks: Sequence[Task]) -> TotalConfirmationRequest | None:
        """Return what a person has to confirm about all these tasks together; `None` if no confirmation is needed."""
        for unit, bound in self._confirm_above.items():
            amounts = [amount_in(unit, task.charges, self._credit_prices.get(task.provider)) for task in tasks]
            total = sum((amount for amount in amounts if amount is not None), Decimal(0))
            if total > bound:
                unknown = sum(task.cost is None for task in tasks)
                return TotalConfirmationRequest(tasks=len(tasks), amount=total, unit=unit, bound=bound, unknown=unknown)
        return None

    def max_unfinished(self, principal: Principal) -> int | None:
        """Return how many unfinished tasks the principal may have; `None` for any number."""
        own = self._principals.max_unfinished(principal)
        return self._max_unfinished if own is None else own

    async def exceeds_unfinished(self, task: Task) -> TooManyTasks | None:
        """Return the error of a principal with too many unfinished tasks for one more; `None` for the others."""
        limit = self.max_unfinished(task.principal)
        if limit is None or await self._store.tasks.count_unfinished(task.principal) < limit:
            return None
        return TooManyTasks(f"You have {limit} unfinished tasks, as many as you may have at once.")

    def limits(self, task: Task) -> Sequence[Limit]:
        """Return the limits per period that apply to a task."""
        return [limit for limit, _ in self._applicable(task) if limit.period != "call"]

    def exceeds_call_limit(self, task: Task) -> OverBudget | None:
        """Return the error of the first limit per call that this task exceeds; `None` if it exceeds none."""
        for limit, counted in self._applicable(task):
            if limit.period == "call" and counted > limit.amount:
                return OverBudget(
                    f"The budget {limit.text} is exceeded: {task.request.label} at {task.provider} counts "
                    f"{_price(counted, limit.unit, _credits_behind(limit.unit, task))}, "
                    f"and waiting does not change that.",
                    next_step=_next_step(limit, is_ever_free=False),
                )
        return None

    def needs_confirmation(self, task: Task) -> NotConfirmed | None:
        """Return why a task may not be at its new provider: a person can no longer be asked to confirm the cost."""
        if request := self.confirmation_request(task):
            return NotConfirmed(f"{request} is above {request.limit}, and this cost was not confirmed.")
        return None

    async def exceeds_period_limit(self, task: Task) -> OverBudget | None:
        """Return the error of the period limit that has no room for this task the longest; `None` if all have."""
        found: list[tuple[float, OverBudget]] = []
        for limit, counted in self._applicable(task):
            if limit.period == "call":
                continue
            spent = await self._store.spend.since(
                limit.since(task.created_at),
                provider=task.provider if limit.is_per_provider else None,
                principal=task.principal if limit.principal else None,
                except_task=task.id,
            )
            spendings = [(one.at, limit.counted(one.provider, one.counted) or Decimal(0)) for one in spent]
            if sum(amount for _, amount in spendings) + counted > limit.amount:
                free_at = _room_at(limit, counted, spendings)
                found.append((free_at, _over_budget(limit, task, counted, spendings, free_at)))
        return max(found, key=lambda one: one[0])[1] if found else None

    def _applicable(self, task: Task) -> Iterator[tuple[Limit, Decimal]]:
        """Yield the limits that apply to a task, each with what the task is charged as against it.

        What a caller pays with a key of their own counts towards the limits of principals only.
        """
        own = [
            replace(limit, credit_prices=self._credit_prices) for limit in self._principals.limits_of(task.principal)
        ]
        for limit in (*self._limits, *own):
            if limit.is_for(task.principal) and (limit.principal or not task.has_own_key):
                counted = limit.counted(task.provider, task.charges)
                if counted is not None:
                    yield limit, counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Which of the configured offers a limit applies to."""

    setting: str
    limit: str
    """As the setting gives it."""
    provider: str | None
    """The only provider that it applies to."""
    unit: Unit
    covered: tuple[str, ...]
    """The providers whose offers it applies to."""
    missed: Mapping[str, Unit]
    """The providers with offers that it does not apply to, and the units of these."""

    def __str__(self) -> str:
        missed = ", ".join(f"{name} charges in {unit}" for name, unit in self.missed.items())
        if self.covered:
            return f"{self.limit} covers {', '.join(self.covered)} only: {missed}"
        why = missed or f"{self.provider} is not used"
        return f"{self.limit} covers none of the configured offers: {why}"

    @property
    def next_step(self) -> str:
        """How to change a limit that covers nothing."""
        if not self.missed:
            return f"Set the key of {self.provider}, or correct {self.setting}."
        if self.unit == "credits":
            return f"Write it in usd in {self.setting}."
        priced = ",".join(f"0.01usd@{name}" for name in self.missed)
        return f"Write it in credits in {self.setting}, or say what a credit costs: JOURNEY_MCP_CREDIT_PRICE={priced}."


def reaches(settings: Settings, catalog: Catalog) -> Iterator[Reach]:
    """Yield what every limit applies to, those of JOURNEY_MCP_BUDGET first."""
    prices = settings.credit_price
    for limit in settings.spending_limits:
        yield _reach("JOURNEY_MCP_BUDGET", limit, catalog, prices)
    for unit, bound in settings.confirm_above.items():
        asked = Limit(text=f"{bound:f}{unit}", amount=bound, unit=unit, period="call", credit_prices=prices)
        yield _reach("JOURNEY_MCP_CONFIRM_ABOVE", asked, catalog, prices)


def warn_of_idle_limits(settings: Settings, catalog: Catalog) -> None:
    """Log every limit that applies to none of the configured offers, and so limits nothing."""
    for reach in reaches(settings, catalog):
        if not reach.covered:
            _log.warning("%s: %s. %s", reach.setting, reach, reach.next_step)


def _reach(setting: str, limit: Limit, catalog: Catalog, prices: CreditPrices) -> Reach:
    covered: dict[str, None] = {}
    missed: dict[str, Unit] = {}
    for offer in (offer for offers in catalog.offers.values() for offer in offers):
        unit = unit_of(offer, catalog, prices)
        if limit.provider not in (None, offer.provider):
            continue
        if unit is None or limit.counted(offer.provider, charge(None, unit, UNKNOWN_COST)) is not None:
            covered[offer.provider] = None
        else:
            missed[offer.provider] = unit
    return Reach(
        setting=setting,
        limit=limit.text,
        provider=limit.provider,
        unit=limit.unit,
        covered=tuple(covered),
        missed=missed,
    )


def _confirmation_request(task: Task, amount: Decimal, unit: Unit, bound: Decimal | None) -> ConfirmationRequest:
    return ConfirmationRequest(
        model=task.request.label,
        provider=task.provider,
        amount=amount,
        unit=unit,
        bound=bound,
        credits=_credits_behind(unit, task),
        is_known=task.cost is not None,
    )


def _confirm_above(bound: Decimal, unit: Unit) -> str:
    return f"JOURNEY_MCP_CONFIRM_ABOVE ({bound:f} {unit})"


def _over_budget(
    limit: Limit, task: Task, counted: Decimal, spendings: Sequence[tuple[float, Decimal]], free_at: float
) -> OverBudget:
    spent = sum((amount for _, amount in spendings), Decimal(0))
    is_ever_free = free_at < math.inf
    again = "Waiting does not change that."
    if is_ever_free:
        again = f"There is room again in {duration(free_at - task.created_at)}, at {timestamp(free_at)}."
    return OverBudget(
        f"The budget {limit.text} is used up: {task.request.label} at {task.provider} counts "
        f"{_price(counted, limit.unit, _credits_behind(limit.unit, task))}, {_shown(spent)} are spent, "
        f"{_shown(max(limit.amount - spent, Decimal(0)))} are left. {again}",
        next_step=_next_step(limit, is_ever_free=is_ever_free),
        retry_after_s=round(free_at - task.created_at, 1) if is_ever_free else None,
    )


def _room_at(limit: Limit, counted: Decimal, spendings: Sequence[tuple[float, Decimal]]) -> float:
    """Return when enough of what was spent is older than the period; infinity if that never happens."""
    length_s = PERIODS[limit.period]
    if length_s is None or counted > limit.amount:
        return math.inf
    left = sum((amount for _, amount in spendings), Decimal(0))
    for at, amount in spendings:
        left -= amount
        if left + counted <= limit.amount:
            return at + length_s
    return math.inf


def _next_step(limit: Limit, *, is_ever_free: bool) -> NextStep:
    choose = "Wait, or choose" if is_ever_free else "Choose"
    return f"Nothing was sent. {choose} a cheaper model, or " + ask_person(f"raise {limit.source}.")


def _credits_behind(unit: Unit, task: Task) -> Decimal | None:
    """Return the cost in credits of a task that is charged in dollars only by the price of a credit."""
    return task.charges.get("credits") if unit not in task.charges else None


def _price(amount: Decimal, unit: Unit, credits_behind: Decimal | None) -> str:
    suffix = f" ({_shown(credits_behind)} credits)" if credits_behind is not None else ""
    return f"{_shown(amount)} {unit}{suffix}"


def _shown(amount: Decimal) -> str:
    return f"{amount.normalize():f}"

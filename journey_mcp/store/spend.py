"""Spend: what tasks cost, and whether a limit has room for one more."""

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from journey_mcp.core.limits import CreditPrices, Limit
from journey_mcp.core.money import Charges, SpendTotal, Unit
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.store.database import Database
from journey_mcp.store.rows import MICRO, micro, read_charges
from journey_mcp.store.schema import tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What one task costs."""

    at: float
    """Seconds of the Unix epoch."""
    principal: str
    provider: str
    model: str
    counted: Charges
    """What counts against budgets: the cost if it is known, else what unknown costs count."""
    unit: Unit | None
    """The unit in which the cost is known."""
    is_reported: bool
    """Reported by the provider; else it is the registry's list price."""
    is_sent: bool
    """Its request has left; what only waits is reserved."""
    is_unconfirmed: bool
    """It was sent and never answered: perhaps it was not charged."""


class Spend:
    """What the tasks of the database cost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(
        self, at: float, *, provider: str | None = None, principal: str | None = None, except_task: str = ""
    ) -> list[Spending]:
        """Return what tasks created after that time count, the oldest first, at one provider or at all.

        Without a principal, those of all that the operator pays.
        """
        query = sa.select(*_READ).where(
            tasks.c.created_at > at,
            tasks.c.id != except_task,
            sa.or_(tasks.c.micro_credits > 0, tasks.c.micro_usd > 0, tasks.c.submission.in_(_SENT)),
        )
        if provider is not None:
            query = query.where(tasks.c.provider == provider)
        query = query.where(_PAID_BY_OPERATOR if principal is None else tasks.c.principal == principal)
        rows = await self._database.reader.rows(query.order_by(tasks.c.created_at))
        return [
            Spending(
                at=row["created_at"],
                principal=row["principal"],
                provider=row["provider"],
                model=row["model"],
                counted=read_charges(row),
                unit=row["cost_unit"],
                is_reported=row["cost_source"] == "provider",
                is_sent=row["submission"] in _SENT,
                is_unconfirmed=row["final"] and row["submission"] == Submission.SENT.value,
            )
            for row in rows
        ]

    async def by_provider(self, *, principal: str | None, since: float, except_provider: str) -> list[SpendTotal]:
        """Return what the principal's tasks created since then cost, by provider and unit, in their order.

        Without a principal, those of all that the operator pays.
        """
        values = {"since": since, "except_provider": except_provider}
        if principal is None:
            rows = await self._database.reader.rows(_BY_PROVIDER.where(_PAID_BY_OPERATOR), values)
        else:
            rows = await self._database.reader.rows(_BY_PROVIDER_OF, {"of_principal": principal, **values})
        return [
            SpendTotal(
                provider=row["provider"],
                unit=row["cost_unit"],
                amount=read_charges(row).get(row["cost_unit"], Decimal(0)),
                tasks=row["tasks"],
            )
            for row in rows
        ]


def within(limit: Limit, task: Task) -> sa.ColumnElement[bool] | None:
    """Return the condition that the limit has room for the task's charges; `None` if it does not apply to them."""
    counted = limit.counted(task.provider, task.charges)
    return None if counted is None else _spent(limit, task) + micro(counted) <= micro(limit.amount)


def lock_of(limit: Limit, task: Task) -> str:
    """Return the lock under which a limit is counted: all tasks that count together have the same."""
    provider = task.provider if limit.is_per_provider else "*"
    return f"budget:{provider}:{task.principal if limit.principal else '*'}"


def _spent(limit: Limit, task: Task) -> sa.ColumnElement[int]:
    """Return what counts against a limit already, in millionths."""
    counted = tasks.c.micro_credits if limit.unit == "credits" else _micro_usd(limit.credit_prices)
    query = sa.select(sa.func.coalesce(sa.func.sum(counted), 0)).where(
        tasks.c.created_at > limit.since(task.created_at), tasks.c.id != task.id
    )
    if limit.is_per_provider:
        query = query.where(tasks.c.provider == task.provider)
    if limit.principal is not None:
        return query.where(tasks.c.principal == task.principal).scalar_subquery()
    # subtracted, and not left out, because the sum of all is read from an index alone
    return query.scalar_subquery() - query.where(~_PAID_BY_OPERATOR).scalar_subquery()


def _micro_usd(credit_prices: CreditPrices) -> sa.ColumnElement[int]:
    """Return what a task counts in dollars, in millionths.

    Credits count if nothing is known in dollars and the provider's credits have a price.
    """
    if not credit_prices:
        return tasks.c.micro_usd
    price = sa.case(*((tasks.c.provider == name, micro(price)) for name, price in credit_prices.items()), else_=0)
    return sa.case((tasks.c.micro_usd > 0, tasks.c.micro_usd), else_=tasks.c.micro_credits * price // MICRO)


_SENT = {Submission.SENT.value, Submission.ACCEPTED.value}
_PAID_BY_OPERATOR = tasks.c.sealed_key.is_(None)
_BY_PROVIDER = (
    sa.select(
        *(tasks.c.provider, tasks.c.cost_unit, sa.func.count().label("tasks")),
        *(sa.func.sum(column).label(column.name) for column in (tasks.c.micro_credits, tasks.c.micro_usd)),
    )
    .where(
        tasks.c.created_at >= sa.bindparam("since"),
        tasks.c.submission.in_(_SENT),
        tasks.c.provider != sa.bindparam("except_provider"),
    )
    .group_by(tasks.c.provider, tasks.c.cost_unit)
    .order_by(tasks.c.provider, tasks.c.cost_unit)
)
_BY_PROVIDER_OF = _BY_PROVIDER.where(tasks.c.principal == sa.bindparam("of_principal"))
_READ = [
    *(tasks.c.created_at, tasks.c.principal, tasks.c.provider, tasks.c.model),
    *(tasks.c.micro_credits, tasks.c.micro_usd),
    *(tasks.c.cost_unit, tasks.c.cost_source, tasks.c.final, tasks.c.submission),
]

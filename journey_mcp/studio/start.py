"""Starting a task: stored within its limits, or replaced by the task of a duplicate call, and then submitted."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import Declined, NotConfirmed, SetupError
from journey_mcp.core.notices import Notice
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.engine.budget import Budget, Confirm
from journey_mcp.engine.deduplication import KEPT_S, Created, Deduplication
from journey_mcp.engine.failover import Attempt
from journey_mcp.engine.in_flight import InFlight, Started
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.submitter import Submitter
from journey_mcp.studio.attempts import Plan

_TRIES = 100
"""How often storing a task is tried while duplicates come and go: more often than ever happens."""


class NewSubmitter(Protocol):
    """Maker of the submitter of a stored task."""

    def __call__(self, task_id: str, attempts: Sequence[Attempt], *, notices: Sequence[Notice]) -> Submitter:
        """Return a submitter that makes these attempts; `notices` are those of the first one."""
        ...


class Starter:
    """Start of tasks: stored and then submitted, within the budget and without duplicates."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        budget: Budget,
        deduplication: Deduplication,
        in_flight: InFlight,
        new_submitter: NewSubmitter,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._budget = budget
        self._deduplication = deduplication
        self._in_flight = in_flight
        self._new_submitter = new_submitter

    async def early_duplicate(self, principal: Principal, key: str, *, is_asked_always: bool) -> Created | None:
        """Return the task of a duplicate call before anything that a budget would refuse or a person is asked about.

        Without limits and questions `start` finds it: a duplicate is rare, and a look costs time.
        """
        if self._budget.has_limits(principal) or is_asked_always:
            return await self.duplicate(principal, key)
        return None

    async def duplicate(self, principal: Principal, key: str) -> Created | None:
        """Return the task that a call with this key gets instead of a new one.

        Raises:
            PerhapsPaid: as `Deduplication.find`.
        """
        return await self._deduplication.find(principal, key)

    def check_call_limit(self, task: Task) -> None:
        """Compare the task with the limits that hold for a single call.

        Raises:
            OverBudget: it may not start, now or later.
        """
        if task.provider != SANDBOX and (over := self._budget.exceeds_call_limit(task)):
            raise over

    async def check_budget(self, task: Task, confirm: Confirm | None) -> None:
        """Compare the task with the budget, and ask a person if the cost needs it; the sandbox is free.

        Raises:
            OverBudget, NotConfirmed, Declined: the task may not start.
            InputRequired: the person's answer comes with a repeated call.
        """
        if task.provider == SANDBOX:
            return
        if over := self._budget.exceeds_call_limit(task) or await self._budget.exceeds_period_limit(task):
            raise over
        is_asked_always = confirm is not None and confirm.is_asked_always
        if question := self._budget.confirmation_request(task, is_asked_always=is_asked_always):
            if confirm is None:
                raise NotConfirmed(f"{question} is above {question.limit}, and this client cannot ask the person.")
            if not await confirm.ask(question):
                raise Declined(f"The person declined: {question}.")

    async def start(self, task: Task, plan: Plan, *, fresh: bool) -> Created:
        """Store the task and begin to submit it, or return the task of a duplicate call unless it is to be `fresh`.

        It completes though the caller is cancelled: a stored task is started like any other.

        Raises:
            OverBudget, PerhapsPaid, StoreUnavailable, TooManyTasks: nothing was stored or sent.
        """
        return await self._in_flight.start(partial(self._start, task, plan, fresh=fresh))

    async def _start(self, task: Task, plan: Plan, *, fresh: bool) -> Started[Created]:
        submitter = self._new_submitter(task.id, plan.attempts, notices=plan.notices)
        task = await submitter.sent_at_once(task)
        if duplicate := await self._stored(task, fresh=fresh):
            return Started(duplicate)
        return Started(Created(task), (task.id, submitter))

    async def _stored(self, task: Task, *, fresh: bool) -> Created | None:
        """Store the task; return the task of a duplicate call that is there instead."""
        limits, max_unfinished = self._budget.limits(task), self._budget.max_unfinished(task.principal)
        key = task.deduplication_key or ""
        for _ in range(_TRIES):
            unconfirmed_since = math.inf if fresh else self._clock.now() - KEPT_S
            if await self._journal.add(
                task, limits, max_unfinished=max_unfinished, unconfirmed_since=unconfirmed_since
            ):
                return None
            if not fresh and (duplicate := await self._deduplication.find(task.principal, key)):
                return duplicate
            if over := await self._budget.exceeds_unfinished(task) or await self._budget.exceeds_period_limit(task):
                raise over
            if fresh:
                await self._deduplication.detach_all(task.principal, key)
        raise SetupError(
            "An identical request blocks this one, but the task database does not return it. Nothing was sent.",
            next_step="Call again with fresh=true, or with a different prompt.",
        )

"""Several requests as one run: checked and confirmed together, made at the same time, and each paid once.

A run has an id, which the command prints at its start. The same command with `--run ID` goes on with it: what it has
made already is returned, and only the rest is sent.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import anyio

from journey_mcp.cli.images.confirming import AskTotal, declined, not_asked
from journey_mcp.cli.images.fetching import COPIED_WITHIN_S
from journey_mcp.cli.images.interruption import Unfinished, latest
from journey_mcp.cli.images.task_results import has_failed
from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import JourneyError, NotConfirmed, OverBudget
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.runs import RunEntry, check_run_id, new_run_id
from journey_mcp.core.tasks import SANDBOX, Submission, Task
from journey_mcp.engine.budget import Confirm, ConfirmationRequest
from journey_mcp.studio import Studio
from journey_mcp.studio.create import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Requests that are made once each, however often the run is resumed."""

    id: str
    requests: Sequence[ImageRequest]
    places: Sequence[str] = ()
    """Where each request comes from, as in `prompts.txt, line 3`, for errors; empty if there is nothing to say."""

    def entry(self, index: int) -> RunEntry:
        """Return the place of a request, counted from 0."""
        return RunEntry(run_id=self.id, index=index + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one request."""

    index: int
    """Of the request, from 0."""
    task: Task | None = None
    """As it is after the wait; `None` if nothing was sent."""
    error: JourneyError | None = None
    """Why nothing was sent, which is free."""

    @property
    def has_failed(self) -> bool:
        """Whether there is no task, none that was sent, or one that failed."""
        task = self.task
        return task is None or task.submission is Submission.PREPARED or has_failed(task)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a run is made."""

    ask: AskTotal | None
    """`None` if nobody can be asked."""
    at_once: int
    """How many requests are made at the same time."""
    seconds: float
    """How long each task is waited for."""
    check: Callable[[Sequence[Estimate]], None] | None = None
    """Checks something else before anything is confirmed or sent, and raises what is wrong."""


Finished = Callable[[Outcome], Awaitable[None]]


def run_of(
    requests: Sequence[ImageRequest], run_id: str | None, *, now: float, keep_days: int, places: Sequence[str] = ()
) -> Run:
    """Return a new run of these requests, or the one with this id, which goes on.

    Raises:
        InvalidArguments: the run with this id has other requests, or is too old.
    """
    if run_id is None:
        run_id = new_run_id(requests, now)
    else:
        check_run_id(run_id, requests, now, keep_days=keep_days)
    return Run(id=run_id, requests=requests, places=places)


async def make_run(
    studio: Studio, run: Run, options: RunOptions, unfinished: Unfinished, finished: Finished
) -> list[Outcome]:
    """Make the requests of a run; return the outcome of each, in their order.

    First all are checked; the sum of the costs of those that the run has not made yet is shown, and confirmed if it is
    above JOURNEY_MCP_CONFIRM_ABOVE. `finished` is called with each outcome as it is known, after the copies of its
    images. Once the budget is used up, nothing more is sent. `unfinished` is kept up to date for Ctrl-C.

    Raises:
        InvalidRequest, OverBudget: the first request that cannot be made, with its place; nothing was sent.
        Declined, NotConfirmed: the sum was not confirmed; nothing was sent.
    """
    estimates = [await _estimate(studio, run, index) for index in range(len(run.requests))]
    if options.check:
        options.check(estimates)
    await _confirm_total(studio, estimates, options.ask)
    if unfinished.resume:
        console.info(f"Run {run.id}. If it is interrupted: {unfinished.resume}")
    return await _Making(studio, run, estimates, options, unfinished, finished).all()


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code of a run: whether all requests, some or none became tasks that did not fail."""
    failed = sum(outcome.has_failed for outcome in outcomes)
    if failed == 0:
        return console.OK
    return console.FAILED if failed == len(outcomes) else console.PARTLY_FAILED


class _Making:
    """One run, with what makes its requests."""

    def __init__(
        self,
        studio: Studio,
        run: Run,
        estimates: Sequence[Estimate],
        options: RunOptions,
        unfinished: Unfinished,
        finished: Finished,
    ) -> None:
        self._studio = studio
        self._run = run
        self._estimates = estimates
        self._options = options
        self._unfinished = unfinished
        self._finished = finished
        self._over_budget: OverBudget | None = None
        self._outcomes: dict[int, Outcome] = {}

    async def all(self) -> list[Outcome]:
        """Make all requests, so many at the same time; return the outcomes in order."""
        count = len(self._estimates)
        with console.progress(f"{count} requests") as report:
            left = iter(range(count))

            async def work() -> None:
                for index in left:
                    outcome = self._outcomes[index] = await self._outcome(index)
                    await self._finished(outcome)
                    await report(len(self._outcomes) / count, f"{len(self._outcomes)} of {count} requests")

            try:
                async with anyio.create_task_group() as group:
                    for _ in range(min(self._options.at_once, count)):
                        group.start_soon(work)
            except anyio.get_cancelled_exc_class():
                self._unfinished.tasks = await latest(self._studio, self._unfinished.tasks)
                raise
        return [self._outcomes[index] for index in range(count)]

    async def _outcome(self, index: int) -> Outcome:
        if self._over_budget and not self._estimates[index].is_made:
            return Outcome(index=index, error=self._over_budget)
        try:
            return Outcome(index=index, task=await self._made(index))
        except OverBudget as error:
            self._over_budget = error
            return Outcome(index=index, error=error)
        except JourneyError as error:
            return Outcome(index=index, error=error)

    async def _made(self, index: int) -> Task:
        """Return the task of a request after the wait."""
        while True:
            created = await self._studio.create(
                self._run.requests[index],
                LOCAL,
                confirm=_as_estimated(self._estimates[index]),
                entry=self._run.entry(index),
            )
            self._unfinished.tasks.append(created.task)
            task = await self._studio.wait_for_new(created.task, self._options.seconds)
            if created.notice is None or task.submission is not Submission.REFUSED:
                return (await self._studio.wait_for_copies({task.id: task}, COPIED_WITHIN_S))[task.id]
            # an earlier process of this run ended before it had sent the request: it is sent now


def _as_estimated(estimate: Estimate) -> Confirm:
    """Agree to a cost that was part of the sum, and to no higher one."""

    async def agree(question: ConfirmationRequest) -> bool:
        amount = estimate.task.charges.get(question.unit)
        if question.provider != estimate.task.provider and (amount is None or question.amount > amount):
            raise NotConfirmed(
                f"{question} was not part of the sum.",
                next_step="Nothing was sent. Call again to see the new sum.",
            )
        return True

    return Confirm(agree)


async def _estimate(studio: Studio, run: Run, index: int) -> Estimate:
    try:
        return await studio.estimate(run.requests[index], LOCAL, entry=run.entry(index))
    except JourneyError as error:
        raise (at_place(run.places[index], error) if run.places else error) from error


def at_place(place: str, error: JourneyError) -> JourneyError:
    """Return the error of one line of several, of which none was sent."""
    advice = error.failure.advice
    next_step = (advice + " " if advice else "") + "Nothing was sent for the other lines either."
    return type(error)(f"{place}: {error}", next_step=next_step, retry_after_s=error.failure.retry_after_s)


async def _confirm_total(studio: Studio, estimates: Sequence[Estimate], ask: AskTotal | None) -> None:
    """Show what the requests cost together, and let the person confirm it if that is needed."""
    new = [estimate.task for estimate in estimates if not estimate.is_made]
    console.info(_total_text(new, len(estimates) - len(new)))
    question = studio.budget.total_confirmation_request(new)
    if question is None:
        return
    if ask is None:
        raise not_asked(f"{question} are above {question.limit}")
    if not await ask(question):
        raise declined(question)


def _total_text(new: Sequence[Task], made: int) -> str:
    earlier = f"{made} of {made + len(new)} tasks are there already; " if made else ""
    return f"{earlier}{len(new)} {'more' if made else 'tasks'}: {'; '.join(_totals(new)) or 'nothing is charged'}."


def _totals(tasks: Sequence[Task]) -> Iterator[str]:
    """Yield the sums of the list prices, by provider and unit."""
    sums: dict[tuple[str, str], Decimal] = {}
    paid = [task for task in tasks if task.provider != SANDBOX]
    for task in paid:
        if task.cost:
            key = (task.cost.unit, task.provider)
            sums[key] = sums.get(key, Decimal(0)) + task.cost.amount
    yield from (f"about {amount.normalize():f} {unit} at {provider}" for (unit, provider), amount in sums.items())
    if unknown := sum(task.cost is None for task in paid):
        yield f"{unknown} of unknown price"

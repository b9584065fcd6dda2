"""One call, made as a caller makes it, and its observed outcome."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from manual_clock import ManualClock
from support import created

from journey_mcp.core.errors import InvalidRequest
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.store import Store
from journey_mcp.studio import Studio

from .cases import Case
from .faults import NOWHERE
from .outcomes import Outcome

_POLLS = 6
"""The number of polls after which the caller has every notice about failed polls."""
_SETTLE_S = 0.5
"""Time for pending work."""
_SOON_S, _LONG_S = 30.0, 5000.0
_SHORT_JUMP_S, _LONG_JUMP_S = 5.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The observed outcome of a call."""

    task: Task | None = None
    """The final task in the journal; `None` if the call was rejected."""
    seen: Task | None = None
    """The task as the caller saw it during the fault, or at the end."""
    refusal: str | None = None
    requests: int = 0
    """The number of creating requests that the provider received."""
    created: int = 0
    """The number of tasks that the provider created."""

    def evaluated(self, case: Case, origin: str) -> Outcome:
        """Return the outcome and check the rules that hold in every case. The images are at `origin`."""
        try:
            self._check(case, origin)
        except AssertionError as error:
            error.add_note(str(case))
            raise
        return self._outcome(case.expected)

    def _outcome(self, wanted: Outcome) -> Outcome:
        """Return the outcome, with the expected texts where they match."""
        task, seen = self.task, self.seen
        if task is None or seen is None:
            return Outcome(
                status="not started",
                error=self.refusal,
                requests=self.requests,
                created=self.created,
                journal="no task",
            )
        is_met = wanted.or_more and self.requests >= wanted.requests
        is_free = task.submission is Submission.REFUSED and task.cost is None
        is_copied = seen.images[0].path is not None if seen.status is Status.SUCCEEDED else None
        return Outcome(
            status=str(seen.status),
            error=seen.failure.code if seen.failure else None,
            notices=pieces(tuple(map(str, seen.notices)), wanted),
            progress=None if seen.status.is_final else seen.progress,
            copied=is_copied if wanted.copied is not None else None,
            requests=wanted.requests if is_met else self.requests,
            or_more=is_met,
            created=self.created,
            journal=f"{task.submission}, {'free' if is_free else 'cost kept'}",
            then=None if seen.status.is_final else str(task.status),
        )

    def _check(self, case: Case, origin: str) -> None:
        assert self.created <= 1, "paid twice"
        task = self.task
        if task is None:
            return
        assert "secret-key" not in repr(task)
        assert task.submission in {Submission.SENT, Submission.ACCEPTED} or (self.created, task.cost) == (0, None)
        assert task.submission is Submission.REFUSED or task.cost or not case.route.has_price
        if task.status is Status.SUCCEEDED:
            where = NOWHERE if case.fault.has_dead_links else origin
            assert [image.url.startswith(where) for image in task.images] == [True] * case.route.images
        if retry_after_s := case.fault.retry_after_s:
            assert task.updated_at - task.created_at >= retry_after_s
        if task.failure and task.failure.code != "generation_failed":
            words = f"{task.failure.message} {task.failure.next_step}"
            is_warned = "may have been c" in words or "be paid for" in words
            is_calmed = "Nothing was charged" in words or "Nothing was sent" in words
            is_free = task.submission is Submission.REFUSED
            assert (is_warned, is_calmed) == (not is_free, is_free), words


def pieces(notices: tuple[str, ...], wanted: Outcome) -> tuple[str, ...]:
    """Return the expected piece of each notice, or the whole notice if it has none of them."""
    return tuple(next((piece for piece in wanted.notices if piece in notice), notice) for notice in notices)


async def call(
    studio: Studio,
    journal: Store,
    request: ImageRequest,
    injection: AbstractAsyncContextManager[None],
    clock: ManualClock,
    *,
    polls: Callable[[], int] | None,
    ends_task: bool,
) -> Observed:
    """Make a call, wait for its end, and read the journal.

    The fault lasts while `injection` is open: until the task ends. If the number of its `polls` is given and the fault
    does not end the task, only until the caller has a notice or the provider was polled a few times.
    """
    before = len(await studio.newest(LOCAL))
    try:
        async with injection:
            polled = polls() if polls else 0
            task = await created(studio, request)
            if polls and not ends_task:
                task = await _wait_for(studio, task, clock, lambda task: task.notices or polls() >= polled + _POLLS)
            else:
                task = await _wait_for(studio, task, clock)
            seen = task
    except InvalidRequest as error:
        assert len(await studio.newest(LOCAL)) == before, "a task was stored"
        return Observed(refusal=error.code)
    task = await _wait_for(studio, task, clock)
    stored = (await journal.tasks.get([task.id], principal=LOCAL))[task.id]
    assert (stored.status, stored.failure, stored.images) == (task.status, task.failure, task.images)
    return Observed(task=stored, seen=seen)


async def _wait_for(
    studio: Studio, task: Task, clock: ManualClock, is_met: Callable[[Task], object] = lambda _: False
) -> Task:
    """Fetch the task repeatedly until it is final or the condition is met.

    Time jumps between two fetches; a lease is renewed every two seconds of passing time. The first jumps are shorter
    than a lease.
    """
    waited_s = 0.0
    while True:
        await clock.sleep(_SETTLE_S)
        task = (await studio.fetch([task.id], LOCAL))[task.id]
        if task.status.is_final or is_met(task) or waited_s > _LONG_S:
            return task
        jump_s = _SHORT_JUMP_S if waited_s < _SOON_S else _LONG_JUMP_S
        clock.advance(jump_s)
        waited_s += jump_s

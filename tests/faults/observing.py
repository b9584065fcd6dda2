"""One call, made as a caller makes it, and what there is to see of it afterwards."""

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
"""After so many polls the caller has every notice about polls that fail."""
_SETTLE_S = 0.5
"""Time for what is due."""
_SOON_S, _LONG_S = 30.0, 5000.0
_SHORT_JUMP_S, _LONG_JUMP_S = 5.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What became of a call."""

    task: Task | None = None
    """As the journal has it in the end; `None` if the call was refused."""
    seen: Task | None = None
    """As the caller saw it while the fault lasted, or in the end."""
    refusal: str | None = None
    requests: int = 0
    """How many creating requests the provider received."""
    created: int = 0
    """How many tasks the provider created."""

    def judged(self, case: Case, origin: str) -> Outcome:
        """Return the outcome; check what holds in every case, whatever is expected. The images are at `origin`."""
        try:
            self._check(case, origin)
        except AssertionError as error:
            error.add_note(str(case))
            raise
        return self._outcome(case.expected)

    def _outcome(self, wanted: Outcome) -> Outcome:
        """Return it in the words of the expectation where they mean the same."""
        task, seen = self.task, self.seen
        if task is None or seen is None:
            return Outcome(
                status="not started",
                error=self.refusal,
                requests=self.requests,
                created=self.created,
                journal="no task",
            )
        is_enough = wanted.or_more and self.requests >= wanted.requests
        is_free = task.submission is Submission.REFUSED and task.cost is None
        is_copied = seen.images[0].path is not None if seen.status is Status.SUCCEEDED else None
        return Outcome(
            status=str(seen.status),
            error=seen.failure.code if seen.failure else None,
            notices=pieces(tuple(map(str, seen.notices)), wanted),
            progress=None if seen.status.is_final else seen.progress,
            copied=is_copied if wanted.copied is not None else None,
            requests=wanted.requests if is_enough else self.requests,
            or_more=is_enough,
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
            where = NOWHERE if case.fault.points_nowhere else origin
            assert [image.url.startswith(where) for image in task.images] == [True] * case.route.images
        if holds_off_s := case.fault.holds_off_s:
            assert task.updated_at - task.created_at >= holds_off_s
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
    strike: AbstractAsyncContextManager[None],
    clock: ManualClock,
    *,
    polls: Callable[[], int] | None,
    lasts: bool,
) -> Observed:
    """Make a call, wait for its end, and read the journal.

    While `strike` lasts something goes wrong. It ends with the task; if the number of its `polls` is given and the
    fault does not last, as soon as the caller has a notice or the provider was polled a few times.
    """
    before = len(await studio.newest())
    try:
        async with strike:
            polled = polls() if polls else 0
            task = await created(studio, request)
            if polls and not lasts:
                task = await _look(studio, task, clock, lambda task: task.notices or polls() >= polled + _POLLS)
            else:
                task = await _look(studio, task, clock)
            seen = task
    except InvalidRequest as error:
        assert len(await studio.newest()) == before, "a task was stored"
        return Observed(refusal=error.code)
    task = await _look(studio, task, clock)
    stored = (await journal.tasks.get([task.id], principal=LOCAL))[task.id]
    assert (stored.status, stored.failure, stored.images) == (task.status, task.failure, task.images)
    return Observed(task=stored, seen=seen)


async def _look(
    studio: Studio, task: Task, clock: ManualClock, is_enough: Callable[[Task], object] = lambda _: False
) -> Task:
    """Look at the task again and again until it is final, or it is enough.

    Time jumps from one look to the next: while it passes, a lease is renewed every two seconds. At first the jumps are
    shorter than a lease.
    """
    waited_s = 0.0
    while True:
        await clock.sleep(_SETTLE_S)
        task = (await studio.fetch([task.id]))[task.id]
        if task.status.is_final or is_enough(task) or waited_s > _LONG_S:
            return task
        jump_s = _SHORT_JUMP_S if waited_s < _SOON_S else _LONG_JUMP_S
        clock.advance(jump_s)
        waited_s += jump_s

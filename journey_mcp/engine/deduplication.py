"""The same wish once: an equal call joins the task that is on its way instead of paying for a second one."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from journey_mcp.core.errors import PerhapsPaid
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import EqualCall, Task
from journey_mcp.engine.journal import Journal

KEPT_S = 600.0
"""How long a result that reached nobody is kept for an equal call, and an unclear end stands in its way."""
_FRESH = "fresh=true makes a new picture."


@dataclass(frozen=True, slots=True)
class Created:
    """What became of a call: a task of its own, or one that it joined."""

    task: Task
    notice: str | None = None
    """Why it joined; told to this caller."""


def digest(request: ImageRequest, images: Sequence[str] = (), sandbox_url: str | None = None) -> str:
    """What makes two calls of a principal equal: every argument, and what lies in the files that they name.

    The request names its images as `InputImages.named_in` does. A task of a sandbox, which ends with its server, is
    equal to none elsewhere.
    """
    plain = {"request": request.as_plain(), "pictures": list(images)}
    if sandbox_url:
        plain["sandbox"] = sandbox_url
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


async def joinable(
    journal: Journal, principal: str, deduplication_key: str, *, now: float, delivered: Collection[str] = ()
) -> Created | None:
    """The task of an equal call that is still running, or whose result has reached nobody; `None` when there is none.

    `now` is the time that counts, and `delivered` are tasks whose results have reached somebody, though the store does
    not know yet.

    Raises:
        PerhapsPaid: an equal call ended a short while ago without an answer.
    """
    while True:
        # before the store is asked: what it knows by then is not among them any more
        reached = frozenset(delivered)
        task = await journal.store.equal(
            principal=principal, deduplication_key=deduplication_key, unclear_since=now - KEPT_S
        )
        if task is None:
            return None
        task = journal.get(task.id) or task
        age_s = now - (task.updated_at if task.status.is_final else task.created_at)
        if task.equal_call is EqualCall.REFUSED:
            raise PerhapsPaid(
                f"An equal call ended {age_s:.0f} s ago as task {task.id} without an answer: it may have been charged."
            )
        if task.id not in reached and not (task.status.is_final and age_s > KEPT_S):
            return _joined(task, age_s)
        # behind it there may be one that ended unclear
        await journal.store.part(task.id)


def _joined(task: Task, age_s: float) -> Created:
    state = "was on its way" if not task.status.is_final else "had a result that may not have been received"
    return Created(
        task, f"An equal call of {age_s:.0f} s ago {state}: this is its task, and nothing more is paid. {_FRESH}"
    )

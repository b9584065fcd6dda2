"""The task: our durable record of one wish, and how what providers tell changes it. No clock, SQL or HTTP."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from journey_mcp.core.errors import Failure, SubmissionUnconfirmed
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Charges, Cost
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest

SANDBOX = "sandbox"
"""The name that results of the built-in sandbox carry in place of a provider's."""


class Submission(StrEnum):
    """How far the creating request came; each state has one right continuation after a crash."""

    PREPARED = "prepared"
    """Stored; no byte of a creating request has left, or the provider said that nothing was created."""
    SENT = "sent"
    """The creating request may have reached the provider, and no answer is stored."""
    ACCEPTED = "accepted"
    """The provider's id is stored."""
    REFUSED = "refused"
    """The provider created nothing."""


class DuplicatePolicy(StrEnum):
    """What a duplicate call gets instead of a task of its own."""

    JOIN = "join"
    """This task."""
    REJECT = "reject"
    """For a while, the error that this task may have been paid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Our durable record under our id. A change makes a new value; a final one never changes."""

    id: str
    principal: Principal
    request: ImageRequest
    provider: str
    base_url: str
    created_at: float
    """Seconds of the Unix epoch, as all times of a task."""
    updated_at: float
    status: Status = Status.QUEUED
    submission: Submission = Submission.PREPARED
    prediction_id: str | None = None
    poll_url: str | None = None
    progress: float | None = None
    images: tuple[OutputImage, ...] = ()
    grid_url: str | None = None
    seed: str | None = None
    cost: Cost | None = None
    notices: tuple[Notice, ...] = ()
    transient_notices: tuple[Notice, ...] = ()
    """Notices that hold only until the provider has answered."""
    failure: Failure | None = None
    charges: Charges = field(default_factory=dict)
    """What it counts against budgets; nothing once it is known to be free."""
    deduplication_key: str | None = None
    """The digest of the call, by which an equal one is known."""
    duplicate_policy: DuplicatePolicy | None = None
    """What comes of such a one."""
    webhook_secret: str | None = field(default=None, repr=False)
    """What the secrets of its webhooks are made of; `None` when nobody listens."""
    callback_deadline: float | None = None
    """Until then a request without an answer may still be told of by a webhook; `None` where there is none."""

    @property
    def callback_secret(self) -> str | None:
        """What its provider is given to sign with: one that refused the task does not know the next one's."""
        if self.webhook_secret is None:
            return None
        return hashlib.sha256(f"{self.provider}:{self.webhook_secret}".encode()).hexdigest()

    @property
    def handle(self) -> Handle | None:
        """What the provider can be asked with; `None` before it accepted."""
        if self.prediction_id is None:
            return None
        return Handle(prediction_id=self.prediction_id, poll_url=self.poll_url)

    def reassigned(self, provider: str, base_url: str, cost: Cost | None, charges: Charges, at: float) -> "Task":
        """Nothing was created where it was; another provider is tried."""
        if self.submission is not Submission.PREPARED:
            return self
        return self._changed(at, provider=provider, base_url=base_url, cost=cost, charges=charges)

    def sent(self, at: float, callback_deadline: float | None = None) -> "Task":
        """The creating request is about to leave."""
        if self.submission is Submission.ACCEPTED:
            return self  # a webhook told of it meanwhile
        return self._changed(at, status=Status.RUNNING, submission=Submission.SENT, callback_deadline=callback_deadline)

    def requeue(self, at: float) -> "Task":
        """The provider said that nothing was created and that it may be tried again."""
        if self.submission is not Submission.SENT:
            return self  # it was not sent, or a webhook told of it meanwhile
        return self._changed(at, status=Status.QUEUED, submission=Submission.PREPARED, callback_deadline=None)

    def accepted(self, prediction: Prediction, at: float) -> "Task":
        """The provider answered the creating request; a quick one may be final already."""
        if self.status.is_final:
            return self
        known = replace(
            self,
            submission=Submission.ACCEPTED,
            prediction_id=prediction.prediction_id,
            poll_url=prediction.poll_url or self.poll_url,
            status=Status.RUNNING,
            transient_notices=(),
            updated_at=at,
        )
        return known.apply(prediction, at)

    def apply(self, prediction: Prediction, at: float) -> "Task":
        """Merge what a provider tells: progress never goes back, and nothing known is lost."""
        if self.status.is_final:
            return self
        merged = replace(
            self,
            status=prediction.status if prediction.status.is_final else self.status,
            progress=self._furthest(prediction),
            images=prediction.images if len(prediction.images) >= len(self.images) else self.images,
            grid_url=prediction.grid_url or self.grid_url,
            seed=prediction.seed or self.seed,
            cost=prediction.cost or self.cost,
            charges=self._charged_for(prediction.cost),
            failure=prediction.failure if prediction.status is Status.FAILED else None,
            notices=tuple(dict.fromkeys((*self.notices, *(prediction.notices if prediction.status.is_final else ())))),
            # a result is joined until it is delivered; nobody waits for a failure once more
            duplicate_policy=None if prediction.status in {Status.FAILED, Status.CANCELED} else self.duplicate_policy,
        )
        return self if merged == self else replace(merged, updated_at=at)

    def _charged_for(self, told: Cost | None) -> Charges:
        """What the task counts once the provider has told a cost; before any was known it counted in every unit."""
        if told is None:
            return self.charges
        return {**(self.charges if self.cost else {}), told.unit: told.amount}

    def failed(self, failure: Failure, at: float) -> "Task":
        """End the task for a reason of ours or of the provider's."""
        submission = Submission.REFUSED if self.submission is Submission.PREPARED else self.submission
        duplicate_policy = DuplicatePolicy.REJECT if failure.code == SubmissionUnconfirmed.code else None
        return self._changed(
            at,
            status=Status.FAILED,
            submission=submission,
            failure=failure,
            duplicate_policy=duplicate_policy,
            transient_notices=(),
        )

    def refused(self, failure: Failure, at: float) -> "Task":
        """End the task because the provider created nothing: it is free."""
        if self.submission is Submission.ACCEPTED:
            return self  # a webhook knows better
        return self._free(at, Status.FAILED, failure)

    def canceled(self, at: float) -> "Task":
        """End the task before anything was sent: it is free."""
        return self if self.submission is not Submission.PREPARED else self._free(at, Status.CANCELED, None)

    def _free(self, at: float, status: Status, failure: Failure | None) -> "Task":
        return self._changed(
            at,
            status=status,
            submission=Submission.REFUSED,
            failure=failure,
            cost=None,
            charges={},
            duplicate_policy=None,
            transient_notices=(),
        )

    def noticed(self, notice: Notice, at: float) -> "Task":
        """Tell the caller something more, once."""
        return self if notice in self.notices else self._changed(at, notices=(*self.notices, notice))

    def noticed_transiently(self, notice: Notice, at: float) -> "Task":
        """Tell the caller something that holds until the provider has answered."""
        return (
            self
            if notice in self.transient_notices
            else self._changed(at, transient_notices=(*self.transient_notices, notice))
        )

    def notices_replaced(self, old: Sequence[Notice], new: Sequence[Notice], at: float) -> "Task":
        """Tell these notices in place of those, which do not hold any more."""
        kept = [notice for notice in self.notices if notice not in old]
        return self._changed(at, notices=tuple(dict.fromkeys([*kept, *new])))

    def _furthest(self, prediction: Prediction) -> float | None:
        if prediction.status is Status.SUCCEEDED:
            return 1.0
        told = [p for p in (self.progress, prediction.progress) if p is not None]
        return max(told, default=None)

    def _changed(self, at: float, **changes: Any) -> "Task":
        if self.status.is_final:
            return self
        return replace(self, updated_at=at, **changes)


def new_task_id() -> str:
    """A fresh id: `tsk_` and 128 random bits."""
    return f"tsk_{secrets.token_urlsafe(16)}"

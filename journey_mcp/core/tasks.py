"""The task: our durable record of one request, and its state changes. No clock, SQL or HTTP."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

from journey_mcp.core.errors import Failure, SubmissionUnconfirmed
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Charges, Cost
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest

SANDBOX = "sandbox"
"""The provider name in results of the built-in sandbox."""


RUN_KEY = "run:"
"""How the deduplication key of a request of a run begins."""


class Submission(StrEnum):
    """Progress of the request that creates the prediction; each state has one right continuation after a crash."""

    PREPARED = "prepared"
    """Stored; no byte of the request was sent, or the provider stated that nothing was created."""
    SENT = "sent"
    """The request may have reached the provider, and no response is stored."""
    ACCEPTED = "accepted"
    """The provider's id is stored."""
    REFUSED = "refused"
    """The provider created nothing."""


class DuplicatePolicy(StrEnum):
    """What a duplicate call gets instead of a new task."""

    JOIN = "join"
    """This task."""
    REJECT = "reject"
    """For a while, the error that this task may have been charged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Our durable record under our id. A change makes a new value; a final task never changes.

    Every change is a method, so that there are more of them than a class should have: what a change sets is decided
    here, and callers say only which one it is.
    """

    id: str
    principal: Principal
    request: ImageRequest
    provider: str
    base_url: str
    """Where it runs; for an account of the caller's own with `#` and the id of the account."""
    created_at: float
    """Seconds of the Unix epoch, like all times of a task."""
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
    """Transient notices: they are removed when the provider has answered."""
    failure: Failure | None = None
    charges: Charges = field(default_factory=dict)
    """What the task counts towards budgets; empty once it is known to be free."""
    deduplication_key: str | None = None
    """The digest of the call; a duplicate call has the same."""
    duplicate_policy: DuplicatePolicy | None = None
    """What happens to a duplicate call; `None`: it creates a new task."""
    webhook_secret: str | None = field(default=None, repr=False)
    """The seed of its callback secrets; `None` if no webhooks are received."""
    callback_deadline: float | None = None
    """Until then a webhook may still report a request that got no response; `None` if no webhook can come."""
    sealed_key: str | None = field(default=None, repr=False)
    """The caller's own key, sealed; empty once it is not needed any more. `None`: a key of the settings is used."""

    @property
    def has_own_key(self) -> bool:
        """Whether it runs at an account of the caller's own, who pays for it."""
        return self.sealed_key is not None

    @property
    def is_of_run(self) -> bool:
        """Whether it was made for a place in a run. The same place gets this task for good, unless nothing was made."""
        return (self.deduplication_key or "").startswith(RUN_KEY)

    @property
    def callback_secret(self) -> str | None:
        """The signing secret for the present provider; one that refused the task does not know the next one's."""
        if self.webhook_secret is None:
            return None
        return hashlib.sha256(f"{self.provider}:{self.webhook_secret}".encode()).hexdigest()

    @property
    def handle(self) -> Handle | None:
        """The handle to poll the provider; `None` before the provider has accepted the task."""
        if self.prediction_id is None:
            return None
        return Handle(prediction_id=self.prediction_id, poll_url=self.poll_url)

    def reassigned(
        self,
        provider: str,
        base_url: str,
        cost: Cost | None,
        charges: Charges,
        at: float,
        *,
        sealed_key: str | None = None,
    ) -> "Task":
        """Return the task at another provider, after the first one created nothing."""
        if self.submission is not Submission.PREPARED:
            return self
        return self._changed(
            at, provider=provider, base_url=base_url, cost=cost, charges=charges, sealed_key=sealed_key
        )

    def sent(self, at: float, callback_deadline: float | None = None) -> "Task":
        """Return the task as its creating request is about to be sent."""
        if self.submission is Submission.ACCEPTED:
            return self  # a webhook reported it in the meantime
        return self._changed(at, status=Status.RUNNING, submission=Submission.SENT, callback_deadline=callback_deadline)

    def requeue(self, at: float) -> "Task":
        """Return the task to the queue: the provider created nothing and may be tried again."""
        if self.submission is not Submission.SENT:
            return self  # it was not sent, or a webhook reported it in the meantime
        return self._changed(at, status=Status.QUEUED, submission=Submission.PREPARED, callback_deadline=None)

    def accepted(self, prediction: Prediction, at: float) -> "Task":
        """Apply the response to the creating request; it may be final already."""
        if self.status.is_final:
            return self
        changes = self._reported(prediction)
        if not prediction.status.is_final:
            changes["status"] = Status.RUNNING
        return self._changed(
            at,
            submission=Submission.ACCEPTED,
            prediction_id=prediction.prediction_id,
            poll_url=prediction.poll_url or self.poll_url,
            transient_notices=(),
            **changes,
        )

    def apply(self, prediction: Prediction, at: float) -> "Task":
        """Apply what a provider reports: progress never decreases, and nothing known is lost."""
        if self.status.is_final:
            return self
        if self.submission is Submission.SENT:
            # the answer that accepted it was lost: the task was taken over before it could be stored
            return self.accepted(prediction, at)
        changes = self._reported(prediction)
        is_news = any(getattr(self, name) != value for name, value in changes.items())
        return self._changed(at, **changes) if is_news else self

    def _reported(self, prediction: Prediction) -> dict[str, Any]:
        """Return the fields that a provider reports, as they are after the report."""
        return {
            "status": prediction.status if prediction.status.is_final else self.status,
            "progress": self._furthest(prediction),
            "images": prediction.images if len(prediction.images) >= len(self.images) else self.images,
            "grid_url": prediction.grid_url or self.grid_url,
            "seed": prediction.seed or self.seed,
            "cost": prediction.cost or self.cost,
            "charges": self._charged_for(prediction.cost),
            "failure": prediction.failure if prediction.status is Status.FAILED else None,
            "notices": tuple(
                dict.fromkeys((*self.notices, *(prediction.notices if prediction.status.is_final else ())))
            ),
            # a duplicate call joins a result until it is acknowledged, and never joins a failure
            "duplicate_policy": (
                None
                if prediction.status in {Status.FAILED, Status.CANCELED} and not self.is_of_run
                else self.duplicate_policy
            ),
        }

    def _charged_for(self, reported: Cost | None) -> Charges:
        """Return the charges once the provider has reported a cost; an unknown cost is charged in every unit."""
        if reported is None:
            return self.charges
        return {**(self.charges if self.cost else {}), reported.unit: reported.amount}

    def failed(self, failure: Failure, at: float) -> "Task":
        """End the task as failed."""
        submission = Submission.REFUSED if self.submission is Submission.PREPARED else self.submission
        return self._changed(
            at,
            status=Status.FAILED,
            submission=submission,
            failure=failure,
            duplicate_policy=self._policy_after(failure, submission),
            transient_notices=(),
        )

    def _policy_after(self, failure: Failure, submission: Submission) -> DuplicatePolicy | None:
        if self.is_of_run and submission is not Submission.REFUSED:
            return self.duplicate_policy  # it may have been paid: the run does not pay again
        return DuplicatePolicy.REJECT if failure.code == SubmissionUnconfirmed.code else None

    def refused(self, failure: Failure, at: float) -> "Task":
        """End the task as failed and free: the provider created nothing."""
        if self.submission is Submission.ACCEPTED:
            return self  # a webhook has shown the opposite
        return self._free(at, Status.FAILED, failure)

    def canceled(self, at: float) -> "Task":
        """Cancel the task before anything was sent: it is free."""
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
        """Add a notice, once."""
        return self if notice in self.notices else self._changed(at, notices=(*self.notices, notice))

    def noticed_transiently(self, notice: Notice, at: float) -> "Task":
        """Add a transient notice, once."""
        return (
            self
            if notice in self.transient_notices
            else self._changed(at, transient_notices=(*self.transient_notices, notice))
        )

    def notices_replaced(self, old: Sequence[Notice], new: Sequence[Notice], at: float) -> "Task":
        """Replace outdated notices by new ones."""
        kept = [notice for notice in self.notices if notice not in old]
        return self._changed(at, notices=tuple(dict.fromkeys([*kept, *new])))

    def _furthest(self, prediction: Prediction) -> float | None:
        if prediction.status is Status.SUCCEEDED:
            return 1.0
        return max((p for p in (self.progress, prediction.progress) if p is not None), default=None)

    def _changed(self, at: float, **changes: Any) -> "Task":
        if self.status.is_final:
            return self
        # like `dataclasses.replace`, which takes three times as long for that many fields
        return Task(**{**dict(zip(_FIELDS, _values(self), strict=True)), "updated_at": at, **changes})


_FIELDS = tuple(field.name for field in fields(Task))
_values = attrgetter(*_FIELDS)


def new_task_id() -> str:
    """Return a new id: `tsk_` and 128 random bits."""
    return f"tsk_{secrets.token_urlsafe(16)}"

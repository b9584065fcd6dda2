"""Predictions and their states."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from journey_mcp.sandbox.tasks import Link, Task

Status = Literal["starting", "processing", "succeeded", "failed", "canceled", "aborted"]
Ending = Literal["canceled", "aborted"]


@dataclass(frozen=True, kw_only=True)
class Prediction(Task):
    """A task with the further fields of these services. Times are those of the sandbox's clock."""

    version: str
    input_values: Mapping[str, Any]
    """The input as received."""
    gives_list: bool
    starts_at: float
    """When a worker starts it."""
    deadline_at: float | None
    lifetime_s: float
    """How long its input and output are stored after its end."""
    ending: Ending | None = None
    """Why it ends early; None if it does not."""

    @property
    def has_result(self) -> bool:
        """Whether it ends with images."""
        return self.failure is None

    def status(self, now: float) -> Status:
        """Return its status at `now`."""
        if not self.is_over(now):
            return "starting" if now < self.starts_at else "processing"
        return self.ending or ("succeeded" if self.has_result else "failed")

    def is_removed(self, now: float) -> bool:
        """Return whether its data has been removed by `now`."""
        return self.is_over(now) and now >= self.ends_at + self.lifetime_s

    def ended(self, time: float, ending: Ending) -> "Prediction":
        """Return it without a result, ended at `time`."""
        return replace(self, ending=ending, failure=ending, is_held=False).ending_at(time)

    def ending_at(self, time: float) -> "Prediction":
        """Return it with another end, and with image URLs that expire accordingly."""
        return replace(self, ends_at=time, link=Link(expires_at=time + self.lifetime_s, gone_status=404))

    def within_deadline(self) -> "Prediction":
        """Return it with its deadline applied."""
        deadline = self.deadline_at
        if deadline is None or (not self.is_held and self.ends_at <= deadline):
            return self
        return self.ended(deadline, "aborted" if deadline < self.starts_at else "canceled")

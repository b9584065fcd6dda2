"""Predictions: a provider's view of one run, in our words."""

from dataclasses import dataclass
from enum import StrEnum

from journey_mcp.core.errors import Failure
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.notices import Notice


class Status(StrEnum):
    """Where a task stands, for the caller. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Nothing changes any more."""
        return self in _FINAL


_FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Handle:
    """What must be kept to ask a provider again."""

    prediction_id: str
    """The provider's own id, an opaque string."""
    poll_url: str | None = None
    """Where to ask, when the provider told an address of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The provider's view of one run at one moment."""

    prediction_id: str
    status: Status
    poll_url: str | None = None
    """Where the provider wants to be asked, if it said so."""
    progress: float | None = None
    """0.0 to 1.0; `None` when the provider did not tell."""
    images: tuple[OutputImage, ...] = ()
    is_empty: bool = False
    """The provider calls it finished, and gives no picture that we can read."""
    grid_url: str | None = None
    """The sheet that shows all images of a grid."""
    seed: str | None = None
    cost: Cost | None = None
    failure: Failure | None = None
    notices: tuple[Notice, ...] = ()
    """What the caller should know of the result; kept once it is final."""

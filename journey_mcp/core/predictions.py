"""Predictions: a provider's view of one run, in our words."""

from dataclasses import dataclass
from enum import StrEnum

from journey_mcp.core.errors import Failure
from journey_mcp.core.images import OutputImage
from journey_mcp.core.money import Cost
from journey_mcp.core.notices import Notice


class Status(StrEnum):
    """Status of a task, as the caller sees it. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether the status cannot change any more."""
        return self in _FINAL


_FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Handle:
    """What is stored to poll a provider."""

    prediction_id: str
    """The provider's id, an opaque string."""
    poll_url: str | None = None
    """The URL to poll, if the provider stated one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The provider's view of one run at one moment."""

    prediction_id: str
    status: Status
    poll_url: str | None = None
    """The URL to poll, if the provider stated one."""
    progress: float | None = None
    """0.0 to 1.0; `None` if the provider does not report it."""
    images: tuple[OutputImage, ...] = ()
    is_empty: bool = False
    """The provider reports it as finished without an image that we can read."""
    grid_url: str | None = None
    """The sheet with all images of a grid."""
    seed: str | None = None
    cost: Cost | None = None
    failure: Failure | None = None
    notices: tuple[Notice, ...] = ()
    """What the caller should know about the result; stored with the final status."""

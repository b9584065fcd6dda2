"""Kill points: at an event on the wire, at a point of the server's own work, or at a random time."""

from dataclasses import dataclass
from typing import Literal

from journey_mcp.sandbox import Event, Point
from journey_mcp.sandbox.services import service_at

RequestKind = Literal["connection", "submission", "upload", "poll", "image", "webhook", "other"]
_CREATING = ("/imagine", "/generation", "/predictions")


@dataclass(frozen=True, kw_only=True)
class KillPoint:
    """One planned kill."""

    name: str
    """The row of the summary that it counts in."""
    kind: RequestKind | None = None
    """The request at whose event the server is killed; None: not at an event on the wire."""
    point: Point | None = None
    service: str | None = None
    """None: any service."""
    rejected: Literal["no", "now", "before"] = "no"
    """now: the response rejects the request. before: another provider has already rejected the same call."""
    after_s: float = 0.0
    """The delay after that event; after the start of the process, if no event is named."""
    is_awake: bool = False
    """The delay counts from the server's first response instead of its start."""
    is_queued: bool = False
    """Kill when the caller has received the status `queued`."""
    is_take_over: bool = False
    """No calls are made: the event belongs to a task that an earlier server left unfinished."""


class EventMatcher:
    """Recogniser of the event that a kill point names."""

    def __init__(self, kill_point: KillPoint) -> None:
        self._kill_point = kill_point
        self._was_rejected = False

    def matches(self, event: Event) -> bool:
        """Return whether this event is the one; it must be called with every event, in order."""
        kind = kind_of(event)
        is_rejection = kind == "submission" and (event.status or 0) >= 400
        found = (
            kind == self._kill_point.kind
            and event.point == self._kill_point.point
            and self._kill_point.service in (None, service_of(event) or self._kill_point.service)
            and self._is_in_order(is_rejection=is_rejection)
        )
        self._was_rejected |= is_rejection and event.point == "answered"
        return found

    def _is_in_order(self, *, is_rejection: bool) -> bool:
        if self._kill_point.rejected == "now":
            return is_rejection
        return self._was_rejected or self._kill_point.rejected == "no"


def service_of(event: Event) -> str | None:
    """Return the service that receives the request; None if the path does not show it, as for an image."""
    return service_at(event.path or "")


def kind_of(event: Event) -> RequestKind:
    """Return the kind of the request."""
    if event.path is None:
        return "connection"
    if event.point in ("posting", "posted"):
        return "webhook"
    if event.path.startswith("/pictures/"):
        return "image"
    if event.path.endswith(("/account", "/credits")):
        return "other"
    if event.method == "POST" and event.path.endswith("/files"):
        return "upload"
    is_creating = event.path.endswith(_CREATING) or service_of(event) == "bfl"
    return "submission" if event.method == "POST" and is_creating else "poll"

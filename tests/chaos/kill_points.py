"""Where a server is killed: at a moment of the wire, at a moment of its own life, or at any moment."""

from dataclasses import dataclass
from typing import Literal

from journey_mcp.sandbox import Event, Point
from journey_mcp.sandbox.services import service_at

Exchange = Literal["connection", "submission", "upload", "poll", "picture", "webhook", "other"]
_CREATING = ("/imagine", "/generation", "/predictions")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """One kill to come."""

    name: str
    """The row of the summary that it counts in."""
    exchange: Exchange | None = None
    """None: not at a moment of the wire."""
    point: Point | None = None
    service: str | None = None
    """None: of any."""
    refused: Literal["no", "now", "before"] = "no"
    """now: the answer is a refusal. before: another provider has refused the same call already."""
    after_s: float = 0.0
    """How long after that moment; after the start of the process, where none is named."""
    is_awake: bool = False
    """Counted from the first answer of the server, in place of its start."""
    is_when_queued: bool = False
    """When the caller has been told that its call is queued."""
    is_inherited: bool = False
    """No calls are made: the moment is one of a task that an earlier server left behind."""


class Watch:
    """Waits for the moment that an aim names."""

    def __init__(self, aim: Aim) -> None:
        self._aim = aim
        self._was_refused = False

    def is_it(self, moment: Event) -> bool:
        """Whether this moment, told after all before it, is the one."""
        exchange = exchange_of(moment)
        is_refusal = exchange == "submission" and (moment.status or 0) >= 400
        found = (
            exchange == self._aim.exchange
            and moment.point == self._aim.point
            and self._aim.service in (None, service_of(moment) or self._aim.service)
            and self._is_in_turn(is_refusal=is_refusal)
        )
        self._was_refused |= is_refusal and moment.point == "answered"
        return found

    def _is_in_turn(self, *, is_refusal: bool) -> bool:
        if self._aim.refused == "now":
            return is_refusal
        return self._was_refused or self._aim.refused == "no"


def service_of(moment: Event) -> str | None:
    """The imitated service that is asked; None where the address does not tell, as that of a picture."""
    return service_at(moment.path or "")


def exchange_of(moment: Event) -> Exchange:
    """What is going on in a request."""
    if moment.path is None:
        return "connection"
    if moment.point in ("posting", "posted"):
        return "webhook"
    if moment.path.startswith("/pictures/"):
        return "picture"
    if moment.path.endswith(("/account", "/credits")):
        return "other"
    if moment.method == "POST" and moment.path.endswith("/files"):
        return "upload"
    is_creating = moment.path.endswith(_CREATING) or service_of(moment) == "bfl"
    return "submission" if moment.method == "POST" and is_creating else "poll"

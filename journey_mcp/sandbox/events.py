"""The events of a request, and of a webhook, that the sandbox reports to an observer.

The sandbox waits until the observer returns, so a test can end its client at exactly one event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Point = Literal["connected", "headers", "body", "answering", "answered", "posting", "posted"]
"""connected: accepted, nothing read. headers: method and path are known. body: the request is complete, no work is
done yet. answering: the work is done, no byte of the response is sent. answered: its last byte has been handed over.
A request whose body is not read has no `body`, a response that is aborted has no `answered`.
posting: a webhook is about to be posted. posted: it was posted, or no receiver accepted it."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of one request, or of one webhook."""

    point: Point
    method: str | None = None
    """None at `connected`, like all fields below: nothing has been read yet."""
    path: str | None = None
    status: int | None = None
    """Of the response, from `answering` on; at `posted`, of the receiver's response, if there is one."""


Observer = Callable[[Event], None]
"""Receives every event, in the event loop of the sandbox, which waits for it to return."""

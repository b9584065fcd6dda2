"""The moments of a request, and of a webhook, that this side of the wire can see, for somebody who watches.

A test that ends its client at one exact moment is such a watcher: nothing goes on here before it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Point = Literal["connected", "headers", "body", "answering", "answered", "posting", "posted"]
"""connected: accepted, nothing read. headers: known who is asked what. body: all of the request is here, nothing is
done yet. answering: the work is done, no byte of the answer has left. answered: its last byte has been given away.
A request whose body nobody reads has no `body`, an answer that is broken off no `answered`.
posting: a webhook is about to be posted. posted: it was posted, or no receiver accepted it."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One moment of one request, or of one webhook."""

    point: Point
    method: str | None = None
    """None at `connected`, as all that follows: nothing was said yet."""
    path: str | None = None
    status: int | None = None
    """Of the answer, from `answering` on; at `told`, what the receiver answered, if it did."""


Observer = Callable[[Event], None]
"""Told of every moment, in the event loop of the sandbox, which waits for it to return."""

"""What becomes of each call, as data: a rule for each fault and stage, and where a provider is an exception."""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the caller, the provider's ledger and the journal say."""

    status: str
    """What the caller sees."""
    error: str | None = None
    """The code that the caller sees."""
    notices: tuple[str, ...] = ()
    """A characteristic piece of each notice, in order."""
    progress: float | None = None
    """What the caller is told meanwhile."""
    copied: bool | None = None
    """Whether there is a copy of the picture, where copies are made."""
    requests: int = 1
    """How many creating requests the provider received."""
    or_more: bool = False
    created: int = 1
    """How many tasks it created: never more than one."""
    journal: str = "accepted, cost kept"
    then: str | None = None
    """The status when the fault is over and the task was not final before."""


DONE = Outcome(status="succeeded")
_UNCONFIRMED = Outcome(status="failed", error="submission_unconfirmed", journal="sent, cost kept")
_NOT_CREATED = replace(_UNCONFIRMED, created=0)
_FREE = Outcome(status="failed", created=0, journal="refused, free")

SUBMIT: Mapping[str, Outcome] = {
    "connection refused for a moment": DONE,
    "connection refused": replace(_FREE, error="unreachable", requests=0),
    "reset before the work is done": _NOT_CREATED,
    "reset after it": _UNCONFIRMED,
    "429, three times": replace(DONE, requests=4),
    "429 with `Retry-After`, twice": replace(DONE, requests=3),
    "429 for ever": replace(_FREE, error="rate_limited", requests=3, or_more=True),
    "429 with `Retry-After` for ever": replace(_FREE, error="rate_limited", requests=2, or_more=True),
    **dict.fromkeys(("500", "502", "503"), _NOT_CREATED),
    **dict.fromkeys((f"{status} after the work is done" for status in (500, 502, 503)), _UNCONFIRMED),
    "body cut off": _UNCONFIRMED,
    "half a JSON text": _UNCONFIRMED,
    "no JSON": _UNCONFIRMED,
    "JSON of another shape": _UNCONFIRMED,
    "an HTML page": _UNCONFIRMED,
    "10 MB": _UNCONFIRMED,
    "byte by byte, in time": DONE,
    "byte by byte, for too long": _UNCONFIRMED,
    "unknown status word": DONE,
    "an empty object": _UNCONFIRMED,
    "no id": _UNCONFIRMED,
    "nothing but the id": DONE,
    "the picture to edit is dead": Outcome(status="failed", error="generation_failed"),
    "the wall clock jumps an hour forwards": DONE,
    "the wall clock jumps an hour backwards": DONE,
}

_GOES_ON = Outcome(status="running", then="succeeded")
_NO_ANSWER = "It is asked again and again; nothing is lost by waiting."


def _told(reason: str) -> Outcome:
    return replace(_GOES_ON, notices=(reason,))


POLL: Mapping[str, Outcome] = {
    "connection refused": _told("No connection to"),
    "reset before the work is done": _told("broke off"),
    "reset after it": _told("broke off"),
    "429": _told("at its limit"),
    "429 with `Retry-After`": _told("at its limit"),
    **dict.fromkeys(("500", "502", "503"), _told("answered HTTP 50")),
    "404": Outcome(status="failed", error="lost_upstream", notices=("does not know this task at the moment",)),
    "body cut off": _told("broke off"),
    "half a JSON text": _told("answered HTTP 200"),
    "no JSON": _told("answered HTTP 200"),
    "JSON of another shape": _told("answered HTTP 200"),
    "an HTML page": _told("answered HTTP 200"),
    "10 MB": _told("sent more than 4194304 bytes"),
    "byte by byte, in time": DONE,
    "byte by byte, for too long": _told("broke off"),
    "unknown status word": _GOES_ON,
    "an empty object": _told("answered HTTP 200"),
    "no id": DONE,
    "no status": _GOES_ON,
    "no picture": Outcome(status="failed", error="no_picture"),
    "status and progress go backwards": replace(_GOES_ON, progress=0.6),
    "the wall clock jumps an hour forwards": DONE,
    "the wall clock jumps an hour backwards": DONE,
}

_NO_COPY = Outcome(status="succeeded", notices=("There is no copy of",), copied=False)
_COPIED = Outcome(status="succeeded", copied=True)

COPY: Mapping[str, Outcome] = {
    **dict.fromkeys(
        (
            *("connection refused", "reset before the work is done", "reset after it", "429", "429 with `Retry-After`"),
            *("500", "502", "503", "the address is dead (404)", "body cut off", "an HTML page", "10 MB of text"),
            "byte by byte, for too long",
        ),
        _NO_COPY,
    ),
    "the wall clock jumps an hour forwards": _COPIED,
    "the wall clock jumps an hour backwards": _COPIED,
}

_NOT_STARTED = Outcome(status="not started", error="unusable_image", requests=0, created=0, journal="no task")

SOURCE: Mapping[str, Outcome] = {
    **dict.fromkeys((name for name, outcome in COPY.items() if outcome is _NO_COPY), _NOT_STARTED),
    "the wall clock jumps an hour forwards": _COPIED,
    "the wall clock jumps an hour backwards": _COPIED,
}

POLL_TWICE: Mapping[str, Outcome] = dict.fromkeys((*POLL, "a preview, then finished without a picture"), DONE)

COPY_ONCE: Mapping[str, Outcome] = dict.fromkeys(COPY, _COPIED)

STAGES: Mapping[str, Mapping[str, Outcome]] = {
    "submit": SUBMIT,
    "poll": POLL,
    "poll, twice": POLL_TWICE,
    "copy": COPY,
    "copy, once": COPY_ONCE,
    "source": SOURCE,
}

EXCEPTIONS: Mapping[tuple[str, str, str], Outcome] = {
    # it tells "100" all the same
    ("poll", "unknown status word", "journeyapi"): replace(_GOES_ON, progress=1.0),
    ("poll", "no status", "journeyapi"): replace(_GOES_ON, progress=1.0),
    # one reading of its documents: an id that it does not know
    ("poll", "an empty object", "journeyapi"): _told("does not know this task at the moment"),
    # its first answer brought the picture
    ("poll", "no picture", "replicate"): DONE,
    ("poll", "404", "replicate"): replace(DONE, notices=("does not know this task at the moment",)),
    # neither tells a progress
    **{("poll", "status and progress go backwards", road): _GOES_ON for road in ("kkiai", "replicate")},
}
"""By stage, fault and road."""


def expected(stage: str, fault: str, road: str) -> Outcome:
    """What is to become of a call."""
    return EXCEPTIONS.get((stage, fault, road), STAGES[stage][fault])

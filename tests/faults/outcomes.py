"""The expected outcomes as data: a rule for each fault and stage, and the exceptions by provider."""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the caller, the provider's request log and the journal show."""

    status: str
    """The status that the caller sees."""
    error: str | None = None
    """The code that the caller sees."""
    notices: tuple[str, ...] = ()
    """A characteristic piece of each notice, in order."""
    progress: float | None = None
    """The progress that the caller sees during the fault."""
    copied: bool | None = None
    """Whether the image was copied, if copies are made."""
    requests: int = 1
    """The number of creating requests that the provider received."""
    or_more: bool = False
    created: int = 1
    """The number of tasks that it created: never more than one."""
    journal: str = "accepted, cost kept"
    then: str | None = None
    """The status when the fault is over and the task was not final before."""


DONE = Outcome(status="succeeded")
_UNCONFIRMED = Outcome(status="failed", error="submission_unconfirmed", journal="sent, cost kept")
_NOT_CREATED = replace(_UNCONFIRMED, created=0)
_FREE = Outcome(status="failed", created=0, journal="refused, free")

SUBMIT: Mapping[str, Outcome] = {
    "connection refused briefly": DONE,
    "connection refused": replace(_FREE, error="unreachable", requests=0),
    "connection reset before the work": _NOT_CREATED,
    "connection reset after the work": _UNCONFIRMED,
    "429, three times": replace(DONE, requests=4),
    "429 with `Retry-After`, twice": replace(DONE, requests=3),
    "429, always": replace(_FREE, error="rate_limited", requests=3, or_more=True),
    "429 with `Retry-After`, always": replace(_FREE, error="rate_limited", requests=2, or_more=True),
    **dict.fromkeys(("500", "502", "503"), _NOT_CREATED),
    **dict.fromkeys((f"{status} after the work" for status in (500, 502, 503)), _UNCONFIRMED),
    "truncated body": _UNCONFIRMED,
    "truncated JSON": _UNCONFIRMED,
    "invalid JSON": _UNCONFIRMED,
    "JSON of another shape": _UNCONFIRMED,
    "an HTML page": _UNCONFIRMED,
    "10 MB body": _UNCONFIRMED,
    "one byte at a time, in time": DONE,
    "one byte at a time, too slow": _UNCONFIRMED,
    "unknown status word": DONE,
    "an empty object": _UNCONFIRMED,
    "no id": _UNCONFIRMED,
    "only the id": DONE,
    "the image to edit is gone": Outcome(status="failed", error="generation_failed"),
    "the wall clock jumps an hour forwards": DONE,
    "the wall clock jumps an hour backwards": DONE,
}

_STILL_RUNNING = Outcome(status="running", then="succeeded")


def _noticed(reason: str) -> Outcome:
    return replace(_STILL_RUNNING, notices=(reason,))


POLL: Mapping[str, Outcome] = {
    "connection refused": _noticed("No connection to"),
    "connection reset before the work": _noticed("broke off"),
    "connection reset after the work": _noticed("broke off"),
    "429": _noticed("at its limit"),
    "429 with `Retry-After`": _noticed("at its limit"),
    **dict.fromkeys(("500", "502", "503"), _noticed("answered HTTP 50")),
    "404": Outcome(status="failed", error="lost_upstream", notices=("does not know this task at the moment",)),
    "truncated body": _noticed("broke off"),
    "truncated JSON": _noticed("answered HTTP 200"),
    "invalid JSON": _noticed("answered HTTP 200"),
    "JSON of another shape": _noticed("answered HTTP 200"),
    "an HTML page": _noticed("answered HTTP 200"),
    "10 MB body": _noticed("sent more than 4194304 bytes"),
    "one byte at a time, in time": DONE,
    "one byte at a time, too slow": _noticed("broke off"),
    "unknown status word": _STILL_RUNNING,
    "an empty object": _noticed("answered HTTP 200"),
    "no id": DONE,
    "no status": _STILL_RUNNING,
    "no image": Outcome(status="failed", error="no_picture"),
    "status and progress go backwards": replace(_STILL_RUNNING, progress=0.6),
    "the wall clock jumps an hour forwards": DONE,
    "the wall clock jumps an hour backwards": DONE,
}

_NO_COPY = Outcome(status="succeeded", notices=("There is no copy of",), copied=False)
_COPIED = Outcome(status="succeeded", copied=True)

COPY: Mapping[str, Outcome] = {
    **dict.fromkeys(
        (
            *(
                "connection refused",
                "connection reset before the work",
                "connection reset after the work",
                "429",
                "429 with `Retry-After`",
            ),
            *("500", "502", "503", "the link is gone (404)", "truncated body", "an HTML page", "10 MB of text"),
            "one byte at a time, too slow",
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

POLL_TWICE: Mapping[str, Outcome] = dict.fromkeys((*POLL, "a preview, then finished without an image"), DONE)

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
    # it still reports "100"
    ("poll", "unknown status word", "journeyapi"): replace(_STILL_RUNNING, progress=1.0),
    ("poll", "no status", "journeyapi"): replace(_STILL_RUNNING, progress=1.0),
    # one reading of its documents: an unknown id
    ("poll", "an empty object", "journeyapi"): _noticed("does not know this task at the moment"),
    # its first response contained the image
    ("poll", "no image", "replicate"): DONE,
    ("poll", "404", "replicate"): replace(DONE, notices=("does not know this task at the moment",)),
    # neither reports progress
    **{("poll", "status and progress go backwards", route): _STILL_RUNNING for route in ("kkiai", "replicate")},
}
"""By stage, fault and route."""


def expected(stage: str, fault: str, route: str) -> Outcome:
    """Return the expected outcome of a call."""
    return EXCEPTIONS.get((stage, fault, route), STAGES[stage][fault])

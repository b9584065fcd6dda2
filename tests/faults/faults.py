"""What goes wrong, as data: the rows of the table, by the stage of a call at which it happens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

HOUR_S = 3600.0
NOWHERE = "http://127.0.0.1:1"
"""Nobody listens there."""
TOO_LONG_S = 60.0
"""Between two bytes: no answer is waited for until it is whole."""

Strike = Mapping[str, Any]
"""The fields of one fault of the sandbox, without `on` where it is the stage's own. A value in `ByProvider` differs."""


class ByProvider(dict[str, Any]):
    """A value that each provider has in its own form."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong. What it does not set is fine."""

    name: str
    """As the document tells it."""
    strikes: tuple[Strike, ...] = ()
    away: Literal["for a moment", "for long"] | None = None
    """Connections are refused."""
    leap_s: float = 0.0
    """The wall clock jumps so far while an answer is out."""
    edits: str | None = None
    """A path at the sandbox, or an address: of the image to edit."""
    holds_off_s: float = 0.0
    """For so long at least nothing is sent, because the provider said so."""
    lasts: bool = False
    """It ends the task, after a long time."""
    points_nowhere: bool = False
    """The finished picture is said to be where nobody listens."""
    outlasts_limits: bool = False
    """The answer takes longer than its time limit, which belongs to the provider: one model of each is enough."""

    @property
    def kinds(self) -> set[str]:
        """The kinds of the sandbox's faults that it consists of, and what the sandbox has no kind for."""
        others = {"refused connection": self.away, "calendar": self.leap_s, "address": self.edits}
        return {strike["kind"] for strike in self.strikes} | {kind for kind, is_used in others.items() if is_used}

    def address(self, origin: str) -> str | None:
        """Return the address of the image to edit, if the fault names one, of a sandbox at `origin`."""
        return f"{origin}{self.edits}" if self.edits and self.edits.startswith("/") else self.edits


def _struck(name: str, *strikes: Strike, **more: Any) -> Fault:
    return Fault(name=name, strikes=strikes, **more)


_AWAY = Fault(name="connection refused", away="for long")
_CLOCK = (
    Fault(name="the wall clock jumps an hour forwards", leap_s=HOUR_S),
    Fault(name="the wall clock jumps an hour backwards", leap_s=-HOUR_S),
)
_RESETS = (
    _struck("reset before the work is done", {"kind": "reset"}),
    _struck("reset after it", {"kind": "reset_after"}),
)
_STATUSES = tuple(_struck(str(status), {"kind": "status", "status": status}) for status in (500, 502, 503))
_ANSWERS = (
    _struck("body cut off", {"kind": "cut_body"}),
    _struck("half a JSON text", {"kind": "status_after", "status": 200, "body": '{"id": "0a1b", "task_id": "0a'}),
    _struck("no JSON", {"kind": "bad_json"}),
    _struck("JSON of another shape", {"kind": "status_after", "status": 200, "body": [{"id": "0a1b"}]}),
    _struck("an HTML page", {"kind": "wrong_type"}),
    _struck("10 MB", {"kind": "huge_body"}),
    _struck("byte by byte, in time", {"kind": "drip", "delay_s": 0}),
    _struck("byte by byte, for too long", {"kind": "drip", "delay_s": TOO_LONG_S}, outlasts_limits=True),
    _struck("unknown status word", {"kind": "status_word", "word": "dreaming"}),
    _struck("an empty object", {"kind": "empty_object"}),
    _struck("no id", {"kind": "drop_fields", "fields": ("id", "task_id")}),
)
_BEYOND_THE_ID = (
    *("task_type", "model", "version", "input", "logs", "output", "data_removed", "error", "status", "created_at"),
    *("urls", "source", "deadline", "polling_url", "cost", "input_mp", "output_mp", "image_url"),
)
# what Replicate and KKIAI do not tell is not heard
_FURTHER = ByProvider(journeyapi="60", vtrix=0.6, kkiai=0.6, replicate=0.6, bfl=0.6)
_BACK = ByProvider(journeyapi="20", vtrix=0.2, kkiai=0.2, replicate=0.2, bfl=0.2)
_IMAGES = ("image_url", "image_urls", "original_image_url", "output", "result")
_PREVIEW = ByProvider(
    journeyapi={"status": "processing", "image_url": f"{NOWHERE}/preview.png"},
    vtrix={"status": "processing", "output": [{"content": [{"url": f"{NOWHERE}/preview.png"}]}]},
    kkiai={"status": "processing", "output": [f"{NOWHERE}/preview.png"]},
    replicate={"status": "processing", "output": [f"{NOWHERE}/preview.png"]},
    bfl={"status": "Pending", "result": {"sample": f"{NOWHERE}/preview.png"}},
)

SUBMIT = (
    Fault(name="connection refused for a moment", away="for a moment"),
    _AWAY,
    *_RESETS,
    _struck("429, three times", {"kind": "status", "status": 429, "times": 3}),
    _struck(
        "429 with `Retry-After`, twice",
        {"kind": "status", "status": 429, "headers": {"Retry-After": "40"}, "times": 2},
        holds_off_s=80,
    ),
    _struck("429 for ever", {"kind": "status", "status": 429, "times": None}),
    _struck(
        "429 with `Retry-After` for ever",
        {"kind": "status", "status": 429, "headers": {"Retry-After": "250"}, "times": None},
        holds_off_s=250,
    ),
    *_STATUSES,
    *(
        _struck(f"{status} after the work is done", {"kind": "status_after", "status": status})
        for status in (500, 502, 503)
    ),
    *_ANSWERS,
    _struck("nothing but the id", {"kind": "drop_fields", "fields": _BEYOND_THE_ID}),
    Fault(name="the picture to edit is dead", edits="/pictures/none/0.png"),
    *_CLOCK,
)
"""The creating request; each strikes once, unless it says so."""

POLL = (
    _AWAY,
    *_RESETS,
    _struck("429", {"kind": "status", "status": 429}),
    _struck(
        "429 with `Retry-After`",
        {"kind": "status", "status": 429, "headers": {"Retry-After": "20"}},
        holds_off_s=40,
    ),
    *_STATUSES,
    _struck("404", {"kind": "status", "status": 404}, lasts=True),
    *_ANSWERS,
    _struck("no status", {"kind": "drop_fields", "fields": ("status",)}),
    _struck("no picture", {"kind": "drop_fields", "fields": _IMAGES}),
    _struck(
        "status and progress go backwards",
        {"kind": "backwards"},
        {"kind": "percentage", "percentage": _FURTHER, "times": 2},
        {"kind": "percentage", "percentage": _BACK, "after": 2},
    ),
    *_CLOCK,
)
"""A question how the task stands. Each strikes until the caller has been told, or the task has ended."""

POLL_TWICE = (
    *(fault for fault in POLL if fault.strikes),
    _struck(
        "a preview, then finished without a picture",
        {"kind": "status_after", "status": 200, "body": _PREVIEW, "times": 1},
        {"kind": "drop_fields", "fields": _IMAGES, "times": 1, "after": 1},
    ),
)
"""The same, for two questions only."""

_FETCHES = (
    *_RESETS,
    _struck("429", {"kind": "status", "status": 429}),
    _struck("429 with `Retry-After`", {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}),
    *_STATUSES,
    _struck("the address is dead (404)", {"kind": "dead_image"}),
    _struck("body cut off", {"kind": "cut_body"}),
    _struck("an HTML page", {"kind": "wrong_type"}),
    _struck("10 MB of text", {"kind": "status", "status": 200, "body": "x" * 10_000_000}),
    _struck("byte by byte, for too long", {"kind": "drip", "delay_s": 20.0}, outlasts_limits=True),
)

COPY = (
    _struck(
        "connection refused",
        {
            "on": "fetch",
            "kind": "status_after",
            "status": 200,
            "body": ByProvider(
                bfl={"status": "Ready", "result": {"sample": f"{NOWHERE}/picture.png"}},
                kkiai={"status": "succeeded", "output": [f"{NOWHERE}/picture.png"]},
                replicate={"status": "succeeded", "output": [f"{NOWHERE}/picture.png"]},
            ),
        },
        points_nowhere=True,
    ),
    *_FETCHES,
    *_CLOCK,
)
"""The download of a finished picture whose link dies soon. Each strikes always."""

COPY_ONCE = tuple(
    fault
    for fault in _FETCHES
    if fault.name not in {"the address is dead (404)", "an HTML page", "10 MB of text", "byte by byte, for too long"}
)
"""The same, for one download only, and only what may pass."""

SOURCE = (
    Fault(name="connection refused", edits=f"{NOWHERE}/picture.png"),
    *_FETCHES,
    *_CLOCK,
)
"""The download of a picture to edit, for an offer that takes bytes only. Each strikes once."""

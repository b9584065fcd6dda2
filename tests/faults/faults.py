"""The faults as data: the rows of the table, by the stage of a call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

HOUR_S = 3600.0
NOWHERE = "http://127.0.0.1:1"
"""An address without a listener."""
TOO_LONG_S = 60.0
"""The pause between two bytes; longer than any time limit of a response."""

Injection = Mapping[str, Any]
"""The fields of one fault of the sandbox, without `on` if it is the stage's. `ByProvider` holds differing values."""


class ByProvider(dict[str, Any]):
    """A value that differs between providers."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. Fields that are not set have no effect."""

    name: str
    """The name in the document."""
    injections: tuple[Injection, ...] = ()
    away: Literal["briefly", "for long"] | None = None
    """Connections are refused."""
    clock_jump_s: float = 0.0
    """The wall clock jumps by this while a response is pending."""
    edits: str | None = None
    """The image to edit: a path at the sandbox, or an address."""
    retry_after_s: float = 0.0
    """Nothing is sent for at least this long, as the provider requested."""
    ends_task: bool = False
    """The fault ends the task, after a long time."""
    has_dead_links: bool = False
    """The response links the finished image to an address without a listener."""
    outlasts_limits: bool = False
    """The response exceeds its time limit, which is per provider: one model of each is enough."""

    @property
    def kinds(self) -> set[str]:
        """The kinds of sandbox faults that it consists of, and those that the sandbox has no kind for."""
        others = {"refused connection": self.away, "calendar": self.clock_jump_s, "address": self.edits}
        return {injection["kind"] for injection in self.injections} | {
            kind for kind, is_used in others.items() if is_used
        }

    def address(self, origin: str) -> str | None:
        """Return the address of the image to edit at a sandbox at `origin`, if the fault names one."""
        return f"{origin}{self.edits}" if self.edits and self.edits.startswith("/") else self.edits


def _fault_of(name: str, *injections: Injection, **more: Any) -> Fault:
    return Fault(name=name, injections=injections, **more)


_OFFLINE = Fault(name="connection refused", away="for long")
_CLOCK = (
    Fault(name="the wall clock jumps an hour forwards", clock_jump_s=HOUR_S),
    Fault(name="the wall clock jumps an hour backwards", clock_jump_s=-HOUR_S),
)
_RESETS = (
    _fault_of("connection reset before the work", {"kind": "reset"}),
    _fault_of("connection reset after the work", {"kind": "reset_after"}),
)
_STATUSES = tuple(_fault_of(str(status), {"kind": "status", "status": status}) for status in (500, 502, 503))
_RESPONSES = (
    _fault_of("truncated body", {"kind": "cut_body"}),
    _fault_of("truncated JSON", {"kind": "status_after", "status": 200, "body": '{"id": "0a1b", "task_id": "0a'}),
    _fault_of("invalid JSON", {"kind": "bad_json"}),
    _fault_of("JSON of another shape", {"kind": "status_after", "status": 200, "body": [{"id": "0a1b"}]}),
    _fault_of("an HTML page", {"kind": "wrong_type"}),
    _fault_of("10 MB body", {"kind": "huge_body"}),
    _fault_of("one byte at a time, in time", {"kind": "drip", "delay_s": 0}),
    _fault_of("one byte at a time, too slow", {"kind": "drip", "delay_s": TOO_LONG_S}, outlasts_limits=True),
    _fault_of("unknown status word", {"kind": "status_word", "word": "dreaming"}),
    _fault_of("an empty object", {"kind": "empty_object"}),
    _fault_of("no id", {"kind": "drop_fields", "fields": ("id", "task_id")}),
)
_BEYOND_THE_ID = (
    *("task_type", "model", "version", "input", "logs", "output", "data_removed", "error", "status", "created_at"),
    *("urls", "source", "deadline", "polling_url", "cost", "input_mp", "output_mp", "image_url"),
)
# Replicate and KKIAI report no progress: theirs has no effect
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
    Fault(name="connection refused briefly", away="briefly"),
    _OFFLINE,
    *_RESETS,
    _fault_of("429, three times", {"kind": "status", "status": 429, "times": 3}),
    _fault_of(
        "429 with `Retry-After`, twice",
        {"kind": "status", "status": 429, "headers": {"Retry-After": "40"}, "times": 2},
        retry_after_s=80,
    ),
    _fault_of("429, always", {"kind": "status", "status": 429, "times": None}),
    _fault_of(
        "429 with `Retry-After`, always",
        {"kind": "status", "status": 429, "headers": {"Retry-After": "250"}, "times": None},
        retry_after_s=250,
    ),
    *_STATUSES,
    *(_fault_of(f"{status} after the work", {"kind": "status_after", "status": status}) for status in (500, 502, 503)),
    *_RESPONSES,
    _fault_of("only the id", {"kind": "drop_fields", "fields": _BEYOND_THE_ID}),
    Fault(name="the image to edit is gone", edits="/pictures/none/0.png"),
    *_CLOCK,
)
"""Faults of the creating request; each affects one request unless its name says otherwise."""

POLL = (
    _OFFLINE,
    *_RESETS,
    _fault_of("429", {"kind": "status", "status": 429}),
    _fault_of(
        "429 with `Retry-After`",
        {"kind": "status", "status": 429, "headers": {"Retry-After": "20"}},
        retry_after_s=40,
    ),
    *_STATUSES,
    _fault_of("404", {"kind": "status", "status": 404}, ends_task=True),
    *_RESPONSES,
    _fault_of("no status", {"kind": "drop_fields", "fields": ("status",)}),
    _fault_of("no image", {"kind": "drop_fields", "fields": _IMAGES}),
    _fault_of(
        "status and progress go backwards",
        {"kind": "backwards"},
        {"kind": "percentage", "percentage": _FURTHER, "times": 2},
        {"kind": "percentage", "percentage": _BACK, "after": 2},
    ),
    *_CLOCK,
)
"""Faults of status polls. Each lasts until the caller has a notice or the task has ended."""

POLL_TWICE = (
    *(fault for fault in POLL if fault.injections),
    _fault_of(
        "a preview, then finished without an image",
        {"kind": "status_after", "status": 200, "body": _PREVIEW, "times": 1},
        {"kind": "drop_fields", "fields": _IMAGES, "times": 1, "after": 1},
    ),
)
"""The same, for two polls only."""

_FETCHES = (
    *_RESETS,
    _fault_of("429", {"kind": "status", "status": 429}),
    _fault_of("429 with `Retry-After`", {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}),
    *_STATUSES,
    _fault_of("the link is gone (404)", {"kind": "dead_image"}),
    _fault_of("truncated body", {"kind": "cut_body"}),
    _fault_of("an HTML page", {"kind": "wrong_type"}),
    _fault_of("10 MB of text", {"kind": "status", "status": 200, "body": "x" * 10_000_000}),
    _fault_of("one byte at a time, too slow", {"kind": "drip", "delay_s": 20.0}, outlasts_limits=True),
)

COPY = (
    _fault_of(
        "connection refused",
        {
            "on": "fetch",
            "kind": "status_after",
            "status": 200,
            "body": ByProvider(
                bfl={"status": "Ready", "result": {"sample": f"{NOWHERE}/image.png"}},
                kkiai={"status": "succeeded", "output": [f"{NOWHERE}/image.png"]},
                replicate={"status": "succeeded", "output": [f"{NOWHERE}/image.png"]},
            ),
        },
        has_dead_links=True,
    ),
    *_FETCHES,
    *_CLOCK,
)
"""Faults of the download of a finished image whose link expires soon. Each lasts."""

COPY_ONCE = tuple(
    fault
    for fault in _FETCHES
    if fault.name not in {"the link is gone (404)", "an HTML page", "10 MB of text", "one byte at a time, too slow"}
)
"""The same, for one download only, and only transient faults."""

SOURCE = (
    Fault(name="connection refused", edits=f"{NOWHERE}/image.png"),
    *_FETCHES,
    *_CLOCK,
)
"""Faults of the download of an image to edit, for an offer that takes bytes only. Each affects one request."""

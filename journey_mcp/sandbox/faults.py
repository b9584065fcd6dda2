"""Fault injection: what goes wrong on request, at which endpoint, and how often."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from journey_mcp.sandbox.services import PATHS

_JSON_ANSWERS = ("submit", "fetch", "fetch_many", "account", "cancel", "upload")
_ANSWERS = (*_JSON_ANSWERS, "image")
_BODIES = (*_JSON_ANSWERS, "webhook")
_TASKS = ("submit", "fetch", "fetch_many", "cancel", "webhook")

ENDPOINTS = (*_ANSWERS, "webhook")
"""The endpoints that a fault can affect; not every service has all. `webhook` is a request of the sandbox itself."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of fault."""

    on: tuple[str, ...]
    """The endpoints that it applies to."""
    value: str | None = None
    """The field of `Fault` that this kind requires, and that `kind=value` sets."""


KINDS: Mapping[str, Kind] = {
    # before anything is created
    "status": Kind(on=_ANSWERS, value="status"),
    "reset": Kind(on=_ANSWERS),
    "dead_image": Kind(on=("image",)),
    # the work is done, the response is faulty
    "delay": Kind(on=ENDPOINTS, value="delay_s"),
    "status_after": Kind(on=_ANSWERS, value="status"),
    "reset_after": Kind(on=_ANSWERS),
    "cut_body": Kind(on=_ANSWERS),
    "drip": Kind(on=_ANSWERS, value="delay_s"),
    "wrong_type": Kind(on=_ANSWERS),
    "bad_json": Kind(on=_JSON_ANSWERS),
    "huge_body": Kind(on=_JSON_ANSWERS),
    "empty_object": Kind(on=_BODIES),
    "drop_fields": Kind(on=_BODIES, value="fields"),
    # task objects have unusual content
    "status_word": Kind(on=_TASKS, value="word"),
    "backwards": Kind(on=("fetch", "fetch_many")),
    "percentage": Kind(on=("fetch", "fetch_many", "webhook"), value="percentage"),
    "foreign_url": Kind(on=("submit",), value="origin"),
    # the task itself fails
    "fail_task": Kind(on=("submit",), value="error"),
    "hang": Kind(on=("submit",)),
    # webhooks
    "duplicate": Kind(on=("webhook",)),
    "lost": Kind(on=("webhook",)),
}


_ALIASES = {"picture": "image", "dead_picture": "dead_image"}
"""The names that endpoints and kinds had before, which are still accepted."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_delay(value: object) -> bool:
    return isinstance(value, int | float) and value >= 0


def _is_status(value: object) -> bool:
    # 1xx are not final responses, and 204 and 304 have no body
    return isinstance(value, int) and 200 <= value <= 599 and value not in (204, 304)  # noqa: PLR2004


def _is_headers(value: object) -> bool:
    return isinstance(value, Mapping) and all(_is_text(part) for pair in value.items() for part in pair)


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "times": (lambda value: value is None or (isinstance(value, int) and value > 0), "1 or more, or always"),
    "after": (lambda value: isinstance(value, int) and value >= 0, "0 or more"),
    "delay_s": (lambda value: value is None or _is_delay(value), "seconds, 0 or more"),
    "status": (lambda value: value is None or _is_status(value), "an HTTP status with a body, 200 to 599"),
    "headers": (_is_headers, "names and values, both text"),
    "word": (lambda value: value is None or _is_text(value), "text"),
    "error": (lambda value: value is None or _is_text(value), "text"),
    "origin": (lambda value: value is None or _is_text(value), "text"),
    "fields": (lambda value: isinstance(value, tuple) and all(map(_is_text, value)), "a list of field names"),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. An invalid one raises ValueError with the allowed values."""

    on: str
    """The endpoint, one of ENDPOINTS, of every service, or of one service as in `bfl/submit`."""
    kind: str
    """The kind of the fault, one of KINDS."""
    times: int | None = 1
    """The number of requests that it affects; None affects all."""
    after: int = 0
    """The number of requests to this endpoint, counted from when the fault was set, that succeed first."""
    delay_s: float | None = None
    """delay: the delay of the response. drip: the pause between two bytes."""
    status: int | None = None
    """status, status_after: the HTTP status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """status, status_after: headers of the response, for instance Retry-After."""
    body: Any = None
    """status, status_after: text is sent as it is, anything else as JSON; None is the documented body."""
    word: str | None = None
    """status_word: replaces the status."""
    fields: tuple[str, ...] = ()
    """drop_fields: the fields to omit."""
    error: str | None = None
    """fail_task: the error text of the failed task."""
    percentage: Any = None
    """percentage: replaces the percentage; a number or a string."""
    origin: str | None = None
    """foreign_url: scheme, host and port that replace the sandbox's in the URL to poll."""

    def __post_init__(self) -> None:
        service, slash, endpoint = self.on.rpartition("/")
        object.__setattr__(self, "on", f"{service}{slash}{_ALIASES.get(endpoint, endpoint)}")
        object.__setattr__(self, "kind", _ALIASES.get(self.kind, self.kind))
        if self.endpoint not in ENDPOINTS or (self.service is not None and self.service not in PATHS):
            raise ValueError(
                f"A fault affects one of {', '.join(ENDPOINTS)}, alone or with one of the prefixes "
                f"{', '.join(f'{name}/' for name in PATHS)}; not on {self.on!r}."
            )
        if self.kind not in KINDS:
            raise ValueError(_unknown_kind(self.kind))
        kind = KINDS[self.kind]
        if self.endpoint not in kind.on:
            raise ValueError(f"{self.kind} affects {', '.join(kind.on)}; not on {self.on}.")
        for name, (is_good, what) in _CHECKS.items():
            if not is_good(getattr(self, name)):
                raise ValueError(f"{name} of a fault is {what}; not {getattr(self, name)!r}.")
        if kind.value is not None and getattr(self, kind.value) in (None, ()):
            raise ValueError(f"{self.kind} needs {kind.value}, as in {self.on}:{self.kind}={_EXAMPLES[kind.value]}.")

    @property
    def service(self) -> str | None:
        """The one service that it affects; None for all."""
        return self.on.rpartition("/")[0] or None

    @property
    def endpoint(self) -> str:
        """The endpoint that it affects, without the service."""
        return self.on.rpartition("/")[2]

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read `on:kind[=value][,field=value...]`, as in `submit:status=429,header.Retry-After=2,times=3`.

        `times` may be `always`, `fields` are joined by `+`, `body` and `percentage` are read as JSON if they are
        valid JSON. A value with a comma requires a JSON object instead: `{"on": "submit", ...}`.
        """
        if text.lstrip().startswith("{"):
            return cls.from_json(_read_json(text))
        on, colon, rest = text.partition(":")
        if not colon:
            raise ValueError(f"A fault reads on:kind[=value][,field=value...], as in submit:status=429; not {text!r}.")
        head, *others = rest.split(",")
        kind, has_value, value = head.partition("=")
        values: dict[str, Any] = {"on": on.strip(), "kind": kind.strip()}
        pairs = [_pair(part) for part in others]
        if has_value:
            pairs.insert(0, (_value_field(values["kind"]), value))
        for name, written in pairs:
            _set_value(values, name, written.strip())
        return cls.from_json(values)

    @classmethod
    def from_json(cls, values: Any) -> "Fault":
        """Return a fault from a JSON object with the fields above."""
        if not isinstance(values, Mapping):
            raise ValueError(f"A fault is a JSON object; not {values!r}.")  # noqa: TRY004 - one kind of error for callers
        if unknown := values.keys() - _FIELDS:
            raise ValueError(f"A fault has no {', '.join(sorted(map(str, unknown)))}; it has {', '.join(_FIELDS)}.")
        if missing := {"on", "kind"} - values.keys():
            raise ValueError(f"A fault needs {' and '.join(sorted(missing))}.")
        names = values.get("fields", ())
        return cls(**{**values, "fields": tuple(names) if isinstance(names, list) else names})

    def as_json(self) -> dict[str, Any]:
        """Return the object that `from_json` reads, without fields at their defaults."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, (), {})}
        return values | {"times": self.times}


_FIELDS = tuple(item.name for item in fields(Fault))
_EXAMPLES = {
    "delay_s": "0.5",
    "status": "429",
    "word": "dreaming",
    "fields": "status+model",
    "error": "Out of paint",
    "percentage": "100",
    "origin": "http://elsewhere.test",
}


def _value_field(kind: str) -> str:
    kind = _ALIASES.get(kind, kind)
    if kind not in KINDS:
        raise ValueError(_unknown_kind(kind))
    name = KINDS[kind].value
    if name is None:
        raise ValueError(f"{kind} takes no value.")
    return name


def _unknown_kind(kind: str) -> str:
    return f"There is no fault of kind {kind!r}; there is {', '.join(KINDS)}."


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"After the kind come pairs of field=value; not {text!r}.")
    return name.strip(), value


def _set_value(values: dict[str, Any], name: str, written: str) -> None:
    """Set one field of a fault from its text, in the type of the field."""
    if name.startswith("header."):
        values.setdefault("headers", {})[name.removeprefix("header.")] = written
    elif name == "fields":
        values[name] = [part for part in written.split("+") if part]
    elif name == "times" and written == "always":
        values[name] = None
    elif name in ("times", "after", "delay_s", "status", "percentage", "body"):
        values[name] = _json_or_text(written)
    else:
        values[name] = written


def _json_or_text(written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        return written


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"This fault is not JSON: {error}.") from error


class FaultPlan:
    """The active faults, each with the number of requests that it has counted."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.replace(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults in the given order, including those that are used up."""
        return tuple(self._faults)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Replace all faults and start counting."""
        self._faults = list(faults)
        self._seen = [0] * len(self._faults)

    def take(self, on: str) -> tuple[Fault, ...]:
        """Count a request to `on`, as in `bfl/submit`, and return the faults that affect it."""
        names = (on, on.rpartition("/")[2])
        return tuple(fault for index, fault in enumerate(self._faults) if fault.on in names and self._hits(index))

    def _hits(self, index: int) -> bool:
        fault, seen = self._faults[index], self._seen[index]
        self._seen[index] = seen + 1
        return seen >= fault.after and (fault.times is None or seen < fault.after + fault.times)


def find(faults: Iterable[Fault], kind: str) -> Fault | None:
    """Return the first fault of `kind`, if there is one."""
    return next((fault for fault in faults if fault.kind == kind), None)

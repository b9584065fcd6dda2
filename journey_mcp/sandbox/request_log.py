"""The request log, with which tests prove that exactly one creating request was sent."""

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

KEPT_SUBMISSIONS = 2_000
KEPT_DELIVERIES = 10_000
KEPT_MISPLACED_KEYS = 2_000
KEPT_BYTES = 256 * 1024 * 1024
"""The limit for bodies of creating requests; beyond it, the oldest are dropped."""
_SHOWN_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One creating request, whatever its outcome."""

    number: int
    """The number in the order of arrival, from 1."""
    received_at: float
    """The time by the sandbox's clock."""
    service: str
    endpoint: str
    request: Any
    """The body: as JSON if it is JSON, else as text; None when dropped. Headers, and so the key, are not stored."""
    outcome: str = "received"
    """`created`, `refused 402` (any status), `reset`; `received` until it is decided."""
    task_id: str | None = None
    model: str | None = None
    charged: float = 0
    """The amount charged, in the service's unit: credits or US dollars."""

    @property
    def credits(self) -> float:
        """The amount charged by a service that counts in credits."""
        return self.charged


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to deliver a webhook."""

    task_id: str
    url: str
    attempt: int
    """The number of the attempt, from 1 per delivery."""
    outcome: str
    """The receiver's HTTP status, or the error that prevented a response."""


@dataclass(frozen=True, kw_only=True)
class MisplacedKey:
    """A credential at the wrong place; the key itself is not stored."""

    path: str
    host: str
    """The Host header."""
    header: str
    reason: str
    """`image` and `unknown path` need no credential; `foreign header` and `foreign key` belong to another service."""


class RequestLog:
    """Creating requests, webhook deliveries, and the number of requests per endpoint.

    Each kind of entry has a method that adds and one that reads, which makes a method too many.
    """

    def __init__(self, endpoints: Iterable[str], *, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._requests = Counter(dict.fromkeys(endpoints, 0))
        self._submissions: OrderedDict[int, Submission] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._fetched: Counter[str] = Counter()
        self._keyed: Counter[str] = Counter()
        self._misplaced_keys: deque[MisplacedKey] = deque(maxlen=KEPT_MISPLACED_KEYS)
        self._attempts: deque[Attempt] = deque(maxlen=KEPT_DELIVERIES)
        self._last = 0

    @property
    def requests(self) -> Mapping[str, int]:
        """The number of requests per endpoint, including rejected ones."""
        return Counter(self._requests)

    @property
    def keyed(self) -> Mapping[str, int]:
        """The number of these requests with a credential, valid or not."""
        return Counter(self._keyed)

    @property
    def misplaced_keys(self) -> tuple[MisplacedKey, ...]:
        """Credentials at the wrong place, the last KEPT_MISPLACED_KEYS of them."""
        return tuple(self._misplaced_keys)

    @property
    def submissions(self) -> tuple[Submission, ...]:
        """The creating requests in the order of arrival, the last KEPT_SUBMISSIONS of them."""
        return tuple(self._submissions.values())

    @property
    def deliveries(self) -> tuple[Attempt, ...]:
        """The attempts to deliver webhooks, the last KEPT_DELIVERIES of them."""
        return tuple(self._attempts)

    def fetched(self, task_id: str) -> int:
        """Return how often this task was polled."""
        return self._fetched[task_id]

    def count(self, endpoint: str, *, is_keyed: bool = False) -> None:
        """Count a request, and whether it had a credential."""
        self._requests[endpoint] += 1
        self._keyed[endpoint] += is_keyed

    def add_misplaced_key(self, misplaced_key: MisplacedKey) -> None:
        """Log a credential at the wrong place."""
        self._misplaced_keys.append(misplaced_key)

    def count_fetch(self, task_id: str) -> None:
        """Count a poll of a task."""
        self._fetched[task_id] += 1

    def open(self, service: str, endpoint: str, content: bytes, received_at: float) -> int:
        """Log the arrival of a creating request and return its number."""
        self._last += 1
        request = _readable(content)
        model = request.get("model") if isinstance(request, dict) else None
        self._submissions[self._last] = Submission(
            number=self._last,
            received_at=received_at,
            service=service,
            endpoint=endpoint,
            request=request,
            model=model if isinstance(model, str) else None,
        )
        self._sizes[self._last] = len(content)
        if len(self._submissions) > KEPT_SUBMISSIONS:
            number, forgotten = self._submissions.popitem(last=False)
            self._sizes.pop(number, None)
            self._fetched.pop(forgotten.task_id or "", None)
        while sum(self._sizes.values()) > self._kept_bytes:
            number = next(iter(self._sizes))
            del self._sizes[number]
            self._submissions[number] = replace(self._submissions[number], request=None)
        return self._last

    def close(self, number: int, outcome: str, **fields: Any) -> None:
        """Log the outcome of a creating request; `fields` are further fields of its Submission."""
        if number in self._submissions:
            self._submissions[number] = replace(self._submissions[number], outcome=outcome, **fields)

    def add_attempt(self, attempt: Attempt) -> None:
        """Log an attempt to deliver a webhook."""
        self._attempts.append(attempt)

    def as_json(self) -> dict[str, Any]:
        """Return the whole log; long texts (images in base64) are shortened."""
        misplaced_keys = [asdict(misplaced_key) for misplaced_key in self._misplaced_keys]
        return {
            "requests": self.requests,
            "keyed": self.keyed,
            "misplaced_keys": misplaced_keys,
            "strays": misplaced_keys,
            "submissions": [
                {
                    **asdict(replace(entry, request=_shortened(entry.request))),
                    "fetched": self._fetched[entry.task_id or ""],
                }
                for entry in self.submissions
            ],
            "deliveries": [asdict(attempt) for attempt in self._attempts],
        }


def _shortened(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _shortened(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_shortened(value) for value in body]
    if isinstance(body, str) and len(body) > _SHOWN_CHARACTERS:
        return f"{body[:40]}… ({len(body)} characters)"
    return body


def _readable(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")

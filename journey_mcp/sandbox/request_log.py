"""What the sandbox has seen: proof for tests that exactly one creating request was made."""

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

KEPT_SUBMISSIONS = 2_000
KEPT_DELIVERIES = 2_000
KEPT_MISPLACED_KEYS = 2_000
KEPT_BYTES = 256 * 1024 * 1024
"""Bodies of creating requests; when they are more, the oldest are forgotten."""
_SHOWN_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One creating request, whatever became of it."""

    number: int
    """Counted from 1 in the order of arrival."""
    received_at: float
    """By the sandbox's clock."""
    service: str
    endpoint: str
    request: Any
    """The body: as JSON if it is JSON, else as text; None when forgotten. Headers, and with them the key, are
    not kept."""
    outcome: str = "received"
    """`created`, `refused 402` (any status), `reset`; `received` while not decided yet."""
    task_id: str | None = None
    model: str | None = None
    charged: float = 0
    """What was taken from the balance, in the service's own unit: credits, or US dollars at Vtrix."""

    @property
    def credits(self) -> float:
        """What was taken from the balance of a service that counts in credits."""
        return self.charged


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try to deliver a webhook."""

    task_id: str
    url: str
    attempt: int
    """Counted from 1 per delivery."""
    outcome: str
    """The receiver's HTTP status, or what kept it from answering."""


@dataclass(frozen=True, kw_only=True)
class MisplacedKey:
    """A credential that went where it has no business: the key itself is not kept."""

    path: str
    host: str
    """As the client wrote it."""
    header: str
    reason: str
    """`image` and `unknown path` take no credential; `foreign header` and `foreign key` belong to another service."""


class RequestLog:
    """Creating requests, deliveries, and how often each endpoint was asked."""

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
        """How often each endpoint was asked, refused requests included."""
        return Counter(self._requests)

    @property
    def keyed(self) -> Mapping[str, int]:
        """How many of these requests carried a credential, good or not."""
        return Counter(self._keyed)

    @property
    def misplaced_keys(self) -> tuple[MisplacedKey, ...]:
        """Credentials that went where they have no business, the last KEPT_STRAYS of them."""
        return tuple(self._misplaced_keys)

    @property
    def submissions(self) -> tuple[Submission, ...]:
        """The creating requests in the order of arrival, the last KEPT_SUBMISSIONS of them."""
        return tuple(self._submissions.values())

    @property
    def deliveries(self) -> tuple[Attempt, ...]:
        """The tries to deliver webhooks, the last KEPT_DELIVERIES of them."""
        return tuple(self._attempts)

    def fetched(self, task_id: str) -> int:
        """How often this task was asked for."""
        return self._fetched[task_id]

    def count(self, endpoint: str, *, is_keyed: bool = False) -> None:
        """Note a request, and whether it carried a credential."""
        self._requests[endpoint] += 1
        self._keyed[endpoint] += is_keyed

    def misplaced_key(self, misplaced_key: MisplacedKey) -> None:
        """Note a credential in the wrong place."""
        self._misplaced_keys.append(misplaced_key)

    def count_fetch(self, task_id: str) -> None:
        """Note that a task was asked for."""
        self._fetched[task_id] += 1

    def open(self, service: str, endpoint: str, content: bytes, received_at: float) -> int:
        """Note the arrival of a creating request and return its number."""
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
        """Note what became of a creating request; `fields` are further fields of its Submission."""
        if number in self._submissions:
            self._submissions[number] = replace(self._submissions[number], outcome=outcome, **fields)

    def delivered(self, attempt: Attempt) -> None:
        """Note a try to deliver a webhook."""
        self._attempts.append(attempt)

    def as_json(self) -> dict[str, Any]:
        """Tell all of it, long texts (pictures in base64) by their beginnings."""
        misplaced_keys = [asdict(misplaced_key) for misplaced_key in self._misplaced_keys]
        return {
            "requests": self.requests,
            "keyed": self.keyed,
            "misplaced_keys": misplaced_keys,
            "strays": misplaced_keys,
            "submissions": [
                {
                    **asdict(replace(entry, request=_abridged(entry.request))),
                    "fetched": self._fetched[entry.task_id or ""],
                }
                for entry in self.submissions
            ],
            "deliveries": [asdict(attempt) for attempt in self._attempts],
        }


def _abridged(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {name: _abridged(value) for name, value in fields.items()}
    if isinstance(fields, list):
        return [_abridged(value) for value in fields]
    if isinstance(fields, str) and len(fields) > _SHOWN_CHARACTERS:
        return f"{fields[:40]}… ({len(fields)} characters)"
    return fields


def _readable(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")

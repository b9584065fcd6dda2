"""What the sandbox has seen: proof for tests that exactly one creating request was made."""

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

KEPT_SUBMISSIONS = 2_000
KEPT_DELIVERIES = 2_000


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One creating request, whatever became of it."""

    number: int
    """Counted from 1 in the order of arrival."""
    received_at: float
    """By the sandbox's clock."""
    endpoint: str
    request: Any
    """The body: as JSON if it is JSON, else as text. Headers, and with them the key, are not kept."""
    outcome: str = "received"
    """`created`, `refused 402` (any status), `reset`; `received` while not decided yet."""
    task_id: str | None = None
    model: str | None = None
    credits: float = 0
    """What was taken from the balance."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try to deliver a webhook."""

    task_id: str
    url: str
    attempt: int
    """Counted from 1 per delivery."""
    outcome: str
    """The receiver's HTTP status, or what kept it from answering."""


class Ledger:
    """Creating requests, deliveries, and how often each endpoint was asked."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._requests = Counter(dict.fromkeys(endpoints, 0))
        self._submissions: OrderedDict[int, Submission] = OrderedDict()
        self._fetched: Counter[str] = Counter()
        self._attempts: deque[Attempt] = deque(maxlen=KEPT_DELIVERIES)
        self._last = 0

    @property
    def requests(self) -> Mapping[str, int]:
        """How often each endpoint was asked, refused requests included."""
        return dict(self._requests)

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

    def count(self, endpoint: str) -> None:
        """Note a request."""
        self._requests[endpoint] += 1

    def count_fetch(self, task_id: str) -> None:
        """Note that a task was asked for."""
        self._fetched[task_id] += 1

    def open(self, endpoint: str, content: bytes, received_at: float) -> int:
        """Note the arrival of a creating request and return its number."""
        self._last += 1
        request = _readable(content)
        model = request.get("model") if isinstance(request, dict) else None
        self._submissions[self._last] = Submission(
            number=self._last,
            received_at=received_at,
            endpoint=endpoint,
            request=request,
            model=model if isinstance(model, str) else None,
        )
        if len(self._submissions) > KEPT_SUBMISSIONS:
            _, forgotten = self._submissions.popitem(last=False)
            self._fetched.pop(forgotten.task_id or "", None)
        return self._last

    def close(self, number: int, outcome: str, **told: Any) -> None:
        """Note what became of a creating request; `told` are further fields of its Submission."""
        if number in self._submissions:
            self._submissions[number] = replace(self._submissions[number], outcome=outcome, **told)

    def delivered(self, attempt: Attempt) -> None:
        """Note a try to deliver a webhook."""
        self._attempts.append(attempt)

    def as_json(self) -> dict[str, Any]:
        """Tell all of it."""
        return {
            "requests": self.requests,
            "submissions": [
                {**asdict(entry), "fetched": self._fetched[entry.task_id or ""]} for entry in self.submissions
            ],
            "deliveries": [asdict(attempt) for attempt in self._attempts],
        }


def _readable(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")

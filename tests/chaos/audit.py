"""Comparison of the sandbox's request log with the journal, and the rules that must hold."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chaos.journal import Row


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A creating request as the sandbox logged it."""

    service: str
    outcome: str
    task_id: str | None
    body: str
    """The whole body as text; it contains the mark of the call."""
    urls: frozenset[str] = frozenset()
    """The image URLs of the created task."""
    webhook: Literal["pending", "delivered", "given up"] | None = None
    """The state of its webhook; None if the server requested none."""

    @property
    def is_created(self) -> bool:
        """Whether it created a task, which is charged."""
        return self.outcome == "created"


@dataclass(frozen=True, kw_only=True)
class Crash:
    """The state that a killed server left."""

    name: str
    """The kill point."""
    pid: int
    """The id of the killed process."""
    at: float = 0.0
    """In seconds; comparable with the other crashes."""
    rows: tuple[Row, ...]
    """The journal at that time."""
    results: tuple[Mapping[str, Any], ...] = ()
    """The task objects that its callers had received."""

    @property
    def unfinished(self) -> list[Row]:
        """The unfinished tasks that it had leased."""
        return [row for row in self.rows if not row.final and row.worker_id.split(":")[1:2] == [str(self.pid)]]


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything known about a chain after its last task has ended."""

    marks: tuple[str, ...]
    """The marks of the calls."""
    entries: tuple[Entry, ...]
    rows: tuple[Row, ...]
    results: Mapping[str, Mapping[str, Any]]
    """The final results of `fetch_task`, by our task id."""
    crashes: tuple[Crash, ...]
    corrupt_copies: tuple[str, ...] = ()
    """Stored copies that are missing or differ from the provider's image."""
    log: str = ""
    """The stderr of the servers."""


def created(record: Record) -> list[Entry]:
    """Return the tasks that the providers created."""
    return [entry for entry in record.entries if entry.is_created]


def submitted_twice(record: Record) -> list[str]:
    """Return the calls for which more than one task was created."""
    return [m for m in record.marks if sum(m in entry.body for entry in created(record)) > 1]


def unconfirmed(record: Record) -> list[Entry]:
    """Return the created tasks that the journal reports as unconfirmed."""
    ended = {row.prompt for row in record.rows if row.code == "submission_unconfirmed"}
    return [entry for entry in created(record) if any(_mark_in(prompt, record) in entry.body for prompt in ended)]


def awaiting_webhook(record: Record) -> list[Entry]:
    """Return the created tasks that still await a webhook, which their provider has given up."""
    waiting = {row.prompt for row in record.rows if row.awaits_webhook}
    return [
        entry
        for entry in created(record)
        if entry.webhook == "given up" and any(_mark_in(prompt, record) in entry.body for prompt in waiting)
    ]


def lost(record: Record) -> list[Entry]:
    """Return the created tasks whose images are not all known and that are not reported as unconfirmed or pending."""
    whole = {(row.provider, row.prediction_id): row.urls for row in record.rows if row.status == "succeeded"}
    reported = [*unconfirmed(record), *awaiting_webhook(record)]
    return [
        entry
        for entry in created(record)
        if whole.get((entry.service, entry.task_id)) != entry.urls and entry not in reported
    ]


def problems(record: Record) -> Iterator[str]:
    """Yield every broken rule; nothing if all rules hold."""
    for entry in record.entries:
        if sum(mark in entry.body for mark in record.marks) != 1:
            yield f"{entry.service} received a request that no call made: {entry.body[:200]}"
    for entry in lost(record):
        yield f"lost: {entry.service} created {entry.task_id}, and its images are unknown"
    for mark in record.marks:
        yield from (f"{mark}: {problem}" for problem in _call_problems(mark, record))
    for row in record.rows:
        yield from (f"{row.id}: {problem}" for problem in _result_problems(row, record.results.get(row.id, {})))
    yield from (f"no good copy: {copy}" for copy in record.corrupt_copies)
    if "Traceback" in record.log:
        yield f"an error in our code: {record.log}"
    for crash in record.crashes:
        yield from (f"after {crash.name!r}, {problem}" for problem in _crash_problems(crash, record))
        yield from (f"before {crash.name!r}, {problem}" for problem in _unstored_results(crash))


def _call_problems(mark: str, record: Record) -> Iterator[str]:
    """Yield the problems of one call: at most one row, at most one created task, and both agree."""
    entries = [entry for entry in record.entries if mark in entry.body]
    rows = [row for row in record.rows if mark in row.prompt]
    made = [entry for entry in entries if entry.is_created]
    if len(made) > 1:
        yield f"submitted twice: {[(entry.service, entry.task_id) for entry in made]}"
    if len(rows) != 1:
        if entries or rows:
            yield f"{len(rows)} rows for {len(entries)} creating requests"
        return
    (row,) = rows
    if not row.final:
        yield from _unfinished_problems(row, made)
    elif row.code == "submission_unconfirmed":
        if (row.submission, row.prediction_id) != ("sent", None):
            yield f"unconfirmed, but {row.submission} as {row.prediction_id}"
    elif made:
        if (row.submission, row.provider, row.prediction_id) != ("accepted", made[-1].service, made[-1].task_id):
            yield f"{made[-1].service} created {made[-1].task_id}; the journal: {row}"
    elif (row.status, row.submission, "cost" in row.outcome) != ("failed", "refused", False):
        yield f"no task was created; the journal: {row}"


def _result_problems(row: Row, result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between the result of `fetch_task` and the journal."""
    stored = (row.status, row.provider, row.prediction_id, row.code, row.urls, row.outcome.get("cost", {}))
    urls = {image["url"] for image in result.get("images", ())} | (
        {result["grid_url"]} if "grid_url" in result else set()
    )
    code, names = result.get("error", {}).get("code"), ("status", "provider", "provider_task_id")
    if stored != (*(result.get(name) for name in names), code, frozenset(urls), result.get("cost", {})):
        yield f"returned {json.dumps(result)}; the journal: {row}"


def _unfinished_problems(row: Row, made: Sequence[Entry]) -> Iterator[str]:
    """Yield the problems of a task that has not ended: it may only await a webhook that its provider has given up."""
    webhooks = [entry.webhook for entry in made]
    if not row.awaits_webhook or any(webhook != "given up" for webhook in webhooks):
        yield f"not finished: {row.status}, {row.submission}, webhooks {webhooks}"


_CONTINUATIONS: Mapping[str, tuple[tuple[str, str, str | None], ...]] = {
    "prepared": (("failed", "refused", "not_submitted"),),
    "sent": (("failed", "sent", "submission_unconfirmed"),),
    "sent, with a webhook": (("succeeded", "accepted", None), ("running", "sent", None)),
    "accepted": (("succeeded", "accepted", None),),
}
"""The correct outcomes after a crash, by state: status, submission and code. A requested webhook arrives or is still
awaited."""


def _crash_problems(crash: Crash, record: Record) -> Iterator[str]:
    """Yield the rows of a killed server that ended otherwise than they must."""
    ends = {row.id: row for row in record.rows}
    for left in crash.rows:
        end = ends.get(left.id)
        if end is None:
            yield f"{left.id} is missing"
        elif left.final:
            if end != left:
                yield f"{left.id} was final and changed: {left} became {end}"
        elif (end.status, end.submission, end.code) not in _CONTINUATIONS[_state(left)]:
            yield f"{left.id} was {left.submission} and became {end}"
        elif left.prediction_id not in (None, end.prediction_id):
            yield f"{left.id} was {left.prediction_id} and became {end.prediction_id}"
        elif not left.urls <= end.urls:
            yield f"{left.id} had {left.urls} and has {end.urls}"


def _state(left: Row) -> str:
    return "sent, with a webhook" if left.awaits_webhook else left.submission


def _unstored_results(crash: Crash) -> Iterator[str]:
    """Yield the results that a killed server had returned and not stored."""
    rows = {row.id: row for row in crash.rows}
    for result in crash.results:
        row = rows.get(result["task_id"])
        if row is None:
            yield f"{result['task_id']} was returned and is not in the journal"
        elif result.get("provider_task_id") not in (None, row.prediction_id):
            yield f"{row.id} was returned as accepted; the journal has {row.submission}"
        elif result["status"] in ("succeeded", "failed") and result["status"] != row.status:
            yield f"{row.id} was returned as {result['status']}; the journal has {row.status}"


def _mark_in(prompt: str, record: Record) -> str:
    return next((mark for mark in record.marks if mark in prompt), prompt)

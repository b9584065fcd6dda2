"""The sandbox's ledger against the journal: what was created, what is known of it, and what must hold."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chaos.journal import Row


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A creating request as the sandbox saw it."""

    service: str
    outcome: str
    task_id: str | None
    body: str
    """All of it, as text: the mark of a call stands in it."""
    urls: frozenset[str] = frozenset()
    """Where the pictures of the created task are."""
    webhook: Literal["pending", "taken", "given up"] | None = None
    """What became of it; None where the server had asked for none."""

    @property
    def is_created(self) -> bool:
        """Whether it made a task, which is paid for."""
        return self.outcome == "created"


@dataclass(frozen=True, kw_only=True)
class Death:
    """What a killed server left behind."""

    name: str
    """Where it was killed."""
    pid: int
    """Of the process that was killed."""
    at: float = 0.0
    """In seconds, to compare with the others."""
    rows: tuple[Row, ...]
    """The journal as it was in that moment."""
    told: tuple[Mapping[str, Any], ...] = ()
    """The task objects that its callers had been given."""

    @property
    def in_hand(self) -> list[Row]:
        """The unfinished tasks that it held."""
        return [row for row in self.rows if not row.final and row.holder.split(":")[1:2] == [str(self.pid)]]


@dataclass(frozen=True, kw_only=True)
class Books:
    """All that is known of a chain, once it is at rest."""

    marks: tuple[str, ...]
    """Of the calls that were made."""
    entries: tuple[Entry, ...]
    rows: tuple[Row, ...]
    told: Mapping[str, Mapping[str, Any]]
    """What `fetch_task` says at the end, by our id."""
    deaths: tuple[Death, ...]
    spoiled: tuple[str, ...] = ()
    """Copies of pictures that are not there, or not the pictures."""
    log: str = ""
    """What the servers wrote to stderr."""


def created(books: Books) -> list[Entry]:
    """The tasks that were made upstream."""
    return [entry for entry in books.entries if entry.is_created]


def doubled(books: Books) -> list[str]:
    """The calls for which more than one task was made."""
    return [m for m in books.marks if sum(m in entry.body for entry in created(books)) > 1]


def unconfirmed(books: Books) -> list[Entry]:
    """The tasks that were made upstream, and of which the journal says that they may have been."""
    ended = {row.prompt for row in books.rows if row.code == "submission_unconfirmed"}
    return [entry for entry in created(books) if any(_mark_in(prompt, books) in entry.body for prompt in ended)]


def waited_for(books: Books) -> list[Entry]:
    """The tasks that were made upstream, and that are still waited for: their provider has given its webhook up."""
    waiting = {row.prompt for row in books.rows if row.is_waited_for}
    return [
        entry
        for entry in created(books)
        if entry.webhook == "given up" and any(_mark_in(prompt, books) in entry.body for prompt in waiting)
    ]


def lost(books: Books) -> list[Entry]:
    """The tasks that were made upstream, not known with all their pictures, nor told as what nobody can know."""
    whole = {(row.provider, row.prediction_id): row.urls for row in books.rows if row.status == "succeeded"}
    told = [*unconfirmed(books), *waited_for(books)]
    return [
        entry
        for entry in created(books)
        if whole.get((entry.service, entry.task_id)) != entry.urls and entry not in told
    ]


def problems(books: Books) -> Iterator[str]:
    """All that does not hold; nothing when all is well."""
    for entry in books.entries:
        if sum(mark in entry.body for mark in books.marks) != 1:
            yield f"{entry.service} was asked for something that nobody called for: {entry.body[:200]}"
    for entry in lost(books):
        yield f"lost: {entry.service} made {entry.task_id}, and nobody has its pictures"
    for mark in books.marks:
        yield from (f"{mark}: {problem}" for problem in _of_a_call(mark, books))
    for row in books.rows:
        yield from (f"{row.id}: {problem}" for problem in _of_what_is_told(row, books.told.get(row.id, {})))
    yield from (f"no good copy: {copy}" for copy in books.spoiled)
    if "Traceback" in books.log:
        yield f"an error of our own: {books.log}"
    for death in books.deaths:
        yield from (f"after {death.name!r}, {problem}" for problem in _of_a_death(death, books))
        yield from (f"before {death.name!r}, {problem}" for problem in _of_the_last_words(death))


def _of_a_call(mark: str, books: Books) -> Iterator[str]:
    """What does not hold of one call: one row at most, one created task at most, and the two agree."""
    entries = [entry for entry in books.entries if mark in entry.body]
    rows = [row for row in books.rows if mark in row.prompt]
    made = [entry for entry in entries if entry.is_created]
    if len(made) > 1:
        yield f"submitted twice: {[(entry.service, entry.task_id) for entry in made]}"
    if len(rows) != 1:
        if entries or rows:
            yield f"{len(rows)} rows for {len(entries)} creating requests"
        return
    (row,) = rows
    if not row.final:
        yield from _of_what_goes_on(row, made)
    elif row.code == "submission_unconfirmed":
        if (row.submission, row.prediction_id) != ("sent", None):
            yield f"unconfirmed, and yet {row.submission} as {row.prediction_id}"
    elif made:
        if (row.submission, row.provider, row.prediction_id) != ("accepted", made[-1].service, made[-1].task_id):
            yield f"{made[-1].service} made {made[-1].task_id}; the journal: {row}"
    elif (row.status, row.submission, "cost" in row.outcome) != ("failed", "refused", False):
        yield f"nothing was made; the journal: {row}"


def _of_what_is_told(row: Row, told: Mapping[str, Any]) -> Iterator[str]:
    """What `fetch_task` says otherwise than the journal."""
    stored = (row.status, row.provider, row.prediction_id, row.code, row.urls, row.outcome.get("cost", {}))
    urls = {image["url"] for image in told.get("images", ())} | ({told["grid_url"]} if "grid_url" in told else set())
    code, names = told.get("error", {}).get("code"), ("status", "provider", "provider_task_id")
    if stored != (*(told.get(name) for name in names), code, frozenset(urls), told.get("cost", {})):
        yield f"told {json.dumps(told)}; the journal: {row}"


def _of_what_goes_on(row: Row, made: Sequence[Entry]) -> Iterator[str]:
    """What does not hold of one that has not ended: it waits for a webhook that is given up, or that never was."""
    webhooks = [entry.webhook for entry in made]
    if not row.is_waited_for or any(webhook != "given up" for webhook in webhooks):
        yield f"not at rest: {row.status}, {row.submission}, webhooks {webhooks}"


_CONTINUATIONS: Mapping[str, tuple[tuple[str, str, str | None], ...]] = {
    "prepared": (("failed", "refused", "not_submitted"),),
    "sent": (("failed", "sent", "submission_unconfirmed"),),
    "sent, with a webhook": (("succeeded", "accepted", None), ("running", "sent", None)),
    "accepted": (("succeeded", "accepted", None),),
}
"""After a crash each state has one right end: status, submission and code; where a webhook was asked for, it comes or
is waited for."""


def _of_a_death(death: Death, books: Books) -> Iterator[str]:
    """What became of the rows that a killed server left, otherwise than it must."""
    ends = {row.id: row for row in books.rows}
    for left in death.rows:
        end = ends.get(left.id)
        if end is None:
            yield f"{left.id} is gone"
        elif left.final:
            if end != left:
                yield f"{left.id} was final, and changed: {left} became {end}"
        elif (end.status, end.submission, end.code) not in _CONTINUATIONS[_state(left)]:
            yield f"{left.id} was {left.submission}, and became {end}"
        elif left.prediction_id not in (None, end.prediction_id):
            yield f"{left.id} was {left.prediction_id}, and became {end.prediction_id}"
        elif not left.urls <= end.urls:
            yield f"{left.id} had {left.urls}, and has {end.urls}"


def _state(left: Row) -> str:
    return "sent, with a webhook" if left.is_waited_for else left.submission


def _of_the_last_words(death: Death) -> Iterator[str]:
    """What a killed server had told its callers and had not stored."""
    rows = {row.id: row for row in death.rows}
    for told in death.told:
        row = rows.get(told["task_id"])
        if row is None:
            yield f"{told['task_id']} was told, and is not in the journal"
        elif told.get("provider_task_id") not in (None, row.prediction_id):
            yield f"{row.id} was told as accepted, and the journal has {row.submission}"
        elif told["status"] in ("succeeded", "failed") and told["status"] != row.status:
            yield f"{row.id} was told as {told['status']}, and the journal has {row.status}"


def _mark_in(prompt: str, books: Books) -> str:
    return next((mark for mark in books.marks if mark in prompt), prompt)

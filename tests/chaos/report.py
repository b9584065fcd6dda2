"""The summary of a run for docs/reliability.md."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.audit import Record, awaiting_webhook, created, lost, submitted_twice, unconfirmed
from chaos.journal import Row
from chaos.plan import FIRST_POLL

_OUTCOMES = ("never sent: free", "unconfirmed", "reported by webhook", "awaiting webhook", "recovered")


def summary(records: Sequence[Record], *, seed: int, where: str, when: str, took_s: float) -> str:
    """Return the totals of a run and the figures of each kill point, in Markdown."""
    head = f"`make chaos`, {when}, seed {seed}, {took_s:.0f} s. Machine: {where}."
    return f"{head}\n{_take_over_delay(records)}\n\n{_table(_totals(records))}\n\n{_table(_by_kill_point(records))}\n"


def _take_over_delay(records: Sequence[Record]) -> str:
    """Return the time from a kill to the take-over of its tasks, in words."""
    lasted = [
        then.at - first.at
        for chain in records
        for first, then in itertools.pairwise(chain.crashes)
        if then.name == FIRST_POLL and first.unfinished
    ]
    if not lasted:
        return ""
    median = statistics.median(lasted)
    return f"Time from a kill to the next server's first poll: median {median:.1f} s, maximum {max(lasted):.1f} s."


def _totals(records: Sequence[Record]) -> list[list[str]]:
    """Return the totals of both sides and their differences."""
    made = sum(len(created(chain)) for chain in records)
    open_ones = sum(len(entries) for entries in map(unconfirmed, records))
    waiting = sum(len(entries) for entries in map(awaiting_webhook, records))
    losses = sum(len(entries) for entries in map(lost, records))
    figures = {
        "servers killed": sum(len(chain.crashes) for chain in records),
        "calls made": sum(len(chain.marks) for chain in records),
        "creating requests that arrived": sum(len(chain.entries) for chain in records),
        "tasks created by the providers": made,
        "of these, known by the provider's id and finished": made - open_ones - waiting - losses,
        "of these, reported as `submission_unconfirmed`": open_ones,
        "of these, still awaiting a webhook that the provider has given up": waiting,
        "of these, **lost**": losses,
        "calls **submitted twice**": sum(len(entries) for entries in map(submitted_twice, records)),
    }
    return [["total", ""], *([name, f"{count:,}"] for name, count in figures.items())]


def _by_kill_point(records: Sequence[Record]) -> list[list[str]]:
    """Return the kills at each kill point and the outcomes of the tasks that the servers had leased."""
    kills: Counter[str] = Counter()
    ends: Counter[tuple[str, str]] = Counter()
    for chain in records:
        last = {row.id: row for row in chain.rows}
        for crash in chain.crashes:
            kills[crash.name] += 1
            ends.update((crash.name, _outcome_of(left, last[left.id])) for left in crash.unfinished if left.id in last)
    head = ["kill point", "kills", *_OUTCOMES]
    return [head, *([name, str(kills[name]), *(str(ends[name, end]) for end in _OUTCOMES)] for name in sorted(kills))]


def _outcome_of(left: Row, end: Row) -> str:
    """Return the outcome of a task that a killed server had leased."""
    if left.submission != "sent":
        return "never sent: free" if left.submission == "prepared" else "recovered"
    if end.awaits_webhook:
        return "awaiting webhook"
    return "unconfirmed" if end.code == "submission_unconfirmed" else "reported by webhook"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *lines = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))

"""What a run came to, as a part of docs/reliability.md."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.audit import Books, created, doubled, lost, unconfirmed, waited_for
from chaos.journal import Row
from chaos.plan import FIRST_POLL

_ENDS = ("never sent: free", "unconfirmed", "told by webhook", "waited for", "recovered")


def summary(books: Sequence[Books], *, seed: int, where: str, when: str, took_s: float) -> str:
    """The figures of a run, by point and in all, in Markdown."""
    told = f"`make chaos` of {when}, seed {seed}, {took_s:.0f} s on this machine: {where}."
    return f"{told}\n{_take_over(books)}\n\n{_table(_totals(books))}\n\n{_table(_points(books))}\n"


def _take_over(books: Sequence[Books]) -> str:
    """How long tasks were nobody's."""
    lasted = [
        then.at - first.at
        for chain in books
        for first, then in itertools.pairwise(chain.deaths)
        if then.name == FIRST_POLL and first.in_hand
    ]
    if not lasted:
        return ""
    middle = statistics.median(lasted)
    return f"From a death to the next server's first poll: {middle:.1f} s in the middle, {max(lasted):.1f} s at most."


def _totals(books: Sequence[Books]) -> list[list[str]]:
    """The two sides, and what they differ in."""
    made = sum(len(created(chain)) for chain in books)
    open_ones = sum(len(told) for told in map(unconfirmed, books))
    waiting = sum(len(told) for told in map(waited_for, books))
    losses = sum(len(told) for told in map(lost, books))
    figures = {
        "servers killed": sum(len(chain.deaths) for chain in books),
        "calls made": sum(len(chain.marks) for chain in books),
        "creating requests that arrived": sum(len(chain.entries) for chain in books),
        "tasks created by the providers": made,
        "of these, known by the provider's id and delivered": made - open_ones - waiting - losses,
        "of these, told as `submission_unconfirmed`": open_ones,
        "of these, still waited for, their webhook being given up by the provider": waiting,
        "of these, **lost**": losses,
        "calls **submitted twice**": sum(len(told) for told in map(doubled, books)),
    }
    return [["in all", ""], *([name, f"{count:,}"] for name, count in figures.items())]


def _points(books: Sequence[Books]) -> list[list[str]]:
    """How often a server was killed where, and how far the calls were that it had in hand."""
    kills: Counter[str] = Counter()
    ends: Counter[tuple[str, str]] = Counter()
    for chain in books:
        last = {row.id: row for row in chain.rows}
        for death in chain.deaths:
            kills[death.name] += 1
            ends.update((death.name, _end(left, last[left.id])) for left in death.in_hand if left.id in last)
    head = ["killed", "times", *_ENDS]
    return [head, *([name, str(kills[name]), *(str(ends[name, end]) for end in _ENDS)] for name in sorted(kills))]


def _end(left: Row, end: Row) -> str:
    """What became of a task that a killed server had in hand."""
    if left.submission != "sent":
        return "never sent: free" if left.submission == "prepared" else "recovered"
    if end.is_waited_for:
        return "waited for"
    return "unconfirmed" if end.code == "submission_unconfirmed" else "told by webhook"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *lines = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))

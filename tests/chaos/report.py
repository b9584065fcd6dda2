"""What a run came to, as a part of docs/reliability.md."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.audit import Books, created, doubled, lost, unconfirmed
from chaos.plan import FIRST_POLL

_STATES = ("prepared", "sent", "accepted")


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
    losses = sum(len(told) for told in map(lost, books))
    figures = {
        "servers killed": sum(len(chain.deaths) for chain in books),
        "calls made": sum(len(chain.marks) for chain in books),
        "creating requests that arrived": sum(len(chain.entries) for chain in books),
        "tasks created by the providers": made,
        "of these, known by the provider's id and delivered": made - open_ones - losses,
        "of these, told as `submission_unconfirmed`": open_ones,
        "of these, **lost**": losses,
        "calls **submitted twice**": sum(len(told) for told in map(doubled, books)),
    }
    return [["in all", ""], *([name, f"{count:,}"] for name, count in figures.items())]


def _points(books: Sequence[Books]) -> list[list[str]]:
    """How often a server was killed where, and how far the calls were that it had in hand."""
    deaths = [death for chain in books for death in chain.deaths]
    kills = Counter(death.name for death in deaths)
    rows = [["killed", "times", "never sent: free", "unconfirmed", "recovered"]]
    for name in sorted(kills):
        in_hand = Counter(row.submission for death in deaths if death.name == name for row in death.in_hand)
        rows.append([name, str(kills[name]), *(str(in_hand[state]) for state in _STATES)])
    return rows


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *lines = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))

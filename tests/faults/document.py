"""The table of outcomes as it stands in the document: one line for what has one outcome at the same providers."""

from collections.abc import Iterator, Sequence

from .cases import CASES, Case
from .outcomes import Outcome

_STAGES = {
    "submit": "The creating request. Each fault strikes once, unless it says so.",
    "poll": "A question how the task stands. Each fault lasts until the caller has been told or the task has ended, "
    "and is over then.",
    "poll, twice": "The same, when only two questions go wrong.",
    "copy": "The download of a finished picture whose link dies soon. Each fault lasts.",
    "copy, once": "The same, when only one download goes wrong.",
    "source": "The download of a picture to edit, where the offer takes bytes only (`flux-fill-pro`).",
}
_INTRODUCTION = """\
With one provider configured. Nothing is ever made twice, and what costs nothing says so. *Cost kept* is what the call
costs, as far as anybody states it. A `Retry-After` is heeded. Where it says *afterwards*, asking goes on while the
fault lasts, and that is what comes of it when the fault is over. A question for several tasks at once, which JourneyAPI
takes, comes to the same: its answers go wrong in the adapter's own tests. Pictures of JourneyAPI and Vtrix are not
fetched by the server: their links live.
"""
_HEADER: tuple[str, ...] = ("what goes wrong", "at", "the caller sees", "creating requests", "the journal says")
_LINE = ("---",) * len(_HEADER)


def outcomes() -> str:
    """All stages, each with its table."""
    parts = [_INTRODUCTION.strip()]
    for stage, title in _STAGES.items():
        those = [case for case in CASES if case.stage == stage]
        lines = [_HEADER, _LINE, *_rows(those)]
        parts += [title, "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join(parts)


def _rows(those: Sequence[Case]) -> Iterator[tuple[str, ...]]:
    """A line for each outcome, the providers it holds for, and the faults that both are the same for."""
    routes: dict[tuple[str, Outcome], list[str]] = {}
    for case in those:
        routes.setdefault((case.fault.name, case.expected), []).append(case.route.name)
    faults: dict[tuple[Outcome, tuple[str, ...]], list[str]] = {}
    for (fault, outcome), names in routes.items():
        faults.setdefault((outcome, tuple(names)), []).append(fault)
    order = {case.fault.name: number for number, case in enumerate(reversed(those))}
    everywhere = {case.route.name for case in those}
    for (outcome, at), names in sorted(faults.items(), key=lambda found: -order[found[1][0]]):
        where = "all" if everywhere == set(at) != {*at[:1]} else ", ".join(at)
        yield "; ".join(names), where, _seen(outcome), _sent(outcome), outcome.journal


def _seen(outcome: Outcome) -> str:
    parts = [f"`{outcome.status}`" if outcome.status != "not started" else "an error"]
    if outcome.error:
        parts.append(f"`{outcome.error}`")
    if outcome.progress is not None:
        parts.append(f"{outcome.progress:.0%} done")
    if outcome.copied is not None:
        parts.append("a copy" if outcome.copied else "no copy")
    parts += [f'notice "{piece}"' for piece in outcome.notices]
    seen = ", ".join(parts)
    return f"{seen}; afterwards `{outcome.then}`" if outcome.then else seen


def _sent(outcome: Outcome) -> str:
    if not outcome.requests:
        return "none"
    made = "a task made" if outcome.created else "nothing made"
    return f"{outcome.requests}{' or more' if outcome.or_more else ''}, {made}"

"""The table of outcomes for the document: one line for faults with one outcome at the same providers."""

from collections.abc import Iterator, Sequence

from .cases import CASES, Case
from .outcomes import Outcome

_STAGES = {
    "submit": "The creating request. Each fault affects one request unless the row says otherwise.",
    "poll": "A poll of the task's status. Each fault lasts until the caller has a notice or the task has ended.",
    "poll, twice": "The same, with a fault that affects two polls only.",
    "copy": "The download of a finished image whose link expires soon. Each fault lasts.",
    "copy, once": "The same, with a fault that affects one download only.",
    "source": "The download of an image to edit, for an offer that takes bytes only (`flux-fill-pro`).",
}
_INTRODUCTION = """\
The tables assume one configured provider. No image is created twice, and an error says so when nothing was charged.
*Cost kept* means that the task keeps the cost of the call, if a source states it. A `Retry-After` is respected.
*Afterwards* gives the status once the fault is over; polling continues until then. JourneyAPI can be polled for several
tasks in one request: the outcomes are the same, and the adapter's tests cover the faults. The server does not download
images of JourneyAPI and Vtrix, because their links do not expire soon.
"""
_HEADER: tuple[str, ...] = ("fault", "provider", "the caller sees", "creating requests", "journal")
_LINE = ("---",) * len(_HEADER)


def outcomes() -> str:
    """Return all stages, each with its table."""
    parts = [_INTRODUCTION.strip()]
    for stage, title in _STAGES.items():
        cases = [case for case in CASES if case.stage == stage]
        lines = [_HEADER, _LINE, *_rows(cases)]
        parts += [title, "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join(parts)


def _rows(cases: Sequence[Case]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each outcome and set of providers, with all faults that share them."""
    routes: dict[tuple[str, Outcome], list[str]] = {}
    for case in cases:
        routes.setdefault((case.fault.name, case.expected), []).append(case.route.name)
    faults: dict[tuple[Outcome, tuple[str, ...]], list[str]] = {}
    for (fault, outcome), names in routes.items():
        faults.setdefault((outcome, tuple(names)), []).append(fault)
    order = {case.fault.name: number for number, case in enumerate(reversed(cases))}
    everywhere = {case.route.name for case in cases}
    for (outcome, at), names in sorted(faults.items(), key=lambda found: -order[found[1][0]]):
        where = "all" if everywhere == set(at) != {*at[:1]} else ", ".join(at)
        yield "; ".join(names), where, _shown_to_caller(outcome), _creating_requests(outcome), outcome.journal


def _shown_to_caller(outcome: Outcome) -> str:
    parts = [f"`{outcome.status}`" if outcome.status != "not started" else "an error"]
    if outcome.error:
        parts.append(f"`{outcome.error}`")
    if outcome.progress is not None:
        parts.append(f"{outcome.progress:.0%} done")
    if outcome.copied is not None:
        parts.append("copied" if outcome.copied else "not copied")
    parts += [f'notice "{piece}"' for piece in outcome.notices]
    text = ", ".join(parts)
    return f"{text}; afterwards `{outcome.then}`" if outcome.then else text


def _creating_requests(outcome: Outcome) -> str:
    if not outcome.requests:
        return "none"
    created = "one task created" if outcome.created else "no task created"
    return f"{outcome.requests}{' or more' if outcome.or_more else ''}, {created}"

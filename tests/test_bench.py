"""The calculations and the document of the benchmark."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from bench.client import ERAS
from bench.commands import COMMANDS, HELP, IMPORT, TYPER
from bench.listing import FEW, MANY, PAGES
from bench.load import PER_CALL, PER_TASK, POLL_DELAY, POLLED, POLLED_ONE_BY_ONE, POLLS
from bench.measure import BARE, OURS, Samples
from bench.over_http import figure as http_figure
from bench.report import command_rows, help_rows, listing_rows, render, rows, view_rows
from bench.views import VIEWED
from bench.views import figure as view_figure

FIGURES = [
    *(f"Start to first answer, {first}" for first in (*ERAS, "`tools/list`")),
    *(f"Start to `tools/list` after it, {era}" for era in ERAS),
    "Start to the first answer of the SDK",
    "Memory when the SDK answers",
    "`tools/list`",
    *(f"Start to the result of a first call, {era}" for era in ERAS),
    *(f"`imagine`, {era}" for era in ERAS),
    *(f"`fetch_task`, {era}, {in_flight} in flight" for era in ERAS for in_flight in (1, 16)),
    *(http_figure(era) for era in ERAS),
    *(PER_TASK, PER_CALL, POLL_DELAY, POLLS),
    *(f"`{command}`" for command in (*COMMANDS, *HELP)),
]


def test_samples_have_medians_and_percentiles() -> None:
    samples = Samples()
    samples.add("figure", OURS, *range(1, 101))
    assert samples.median("figure", OURS) == 50.5
    assert [samples.percentile("figure", OURS, percent) for percent in (1, 10, 99, 100)] == [1, 10, 99, 100]


def test_the_table_shows_which_limits_are_kept_and_missed() -> None:
    """Every figure has the value 1 at the bare server, and at ours 0.01 in one table and 700 in the other."""
    kept, missed = rows(samples_of(ours=0.01)), rows(samples_of(ours=700.0))
    limited = [row.figure for row in kept if row.limit]
    assert len(limited) == 19
    assert {row.verdict for row in kept if row.limit} == {"passed"}
    assert {row.verdict for row in missed if row.limit} == {"**missed**"}
    assert {row.verdict for row in [*kept, *missed] if not row.limit} == {""}


def test_commands_are_compared_with_the_import_of_sqlalchemy() -> None:
    kept, missed = command_rows(samples_of(ours=2.0)), command_rows(samples_of(ours=3.1))
    assert [row.figure for row in kept] == [f"`{command}`" for command in COMMANDS]
    assert {(row.ratio, row.verdict) for row in kept} == {("2.000", "passed")}
    assert {(row.ratio, row.verdict) for row in missed} == {("3.100", "**missed**")}


def test_help_is_compared_with_the_import_of_typer() -> None:
    kept, missed = help_rows(samples_of(ours=1.5)), help_rows(samples_of(ours=1.6))
    assert [row.figure for row in kept] == [f"`{line}`" for line in HELP]
    assert {(row.ratio, row.verdict) for row in kept} == {("1.500", "passed")}
    assert {(row.ratio, row.verdict) for row in missed} == {("1.600", "**missed**")}


def test_a_page_among_many_tasks_is_compared_with_one_among_few() -> None:
    kept, missed = listing_rows(samples_of(ours=3.0)), listing_rows(samples_of(ours=3.1))
    assert [row.figure for row in kept] == [f"Listing: {page}" for page in PAGES]
    assert {(row.ratio, row.verdict) for row in kept} == {("3.000", "passed")}
    assert {(row.ratio, row.verdict) for row in missed} == {("3.100", "**missed**")}


def test_a_view_is_compared_with_pillow_alone() -> None:
    kept, missed = view_rows(samples_of(ours=1.3)), view_rows(samples_of(ours=1.4))
    assert [row.figure for row in kept] == [view_figure(kind) for kind in VIEWED]
    assert {(row.ratio, row.verdict) for row in kept} == {("1.300", "passed")}
    assert {(row.ratio, row.verdict) for row in missed} == {("1.400", "**missed**")}


def test_the_document_is_a_table_and_one_of_commands_under_its_explanation() -> None:
    head, _, lines = render(samples_of(ours=1.0), load="0.5").partition("\n\n|")
    assert "load average before: 0.5" in head
    assert {line.count("|") for line in f"|{lines}".splitlines() if line} == {7}


def samples_of(*, ours: float) -> Samples:
    samples = Samples()
    for figure in FIGURES:
        samples.add(figure, OURS, ours)
        samples.add(figure, BARE, 1.0)
    for kind in VIEWED:
        samples.add(view_figure(kind), OURS, ours)
        samples.add(view_figure(kind), BARE, 1.0)
    for page in PAGES:
        samples.add(page, str(MANY), ours)
        samples.add(page, str(FEW), 1.0)
    for era in ERAS:
        samples.add(f"fsync, {era}", OURS, 0.1)
    samples.add(*IMPORT, 1.0)
    samples.add(*TYPER, 1.0)
    samples.add(POLLED, OURS, max(ours / 10, 1.0))  # more often than one by one, and less often than there are polls
    samples.add(POLLED_ONE_BY_ONE, OURS, 1.0)
    return samples

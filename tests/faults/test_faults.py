"""Every fault at every provider and every stage: what the caller sees, what is sent, what the journal stores."""

from pathlib import Path

import pytest
from support import SERVICES, check_generated

from .adapters import open_recorder
from .cases import CASES, ROUTES, STAGES, Route
from .document import outcomes
from .end_to_end import END_TO_END, run
from .engine import open_engine
from .observing import pieces

_DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reliability.md"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_a_call_under_fault_ends_as_the_table_says(tmp_path: Path, route: Route) -> None:
    """The adapter's decisions are played to the engine: at most one payment, and it is in the journal."""
    cases = [case for case in CASES if case.route.name == route.name]
    observed = {}
    async with open_recorder(route, tmp_path) as recorder, open_engine(tmp_path) as engine:
        for case in cases:
            recording = await recorder.record(case)
            result = await engine.play(recording.script, recording.texts)
            outcome = observed[str(case)] = result.evaluated(case, recorder.origin)
            # the engine had another reason for a missing copy
            assert not recording.notices or pieces(recording.notices, case.expected) == outcome.notices, case
    assert observed == {str(case): case.expected for case in cases}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_selected_cases_end_as_the_table_says_end_to_end(tmp_path: Path, route: Route) -> None:
    """There is no script between adapter and engine."""
    cases = [case for case in END_TO_END if case.route.name == route.name]
    assert await run(cases, tmp_path) == {str(case): case.expected for case in cases}


def test_every_kind_of_fault_and_every_route_has_an_end_to_end_case() -> None:
    """The kinds are counted at each endpoint, whether the fault lasts or not."""
    kinds, run_kinds = (
        {(case.stage.partition(",")[0], kind) for case in cases for kind in case.fault.kinds}
        for cases in (CASES, END_TO_END)
    )
    assert kinds - run_kinds == set()
    assert {case.stage for case in END_TO_END} == set(STAGES)
    assert all(sum(case.route.name == route.name for case in END_TO_END) >= 3 for route in ROUTES)


def test_the_table_is_complete() -> None:
    """Each case occurs once, and every provider has a route; the document shows every fault."""
    assert len({str(case) for case in CASES}) == len(CASES)
    assert {route.service for route in ROUTES} == set(SERVICES), "ROUTES of cases.py needs every provider"


@pytest.mark.generated
def test_the_document_contains_the_table() -> None:
    """`UPDATE_DOCS=1` rewrites it."""
    check_generated(_DOCUMENT, "outcomes", outcomes())

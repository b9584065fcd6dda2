"""Results are compared with the list in both directions."""

import pytest

from conformance.expected import EMPTY, TASKS, problems
from conformance.suite import Outcome

PASSED = Outcome(succeeded=frozenset({"a", "wire-schema-valid"}), problems={})
IN_PART = Outcome(succeeded=frozenset({"a", "wire-schema-valid"}), problems={"b": "no such tool"})
EMPTY_ONE = Outcome(succeeded=frozenset({"wire-schema-valid"}), problems={})
BAD_WIRE = Outcome(succeeded=frozenset(), problems={"a": "no such tool", "wire-schema-valid": "no resultType"})


@pytest.mark.parametrize(
    ("outcome", "applies", "says"),
    [
        (PASSED, frozenset(), []),
        (IN_PART, frozenset({"b"}), []),
        (IN_PART, None, []),
        (EMPTY_ONE, None, []),
        (IN_PART, frozenset(), ["x, b: no such tool"]),
        (PASSED, frozenset({"b"}), ["x, b is listed as not applicable and passes"]),
        (PASSED, None, ["x passes and is not in the list"]),
        (BAD_WIRE, None, ["x, wire-schema-valid: no resultType"]),
        (BAD_WIRE, frozenset({"a", "wire-schema-valid"}), ["x checked nothing"]),
        (None, frozenset(), ["x was not run"]),
    ],
)
def test_differences_from_the_list_are_reported(
    outcome: Outcome | None, applies: frozenset[str] | None, says: list[str]
) -> None:
    """A scenario that fails, and a check that passes although it is listed as not applicable."""
    found = {} if outcome is None else {"x": outcome}
    assert list(problems(found, {} if applies is None else {"x": applies})) == says


def test_no_scenario_of_tasks_is_both_passed_and_empty() -> None:
    """Each scenario is in one list only."""
    assert not {*TASKS} & {*EMPTY}

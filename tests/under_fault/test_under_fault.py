"""Every fault at every provider and every stage: what the caller sees, what is sent, what the journal says."""

import asyncio
from pathlib import Path

import pytest
from support import check_generated

from .cells import Group, HurriedLoop, groups
from .document import outcomes

_DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
_GROUPS = tuple(groups())


@pytest.mark.parametrize("group", [g for g in _GROUPS if not g.is_hurried], ids=lambda group: group.name)
async def test_a_call_under_fault_ends_as_the_table_says(tmp_path: Path, group: Group) -> None:
    """Paid once at most, and the journal knows."""
    assert await group.observed(tmp_path) == group.expected


@pytest.mark.parametrize("group", [g for g in _GROUPS if g.is_hurried], ids=lambda group: group.name)
def test_so_does_one_that_outlasts_the_time_limits(tmp_path: Path, group: Group) -> None:
    """They are real time: the event loop's runs faster."""
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        assert runner.run(group.observed(tmp_path)) == group.expected


@pytest.mark.generated
def test_the_document_tells_the_table() -> None:
    """UPDATE_DOCS=1 rewrites it."""
    check_generated(_DOCUMENT, "outcomes", outcomes())

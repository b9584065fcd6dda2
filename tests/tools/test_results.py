"""Task objects: their fields, and the same facts as text."""

from dataclasses import replace

import pytest

from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task, new_task_id
from journey_mcp.tools.results import as_text, task_object

CREATED = 1_795_860_000.0
TASK = Task(
    id=new_task_id(),
    principal=LOCAL,
    request=ImageRequest(tool="imagine", prompt="a red kite", model="midjourney"),
    provider="journeyapi",
    base_url="https://example.test",
    created_at=CREATED,
    updated_at=CREATED,
)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELED])
def test_a_finished_task_has_both_of_its_times(status: Status) -> None:
    """In UTC and whole seconds."""
    plain = task_object(replace(TASK, status=status, updated_at=CREATED + 61.9), now=CREATED + 999)
    assert (plain["created_at"], plain["finished_at"]) == ("2026-11-28T10:00:00Z", "2026-11-28T10:01:01Z")
    assert "Created 2026-11-28T10:00:00Z, finished 2026-11-28T10:01:01Z" in as_text(plain).splitlines()


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_a_running_task_has_no_end(status: Status) -> None:
    """Its last change is not its end."""
    plain = task_object(replace(TASK, status=status, updated_at=CREATED + 5), now=CREATED + 9)
    assert "finished_at" not in plain
    assert "Created 2026-11-28T10:00:00Z" in as_text(plain).splitlines()

"""What is recorded of a tool call, read from its result."""

from typing import Any

import mcp_types as types
import pytest

from journey_mcp.core.telemetry import Operation
from journey_mcp.server.observability.calls import describe


def result(plain: dict[str, Any] | None, *, is_error: bool = False) -> types.CallToolResult:
    """Return a tool's result."""
    return types.CallToolResult(content=[], structured_content=plain, is_error=is_error)


TASK = {"task_id": "tsk_1", "status": "succeeded", "model": "midjourney", "provider": "journeyapi"}
COST = {"cost": {"amount": "4", "unit": "credits", "source": "provider"}}


@pytest.mark.parametrize(
    ("returned", "attributes"),
    [
        (
            result({**TASK, **COST}),
            {
                "task_id": "tsk_1",
                "model": "midjourney",
                "provider": "journeyapi",
                "cost": "4",
                "unit": "credits",
                "outcome": "succeeded",
            },
        ),
        (result({"error": {"code": "over_budget"}}, is_error=True), {"outcome": "over_budget"}),
        (result({"tasks": [{"status": "running", "task_id": "tsk_2"}]}), {"task_id": "tsk_2", "outcome": "running"}),
        (result({"tasks": [TASK, TASK]}), {"outcome": "completed"}),
        (result({"tasks": []}, is_error=True), {"outcome": "error"}),
        (result(None, is_error=True), {"outcome": "error"}),
        (result(None), {}),
        (types.InputRequiredResult(request_state="sealed"), {"outcome": "input_required"}),
        ({"resultType": "task", "taskId": "tsk_3", "status": "working"}, {"task_id": "tsk_3", "outcome": "working"}),
    ],
)
def test_a_call_is_described_by_its_result(returned: object, attributes: dict[str, Any]) -> None:
    """Of several tasks only the outcome is kept."""
    operation = Operation("call", {})
    describe(operation, returned)
    assert operation.attributes == attributes

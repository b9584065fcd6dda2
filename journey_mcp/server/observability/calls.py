"""What is recorded of a tool call: model, provider, task, cost and outcome, read from its result."""

from typing import Any

import mcp_types as types

from journey_mcp.core.telemetry import COMPLETED, Operation


def describe(operation: Operation, result: object) -> None:
    """Add to a call what its result says.

    The outcome is the code of an error; `completed`; the status of a task, such as `running`; or `input_required`.
    """
    match result:
        case types.CallToolResult(structured_content=dict(plain), is_error=is_error):
            _describe_tasks(operation, plain, is_error=bool(is_error))
        case {"structuredContent": dict(plain), **more}:
            _describe_tasks(operation, plain, is_error=bool(more.get("isError")))
        case types.CallToolResult(is_error=True):
            operation.set(outcome="error")
        case types.InputRequiredResult():
            operation.set(outcome="input_required")
        case {"taskId": str(task_id), "status": str(status)}:
            operation.set(task_id=task_id, outcome=status)
        case _:
            pass


def _describe_tasks(operation: Operation, plain: dict[str, Any], *, is_error: bool) -> None:
    """Read the object of one task; of several tasks only the outcome is recorded."""
    tasks = plain.get("tasks", [plain])
    if len(tasks) != 1:
        operation.set(outcome="error" if is_error else COMPLETED)
        return
    (task,) = tasks
    cost = task.get("cost") or {}
    failure = task.get("error") or {}
    operation.set(
        model=task.get("model"),
        provider=task.get("provider"),
        task_id=task.get("task_id"),
        cost=cost.get("amount"),
        unit=cost.get("unit"),
        outcome=failure.get("code") or ("error" if is_error else task.get("status", COMPLETED)),
    )

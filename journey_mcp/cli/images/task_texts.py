"""Objects of tasks with their texts phrased for the command line. It imports nothing that a list does not need."""

from typing import Any

from journey_mcp.cli import phrasing
from journey_mcp.core.predictions import Status
from journey_mcp.core.redaction import redactor_of
from journey_mcp.core.tasks import SANDBOX, Task


def for_people(plain: dict[str, Any], task: Task | None) -> dict[str, Any]:
    """Return a task's object with its texts phrased for the command line."""
    shown = {**plain, "next_step": _next_step(task, plain)}
    if "notices" in plain:
        shown["notices"] = [phrasing.with_flags(notice) for notice in plain["notices"]]
    return shown


def _next_step(task: Task | None, plain: dict[str, Any]) -> str:
    if task is None:
        return "`journey-mcp tasks` lists the newest."
    if task.provider == SANDBOX:
        return "`journey-mcp sandbox --port 8787` keeps a sandbox running between commands."
    if not task.status.is_final:
        return f"`journey-mcp fetch {task.id}` waits for it. Repeating the same command joins it."
    usable = [image["id"] for image in plain.get("images", ()) if "url" in image or "path" in image]
    if task.status is Status.SUCCEEDED and usable:
        return f'`journey-mcp edit {usable[:2][-1]} "…"` edits an image.'
    if task.failure:
        return redactor_of(*filter(None, [task.callback_secret])).text(phrasing.next_step(task.failure))
    return phrasing.with_options(plain.get("next_step", ""))

"""The extension `io.modelcontextprotocol/tasks` of revision 2026-07-28: a call may return a task.

The wire format, the required capability, and the methods `tasks/get`, `tasks/update` and `tasks/cancel`. A
`TaskSource` knows what a task is, and stores it. The SDK (2.3) does not implement the extension.

https://github.com/modelcontextprotocol/ext-tasks/blob/main/specification/2026-07-28/tasks.md
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import mcp_types as types
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from journey_mcp.core.errors import JourneyError, UnknownTask
from journey_mcp.core.reports import report

if TYPE_CHECKING:
    from mcp.server.context import HandlerResult

EXTENSION = "io.modelcontextprotocol/tasks"

Context = ServerRequestContext[Any, Any]
Plain = dict[str, Any]

_OUTCOMES = {"completed": "result", "failed": "error", "input_required": "inputRequests"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskView:
    """A task at one moment, in the extension's terms."""

    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    """The last three are final. `failed` is for protocol errors; a failed tool call has `completed`."""
    created_at: float
    """Seconds of the Unix epoch."""
    updated_at: float
    ttl_ms: int | None
    """How long after its creation the task may be deleted; `None` for never."""
    poll_interval_ms: int
    message: str | None = None
    """The status, for people."""
    outcome: Plain | None = None
    """As JSON: the result of a completed call, the error of a failed one, or the open requests for input."""


class TaskSource(Protocol):
    """The tasks of one principal. Each method raises `UnknownTask` for ids that are not, or no longer, among them."""

    async def get(self, task_id: str) -> TaskView:
        """Return the task as it is now."""
        ...

    async def update(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Take responses to the task's requests for input; ignore others."""
        ...

    async def cancel(self, task_id: str) -> None:
        """Cancel the task if that is possible; a final task does not change."""
        ...


SourceOpener = Callable[[Context], Awaitable[TaskSource]]
"""Returns the tasks that the sender of a request may access."""
_Handler = Callable[[TaskSource, str, Mapping[str, Any]], Awaitable[Plain]]


def install(server: Server[Any], open_source: SourceOpener) -> None:
    """Add the extension to a server. The SDK does not announce it to clients of older revisions."""
    server.extensions[EXTENSION] = {}
    for method, handler in {"tasks/get": _get, "tasks/update": _update, "tasks/cancel": _cancel}.items():
        server.add_request_handler(method, types.RequestParams, _handler(open_source, handler))


def is_declared(ctx: Context) -> bool:
    """Return whether the client declares in this very request that it supports tasks."""
    capabilities = ctx.session.client_capabilities
    extensions = (capabilities and capabilities.extensions) or {}
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and EXTENSION in extensions


def require_declared(ctx: Context) -> None:
    """Reject a request that needs the extension.

    Raises:
        MCPError: the client does not declare the extension; names the required capability.
    """
    if not is_declared(ctx):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"{ctx.method} needs the extension {EXTENSION} in this request's client capabilities.",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


def created(view: TaskView) -> Plain:
    """Return the result of a call that became a task; only for clients that declare the extension.

    `tasks/get` must already find the task.
    """
    return {"resultType": "task", **_task_object(view)}


async def _get(source: TaskSource, task_id: str, _params: Mapping[str, Any]) -> Plain:
    view = await source.get(task_id)
    outcome = _OUTCOMES.get(view.status)
    return {"resultType": "complete", **_task_object(view), **({outcome: view.outcome} if outcome else {})}


async def _update(source: TaskSource, task_id: str, params: Mapping[str, Any]) -> Plain:
    responses = params.get("inputResponses")
    if not isinstance(responses, Mapping):
        raise MCPError(types.INVALID_PARAMS, "tasks/update: inputResponses must be an object, with a response per key.")
    await source.update(task_id, responses)
    return {"resultType": "complete"}


async def _cancel(source: TaskSource, task_id: str, _params: Mapping[str, Any]) -> Plain:
    await source.cancel(task_id)
    return {"resultType": "complete"}


def _handler(open_source: SourceOpener, handler: _Handler) -> "Callable[[Context, Any], Awaitable[HandlerResult]]":
    async def handle(ctx: Context, _params: types.RequestParams) -> "HandlerResult":
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            # 2025-11-25 has methods of the same names with other rules
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
        require_declared(ctx)
        # not by a model of the SDK: the check of the capability comes before that of the parameters
        params = ctx.params or {}
        task_id = _task_id(ctx, params)
        try:
            return await handler(await open_source(ctx), task_id, params)
        except MCPError:
            raise
        except UnknownTask as error:
            # the same error for ids that never existed, belong to another principal, or were deleted
            raise MCPError(types.INVALID_PARAMS, f"There is no task {task_id[:80]!r}.") from error
        except Exception as error:
            raise _failure(ctx.method, task_id, error) from error

    return handle


def _task_id(ctx: Context, params: Mapping[str, Any]) -> str:
    task_id = params.get("taskId")
    if not isinstance(task_id, str):
        raise MCPError(types.INVALID_PARAMS, f"{ctx.method}: taskId must be the id of a task.")
    # over HTTP a header repeats the id, for routing; other transports have no request
    if ctx.request is not None and decode_header_value(ctx.request.headers.get(MCP_NAME_HEADER)) != task_id:
        raise MCPError(
            types.HEADER_MISMATCH, f"{ctx.method}: the header {MCP_NAME_HEADER} must be present and equal to taskId."
        )
    return task_id


def _failure(method: str, task_id: str, error: Exception) -> MCPError:
    """Return an error that is about the request only: it must not suggest that the task does not exist."""
    report_id = report(f"{method} of {task_id[:80]!r} failed", error)
    cause = f" {error}" if isinstance(error, JourneyError) else ""
    return MCPError(
        types.INTERNAL_ERROR, f"{method} failed; the task is unchanged, try again later; report id {report_id}.{cause}"
    )


def _task_object(view: TaskView) -> Plain:
    plain: Plain = {
        "taskId": view.task_id,
        "status": view.status,
        "createdAt": _timestamp(view.created_at),
        "lastUpdatedAt": _timestamp(view.updated_at),
        "ttlMs": view.ttl_ms,
        "pollIntervalMs": view.poll_interval_ms,
    }
    return plain if view.message is None else {**plain, "statusMessage": view.message}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

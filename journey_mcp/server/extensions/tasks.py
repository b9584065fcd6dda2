"""The extension `io.modelcontextprotocol/tasks` of revision 2026-07-28: a call may be answered with a task.

What goes over the wire, who may ask, and the methods `tasks/get`, `tasks/update` and `tasks/cancel`. What a task is,
and where it is kept, is the business of a `TaskSource`. The SDK (2.3) leaves the extension to others.

https://github.com/modelcontextprotocol/ext-tasks/blob/main/specification/2026-07-28/tasks.md
"""

import logging
import secrets
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

if TYPE_CHECKING:
    from mcp.server.context import HandlerResult

EXTENSION = "io.modelcontextprotocol/tasks"

Context = ServerRequestContext[Any, Any]
Plain = dict[str, Any]

_log = logging.getLogger(__name__)
_OUTCOMES = {"completed": "result", "failed": "error", "input_required": "inputRequests"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskView:
    """A task at one moment, in the extension's words."""

    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    """The last three are final. `failed` is for errors of the protocol; a tool that failed has `completed`."""
    created_at: float
    """Seconds of the Unix epoch."""
    updated_at: float
    ttl_ms: int | None
    """How long after its creation it may be deleted; `None` for never."""
    poll_interval_ms: int
    message: str | None = None
    """Where it stands, for people."""
    outcome: Plain | None = None
    """As JSON: the result of the call when completed, the error when failed, the open requests for input."""


class TaskSource(Protocol):
    """The tasks of one principal. Each method raises `UnknownTask` for what is not, or no longer, one of them."""

    async def get(self, task_id: str) -> TaskView:
        """Where it stands."""
        ...

    async def update(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Take answers to its requests for input; those to nothing that is asked are ignored."""
        ...

    async def cancel(self, task_id: str) -> None:
        """End it where that can be done; nothing happens to a final one."""
        ...


SourceOpener = Callable[[Context], Awaitable[TaskSource]]
"""Finds the tasks that whoever sent a request may see."""
_Act = Callable[[TaskSource, str, Mapping[str, Any]], Awaitable[Plain]]


def install(server: Server[Any], open_source: SourceOpener) -> None:
    """Offer the extension. The SDK drops the offer from what older revisions are told."""
    server.extensions[EXTENSION] = {}
    for method, act in {"tasks/get": _get, "tasks/update": _update, "tasks/cancel": _cancel}.items():
        server.add_request_handler(method, types.RequestParams, _handler(open_source, act))


def is_declared(ctx: Context) -> bool:
    """Whether the client said in this very request that it takes tasks."""
    capabilities = ctx.session.client_capabilities
    extensions = (capabilities and capabilities.extensions) or {}
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and EXTENSION in extensions


def require_declared(ctx: Context) -> None:
    """Refuse what cannot be answered without a task.

    Raises:
        MCPError: names the capability that the client has to declare.
    """
    if not is_declared(ctx):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"{ctx.method} needs the extension {EXTENSION} in this request's client capabilities.",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


def created(view: TaskView) -> Plain:
    """The answer to a call that became a task: only for who declared the extension, and once `tasks/get` finds it."""
    return {"resultType": "task", **_told(view)}


async def _get(source: TaskSource, task_id: str, _given: Mapping[str, Any]) -> Plain:
    view = await source.get(task_id)
    outcome = _OUTCOMES.get(view.status)
    return {"resultType": "complete", **_told(view), **({outcome: view.outcome} if outcome else {})}


async def _update(source: TaskSource, task_id: str, given: Mapping[str, Any]) -> Plain:
    responses = given.get("inputResponses")
    if not isinstance(responses, Mapping):
        raise MCPError(types.INVALID_PARAMS, "tasks/update: inputResponses must be an object, with a response per key.")
    await source.update(task_id, responses)
    return {"resultType": "complete"}


async def _cancel(source: TaskSource, task_id: str, _given: Mapping[str, Any]) -> Plain:
    await source.cancel(task_id)
    return {"resultType": "complete"}


def _handler(open_source: SourceOpener, act: _Act) -> "Callable[[Context, Any], Awaitable[HandlerResult]]":
    async def handle(ctx: Context, _params: types.RequestParams) -> "HandlerResult":
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            # 2025-11-25 has methods of the same names with other rules
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
        require_declared(ctx)
        # read here, not by a model of the SDK: who may not ask hears that first, whatever the parameters
        given = ctx.params or {}
        task_id = _task_id(ctx, given)
        try:
            return await act(await open_source(ctx), task_id, given)
        except MCPError:
            raise
        except UnknownTask as error:
            # the same for ids that never were, that are somebody else's, and that were deleted
            raise MCPError(types.INVALID_PARAMS, f"There is no task {task_id[:80]!r}.") from error
        except Exception as error:
            raise _failure(ctx.method, task_id, error) from error

    return handle


def _task_id(ctx: Context, given: Mapping[str, Any]) -> str:
    task_id = given.get("taskId")
    if not isinstance(task_id, str):
        raise MCPError(types.INVALID_PARAMS, f"{ctx.method}: taskId must be the id of a task.")
    # over HTTP the header repeats the id, for those who route by it; other transports have no request
    if ctx.request is not None and decode_header_value(ctx.request.headers.get(MCP_NAME_HEADER)) != task_id:
        raise MCPError(
            types.HEADER_MISMATCH, f"{ctx.method}: the header {MCP_NAME_HEADER} must be there and equal to taskId."
        )
    return task_id


def _failure(method: str, task_id: str, error: Exception) -> MCPError:
    """What went wrong while looking says nothing about the task: it must not sound as if there were none."""
    report_id = secrets.token_hex(4)
    _log.error("%s of %r failed (report %s)", method, task_id[:80], report_id, exc_info=error)
    cause = f" {error}" if isinstance(error, JourneyError) else ""
    return MCPError(
        types.INTERNAL_ERROR, f"{method} failed; the task is as it was, ask again later; report id {report_id}.{cause}"
    )


def _told(view: TaskView) -> Plain:
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

"""Results of `fetch_task` for a finished task: the same call gets the same result, as long as the task is in memory.

Rendering, checking and redacting a result costs more than everything else that the server adds to the SDK.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from journey_mcp.auth.identity import Identity
from journey_mcp.core import telemetry
from journey_mcp.core.principals import Principal
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.server.auth.identity import identity_of
from journey_mcp.server.auth.scopes import CALL

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import CallNext, HandlerResult

_TOOL: Final = "fetch_task"
_MOST = 1_000
_LONGEST_CALL = 2_000
"""In characters of its parameters."""
_NEW_IN_EACH_CALL = {"progressToken", "traceparent", "tracestate", "baggage"}
"""Members of `_meta` that do not change the result."""

_lasts_with: ContextVar[Task | None] = ContextVar("lasts_with", default=None)


def lasts_with(task: Task) -> None:
    """Note that the result of the current call depends on nothing but the call and this task.

    Unless time or files can change it: links expire, sandboxes end.
    """
    is_fixed = task.status.is_final and task.provider != SANDBOX
    if is_fixed and all(image.expires_at is None and image.path is None for image in task.images):
        _lasts_with.set(task)


Find = Callable[[str, Principal], Task | None]
"""Returns the principal's task of this id if it has ended and is in memory; at once."""


class _Call(NamedTuple):
    """All that a result depends on, besides the task."""

    identity: Identity
    revision: str
    parameters: str


class _Kept(NamedTuple):
    task: Task
    result: "HandlerResult"
    attributes: dict[str, telemetry.Value]
    """What is recorded of the call."""


class FinishedResults:
    """Middleware of the MCP server, outside all other of ours: it keeps the results of the last thousand calls.

    A result is returned as long as `find` returns this very task. A task that is read again is another object, and one
    that is deleted leaves the memory. What a client supports is part of each call, or the server has this client only,
    or it is unknown.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._kept: OrderedDict[_Call, _Kept] = OrderedDict()

    async def __call__(self, ctx: "ServerRequestContext[Any, Any]", call_next: "CallNext") -> "HandlerResult":
        """Return the result that is kept for this call, or the one of the handler."""
        is_call = ctx.method == CALL and ctx.params
        call = _call_of(identity_of(ctx), ctx.protocol_version, ctx.params or {}) if is_call else None
        if call is None:
            return await call_next(ctx)
        if kept := self._kept_for(call):
            with telemetry.measure("call", tool=_TOOL, caller=call.identity.name) as operation:
                operation.set(**kept.attributes)
            return kept.result
        _lasts_with.set(None)
        result = await call_next(ctx)
        if (task := _lasts_with.get()) is not None:
            self._keep(call, task, result)
        return result

    def has(self, identity: Identity, revision: str, parameters: Mapping[str, Any]) -> bool:
        """Return whether a tool call with these parameters gets a kept result, at once and without progress."""
        call = _call_of(identity, revision, parameters)
        return call is not None and self._kept_for(call) is not None

    def _kept_for(self, call: _Call) -> _Kept | None:
        kept = self._kept.get(call)
        return kept if kept and self._find(kept.task.id, kept.task.principal) is kept.task else None

    def _keep(self, call: _Call, task: Task, result: "HandlerResult") -> None:
        from journey_mcp.server.observability.calls import describe  # noqa: PLC0415  # not before the first answer

        operation = telemetry.Operation("call", {})
        describe(operation, result)
        self._kept[call] = _Kept(task, result, operation.attributes)
        self._kept.move_to_end(call)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)


def _call_of(identity: Identity, revision: str, parameters: Mapping[str, Any]) -> _Call | None:
    """Return a call of `fetch_task` that is not too long to compare, and has no keys, which must not stay in memory."""
    if parameters.get("name") != _TOOL or identity.keys:
        return None
    compared = dict(parameters)
    if isinstance(meta := compared.get("_meta"), dict):
        compared["_meta"] = {name: value for name, value in meta.items() if name not in _NEW_IN_EACH_CALL}
    text = json.dumps(compared)
    return _Call(identity, revision, text) if len(text) <= _LONGEST_CALL else None

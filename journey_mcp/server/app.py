"""The MCP server: instructions, handlers and middleware. The first response needs nothing of the studio."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server import CacheHint, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from journey_mcp import __version__
from journey_mcp.core import telemetry
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.redaction import redactor_of
from journey_mcp.server import features
from journey_mcp.server.auth import scopes
from journey_mcp.server.auth.identity import identity_of
from journey_mcp.server.auth.scopes import missing_scope
from journey_mcp.server.extensions import apps
from journey_mcp.server.extensions import tasks as tasks_extension
from journey_mcp.server.features.subscriptions import LISTEN
from journey_mcp.server.identity import TITLE, WEBSITE_URL, icon
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.observability.sdk_spans import if_exported
from journey_mcp.server.tool_sets import tool_set_of

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerMiddleware
    from mcp_types.methods import CacheableMethod

    from journey_mcp.tools.tool_set import ToolSet

ToolResult = types.CallToolResult | types.InputRequiredResult | dict[str, Any]
"""A plain object is the result of an extension: a task."""
_TTL_MS = 300_000
_UNCHANGING: "tuple[CacheableMethod, ...]" = (
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/templates/list",
)
"""Methods whose results stay the same as long as the server runs."""
_OF_THE_CALLER = {"tools/list", "prompts/list"}
"""Those of them whose results name only what the caller may use."""

INSTRUCTIONS = (
    # settings and providers may leave out each of the tools that make images: it names none of them
    "Calls that make or change images cost money. They wait a while, then return the finished image URLs or a task "
    "that is still running. For a running task call fetch_task with its task_id. If a call timed out and you have no "
    "task_id, call fetch_task without ids, or repeat the identical call: it joins the running task and is not charged "
    "again. An image has an id such as tsk_….2: pass it as image instead of copying its URL. Show the user the URLs "
    "and every notice."
)


def make_server(lifespan: Lifespan, *, is_eager: bool = False, has_answered: bool = False) -> Server[Lifespan]:
    """Make the server, which opens the studio after its first response, or at once.

    `is_eager`: open it at once, and try again until it is open. `has_answered`: the client already has its first
    response.
    """

    @asynccontextmanager
    async def run_lifespan(_server: Server[Lifespan]) -> AsyncIterator[Lifespan]:
        async with anyio.create_task_group() as group:
            group.start_soon(lifespan.run)
            group.start_soon(subscriptions.run)
            if is_eager:
                group.start_soon(lifespan.keep_opening)
            elif has_answered:
                lifespan.request_open()
            else:
                server.middleware.append(_after_first_response(lambda: group.start_soon(lifespan.warm_up)))
            try:
                yield lifespan
            finally:
                subscriptions.close()
                lifespan.close()

    server = Server(
        "journey-mcp",
        version=__version__,
        title=TITLE,
        instructions=INSTRUCTIONS,
        website_url=WEBSITE_URL,
        icons=[icon()],
        lifespan=run_lifespan,
        cache_hints=_cache_hints(lifespan),
        # no argument is repeated in a header, so there is nothing to compare, and the schema need not be searched
        get_tool_input_schema=lambda _name: None,
        on_list_tools=_list_tools,
    )
    server.middleware[:] = map(if_exported, server.middleware)  # the SDK's own makes spans
    server.middleware.append(lifespan.finished_results)
    # not `on_call_tool`: it takes only the SDK's result types, and a task is not one of them
    server.add_request_handler("tools/call", types.CallToolRequestParams, _call_tool)
    server.add_notification_handler("notifications/roots/list_changed", types.NotificationParams, _forget_roots)
    tasks_extension.install(server, _open_tasks)
    apps.install(server)
    subscriptions = features.install(server, is_stateful=lifespan.is_local)
    lifespan.on_drain(subscriptions.close)
    server.middleware.append(_redact_results(lifespan.secrets))
    if lifespan.confirms:
        # proves that the state which a client returns with an answer is ours, recent, and of this very call;
        # only with confirmation, because the cipher takes time and memory
        keys = lifespan.confirmation_keys or [secrets.token_bytes(32)]
        security = RequestStateSecurity(keys=keys, bind_principal=lambda ctx: identity_of(ctx).principal)
        server.middleware.append(RequestStateBoundary(security, default_audience=server.name))
    server.middleware.append(_check_scope)
    server.middleware.append(_track_calls(lifespan))
    return server


def _cache_hints(lifespan: Lifespan) -> "dict[CacheableMethod, CacheHint]":
    private = _OF_THE_CALLER if lifespan.has_partial_tool_sets else ()
    return {
        method: CacheHint(ttl_ms=_TTL_MS, scope="private" if method in private else "public") for method in _UNCHANGING
    }


def _redact_results(secrets_of_server: Sequence[str]) -> "ServerMiddleware[Lifespan]":
    """Return middleware that redacts secrets in results about tasks. It runs last, after all other changes."""
    ours = redactor_of(*secrets_of_server)

    async def middleware(ctx: ServerRequestContext[Any, Any], call_next: "CallNext") -> "HandlerResult":
        if not ctx.method.startswith(("tools/call", "tasks/", "resources/")):
            return await call_next(ctx)
        keys = identity_of(ctx).keys
        redactor = redactor_of(*secrets_of_server, *keys.by_provider.values()) if keys else ours
        try:
            result = await call_next(ctx)
        except MCPError as error:
            raise MCPError(error.code, redactor.text(error.message), redactor.plain(error.data)) from error
        return redactor.plain(result)  # type: ignore[no-any-return]  # on the wire a result is plain data

    return middleware


async def _check_scope(ctx: ServerRequestContext[Any, Any], call_next: "CallNext") -> "HandlerResult":
    """Reject requests that need a scope which their sender lacks; a tool call becomes a tool error instead."""
    if ctx.method != scopes.CALL and (
        missing := missing_scope(identity_of(ctx), ctx.method, (ctx.params or {}).get("uri"))
    ):
        error = scopes.error(missing)
        raise MCPError(types.INVALID_REQUEST, f"{error} {error.failure.next_step}")
    return await call_next(ctx)


def _track_calls(lifespan: Lifespan) -> "ServerMiddleware[Lifespan]":
    """Return middleware that counts requests without a response. Streams of events, which have no end, do not count."""

    async def middleware(ctx: ServerRequestContext[Any, Any], call_next: "CallNext") -> "HandlerResult":
        if ctx.method == LISTEN:
            return await call_next(ctx)
        with lifespan.track_call():
            return await call_next(ctx)

    return middleware


def _after_first_response(act: Callable[[], object]) -> "ServerMiddleware[Lifespan]":
    """Return middleware that calls `act` once, after the first request has its result."""
    is_first = True

    async def middleware(ctx: ServerRequestContext[Any, Any], call_next: "CallNext") -> "HandlerResult":
        nonlocal is_first
        try:
            return await call_next(ctx)
        finally:
            if is_first:
                is_first = False
                act()

    return middleware


async def _list_tools(
    ctx: ServerRequestContext[Lifespan, Any], _params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    return types.ListToolsResult.model_validate({"tools": tool_set_of(ctx).tools})


async def _call_tool(ctx: ServerRequestContext[Lifespan, Any], params: types.CallToolRequestParams) -> ToolResult:
    tool_set = tool_set_of(ctx)
    if params.name not in tool_set.names:
        names = ", ".join(tool_set.names)
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:80]}. Tools: {names}")
    with telemetry.measure("call", tool=params.name, caller=identity_of(ctx).name) as operation:
        result = await _tool_result(ctx, params, tool_set)
        from journey_mcp.server.observability.calls import describe  # noqa: PLC0415  # not before the first answer

        describe(operation, result)
        return result


async def _tool_result(
    ctx: ServerRequestContext[Lifespan, Any], params: types.CallToolRequestParams, tool_set: "ToolSet"
) -> ToolResult:
    lifespan = ctx.lifespan_context
    try:
        if missing := missing_scope(identity_of(ctx), ctx.method, params.name):
            raise scopes.error(missing)
        studio = await lifespan.studio()
    except JourneyError as error:
        from journey_mcp.server.handlers import error_result  # noqa: PLC0415  # not before the first answer

        return error_result(params.name, error, for_person=apps.is_wanted(params))
    from journey_mcp.server.handlers import call  # noqa: PLC0415  # not before the first answer

    return await call(params, studio, tool_set, ctx)


async def _forget_roots(ctx: ServerRequestContext[Lifespan, Any], _params: types.NotificationParams) -> None:
    if client_roots := ctx.lifespan_context.client_roots:
        client_roots.forget()


async def _open_tasks(ctx: ServerRequestContext[Lifespan, Any]) -> tasks_extension.TaskSource:
    tool_set = tool_set_of(ctx)
    studio = await ctx.lifespan_context.studio()
    from journey_mcp.server.extensions.task_views import StudioTasks  # noqa: PLC0415  # not before the first answer
    from journey_mcp.server.preview_hosts import takes_previews  # noqa: PLC0415  # as above

    return StudioTasks(
        studio,
        tool_set.defaults,
        identity_of(ctx).principal,
        catalog=tool_set.catalog,
        takes_previews=takes_previews(ctx, studio.settings.preview),
        has_gallery=apps.is_declared(ctx),
    )

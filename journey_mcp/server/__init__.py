"""The MCP server. What a first answer does not need is imported and opened after it."""

import gc
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from anyio import to_thread
from mcp import MCPError
from mcp.server import CacheHint, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from journey_mcp import __version__
from journey_mcp.core.errors import InternalError, JourneyError
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.redaction import Redactor, redactor_of
from journey_mcp.net import certificates
from journey_mcp.server import open_files
from journey_mcp.server.extensions import tasks as tasks_extension
from journey_mcp.server.roots import ClientRoots
from journey_mcp.settings import Settings

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerMiddleware

    from journey_mcp.studio import Studio
    from journey_mcp.tools.tool_set import ToolSet

_log = logging.getLogger(__name__)

_GRACE_S = 0.02
"""Between the first answer and the warm-up: the answer goes out undisturbed."""
_ANSWERS_S = 1.0
"""How long calls may take to return once nothing is waited for."""
_BEGUN_S = 0.02
_WRITTEN_S = 0.1
_TRY_AGAIN_S = 5.0
_FRESH = CacheHint(ttl_ms=300_000, scope="public")

INSTRUCTIONS = (
    "imagine makes images and edit_image changes one; both cost money. They wait a while, then return the finished "
    "image URLs or a task that is still running. For a running task call fetch_task with its task_id. If a call timed "
    "out and you have no task_id, call fetch_task without ids, or repeat the very same call: it joins the running task "
    "and is not charged again. An image has an id such as tsk_….2: pass it to edit_image as image instead of copying "
    "its URL. Show people the URLs and every notice."
)

StudioOpener = Callable[[Settings], "AbstractAsyncContextManager[Studio]"]


class Lifespan:
    """Menu and studio: made when they are first needed, owned by the server's lifespan."""

    def __init__(self, settings: Settings, opener: StudioOpener | None, *, is_local: bool) -> None:
        self._settings = settings
        self._is_local = is_local
        self.client_roots = ClientRoots() if is_local else None
        """What the client told of its person's folders; `None` for clients elsewhere."""
        self._opener = opener
        self._tool_set: ToolSet | None = None
        self._studio: Studio | None = None
        self._failure: JourneyError | None = None
        self._wanted, self._opened, self._over = anyio.Event(), anyio.Event(), anyio.Event()
        self._calls, self._answered = 0, anyio.Event()
        self._is_ending = False

    @property
    def secrets(self) -> list[str]:
        """Everything that must never be seen."""
        return self._settings.secrets

    @property
    def asks(self) -> bool:
        """Whether a person may be asked about what a call costs."""
        return self._settings.confirm_above is not None

    def tool_set(self) -> "ToolSet":
        """The tools and defaults of this configuration."""
        if self._tool_set is None:
            from journey_mcp.tools.tool_set import read_tool_set  # noqa: PLC0415  # not before the first answer

            self._tool_set = read_tool_set(self._settings, takes_files=self._is_local)
        return self._tool_set

    async def studio(self) -> "Studio":
        """The studio, once it is open.

        Raises:
            JourneyError: it could not be opened; the next call tries again.
        """
        if self._studio is None:
            opened = self._opened
            self._wanted.set()
            await opened.wait()
        if self._studio is None:
            raise self._failure or InternalError("The server is ending.")
        return self._studio

    async def run(self) -> None:
        """Open the studio when it is wanted, and keep it open until `close`."""
        while not self._over.is_set():  # it may be over while an attempt to open fails
            await self._wanted.wait()
            if self._over.is_set():
                return
            open_files.allow_many()
            try:
                if self._settings.keys or self._settings.others:
                    certificates.read_ahead()
                self.tool_set()  # not while a thread imports: each would wait for the other
                imported = await to_thread.run_sync(_import_studio)
                async with (self._opener or imported)(self._settings) as self._studio:
                    # what the warm-up imported stays as well: the collector need never look at it
                    gc.freeze()
                    if self._is_ending:
                        self._studio.end()
                    self._opened.set()
                    await self._over.wait()
                    return
            except Exception as error:
                if self._studio is not None:
                    raise
                self._failure = _as_told(error)
            self._wanted, opened, self._opened = anyio.Event(), self._opened, anyio.Event()
            opened.set()

    def want(self) -> None:
        """Open the studio before anybody asks."""
        self._wanted.set()

    async def warm_up(self) -> None:
        """The same, right after the first answer."""
        await anyio.sleep(_GRACE_S)
        self.want()

    async def keep_opening(self) -> None:
        """Open the studio though nobody asks, again and again until it is open: it has more to do than answer calls."""
        while self._studio is None and not self._over.is_set():
            self._wanted.set()
            with anyio.move_on_after(_TRY_AGAIN_S):
                await self._over.wait()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Counts as a call that has no answer yet, while the block runs."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._answered.set()
                self._answered = anyio.Event()

    def end(self) -> None:
        """The process is told to end: calls that wait return how their tasks stand, and nothing more is sent."""
        self._is_ending = True
        if self._studio is not None:
            self._studio.end()

    async def answer_all(self) -> None:
        """When nothing more comes, or after `end`: until every call has its answer, at most for a moment."""
        with anyio.move_on_after(_ANSWERS_S):
            # what came last has perhaps not begun yet
            await anyio.sleep(_BEGUN_S)
            if self._calls:
                await self._answered.wait()
            # a result is written by others once its call has returned
            await anyio.sleep(_WRITTEN_S)

    def close(self) -> None:
        """Let `run` end."""
        self._over.set()
        self._wanted.set()


def _as_told(error: Exception) -> JourneyError:
    """What callers hear when the studio cannot be opened."""
    if isinstance(error, JourneyError):
        _log.warning("the studio cannot be opened: %s", error)
        return error
    report_id = secrets.token_hex(4)
    _log.error("the studio cannot be opened (report %s)", report_id, exc_info=error)
    return InternalError(f"journey-mcp cannot start its work; report id {report_id}.")


def make_server(
    settings: Settings, opener: StudioOpener | None = None, *, is_eager: bool = False, is_local: bool = True
) -> Server[Lifespan]:
    """The server for one configuration, which opens its studio after the first answer, or at once when eager.

    `opener` stands in for `open_studio`, for a clock of one's own. `is_local`: the client works on this machine, so
    that paths mean something to both.
    """
    return server_on(Lifespan(settings, opener, is_local=is_local), is_eager=is_eager)


def server_on(lifespan: Lifespan, *, is_eager: bool = False, has_answered: bool = False) -> Server[Lifespan]:
    """The server in front of a backstage, for one who has to tell it that the process ends.

    `has_answered`: the client has its first answer already, so that the studio may be opened.
    """

    @asynccontextmanager
    async def run_lifespan(_server: Server[Lifespan]) -> AsyncIterator[Lifespan]:
        async with anyio.create_task_group() as group:
            group.start_soon(lifespan.run)
            if is_eager:
                group.start_soon(lifespan.keep_opening)
            elif has_answered:
                lifespan.want()
            else:
                server.middleware.append(_after_first(lambda: group.start_soon(lifespan.warm_up)))
            try:
                yield lifespan
            finally:
                lifespan.close()

    server = Server(
        "journey-mcp",
        version=__version__,
        title="Journey",
        instructions=INSTRUCTIONS,
        lifespan=run_lifespan,
        cache_hints={"server/discover": _FRESH, "tools/list": _FRESH},
        get_tool_input_schema=lambda name: _input_schema(lifespan, name),
        on_list_tools=_list_tools,
    )
    # not on_call_tool, whose results are the SDK's own: a task is none of them
    server.add_request_handler("tools/call", types.CallToolRequestParams, _call_tool)
    server.add_notification_handler("notifications/roots/list_changed", types.NotificationParams, _forget_roots)
    tasks_extension.install(server, _open_tasks)
    server.middleware.append(_redacted(redactor_of(*lifespan.secrets)))
    if lifespan.asks:
        # what a client brings back with an answer is what it was given, for this very call, and not long ago;
        # only then, for the cipher takes its time and memory
        server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    server.middleware.append(_counted(lifespan))
    return server


def _redacted(redactor: Redactor) -> "ServerMiddleware[Lifespan]":
    """Middleware that hides secrets in whatever tells of tasks: the last to see it, when all cleaning is done."""

    async def middleware(ctx: ServerRequestContext[Any, Any], call_next: "CallNext") -> "HandlerResult":
        if not ctx.method.startswith(("tools/call", "tasks/")):
            return await call_next(ctx)
        try:
            result = await call_next(ctx)
        except MCPError as error:
            raise MCPError(error.code, redactor.text(error.message), redactor.plain(error.data)) from error
        return redactor.plain(result)  # type: ignore[no-any-return]  # on the wire a result is plain data

    return middleware


def _counted(lifespan: Lifespan) -> "ServerMiddleware[Lifespan]":
    """Middleware by which the backstage knows what has no answer yet."""

    async def middleware(ctx: ServerRequestContext[Any, Any], call_next: "CallNext") -> "HandlerResult":
        with lifespan.answering():
            return await call_next(ctx)

    return middleware


def _after_first(act: Callable[[], object]) -> "ServerMiddleware[Lifespan]":
    """Middleware that acts once, when the first request has its result."""
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


def _input_schema(lifespan: Lifespan, name: str) -> dict[str, Any] | None:
    return next((tool["inputSchema"] for tool in lifespan.tool_set().tools if tool["name"] == name), None)


async def _list_tools(
    ctx: ServerRequestContext[Lifespan, Any], _params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    return types.ListToolsResult.model_validate({"tools": ctx.lifespan_context.tool_set().tools})


async def _call_tool(
    ctx: ServerRequestContext[Lifespan, Any], params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult | dict[str, Any]:
    lifespan = ctx.lifespan_context
    tool_set = lifespan.tool_set()
    if params.name not in {tool["name"] for tool in tool_set.tools}:
        names = ", ".join(tool["name"] for tool in tool_set.tools)
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:80]}. There are: {names}")
    try:
        studio = await lifespan.studio()
    except JourneyError as error:
        from journey_mcp.server.handlers import failed  # noqa: PLC0415  # not before the first answer

        return failed(params.name, error)
    from journey_mcp.server.handlers import call  # noqa: PLC0415  # not before the first answer

    return await call(params, studio, tool_set.defaults, ctx)


async def _forget_roots(ctx: ServerRequestContext[Lifespan, Any], _params: types.NotificationParams) -> None:
    if client_roots := ctx.lifespan_context.client_roots:
        client_roots.forget()


async def _open_tasks(ctx: ServerRequestContext[Lifespan, Any]) -> tasks_extension.TaskSource:
    lifespan = ctx.lifespan_context
    studio = await lifespan.studio()
    from journey_mcp.server.extensions.task_views import StudioTasks  # noqa: PLC0415  # not before the first answer

    return StudioTasks(studio, lifespan.tool_set().defaults, LOCAL)


def _import_studio() -> StudioOpener:
    """The slow imports, in a thread: SQLAlchemy, the adapters, the tools' own modules."""
    import journey_mcp.server.handlers  # noqa: F401, PLC0415
    from journey_mcp.studio import open_studio  # noqa: PLC0415

    return open_studio


def check(settings: Settings) -> None:
    """Find what is wrong with settings that name models or providers before serving; costs nothing without any.

    Raises:
        SetupError: as `read_tool_set` and `accounts_of`.
    """
    names = (settings.registry, settings.default_model, settings.default_edit_model, settings.providers)
    if any((*names, settings.budget, settings.credit_price, settings.max_concurrent)):
        # not before the first answer
        from journey_mcp.providers.accounts import accounts_of  # noqa: PLC0415
        from journey_mcp.registry import load  # noqa: PLC0415
        from journey_mcp.tools.tool_set import read_tool_set  # noqa: PLC0415

        read_tool_set(settings)
        accounts_of(settings, load(settings.registry))

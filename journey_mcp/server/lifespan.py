"""The server's lifespan: the tool set and the studio, created on first use and kept until shutdown."""

import gc
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from journey_mcp.core.errors import InternalError, JourneyError
from journey_mcp.core.principals import Principal
from journey_mcp.core.reports import report
from journey_mcp.net import certificates
from journey_mcp.server import file_descriptors
from journey_mcp.server.finished_results import FinishedResults
from journey_mcp.server.observability.recording import recording
from journey_mcp.server.roots import ClientRoots
from journey_mcp.settings import Settings

if TYPE_CHECKING:
    from journey_mcp.core.tasks import Task
    from journey_mcp.server.observability.exporters import Exporters
    from journey_mcp.studio import Studio
    from journey_mcp.tools.tool_set import ToolSet

_log = logging.getLogger(__name__)

_WARM_UP_DELAY_S = 0.02
"""Between the first response and the warm-up, so that the warm-up does not slow the response."""
_CALLS_WITHIN_S = 1.0
"""How long calls may take to return once they no longer wait for their tasks."""
_STARTED_WITHIN_S = 0.02
_WRITTEN_WITHIN_S = 0.1
_RETRY_DELAY_S = 5.0

StudioOpener = Callable[[Settings], "AbstractAsyncContextManager[Studio]"]


class Lifespan:
    """The tool set and the studio of one configuration, which the server's lifespan owns.

    It has more methods than a class should have, since it is what the SDK gives to every handler: what handlers,
    middleware and transports may know of the configuration, they ask here.
    """

    def __init__(
        self,
        settings: Settings,
        opener: StudioOpener | None = None,
        *,
        is_local: bool,
        is_service: bool = False,
    ) -> None:
        """Prepare, without opening anything.

        `opener` replaces `open_studio`. `is_local`: the client runs on this machine, so both mean the same files by
        a path. `is_service`: the process has metrics.
        """
        self.settings = settings if is_local else settings.over_http()
        self.is_local = is_local
        """The client runs on this machine, over a connection of its own."""
        self.client_roots = ClientRoots() if is_local else None
        """The folders that the client declared; `None` for clients on other machines."""
        self.finished_results = FinishedResults(self._finished_task)
        self.exporters: Exporters | None = None
        """The metrics and traces of this process while the studio is open, if there are any."""
        self._is_service = is_service
        self._opener = opener
        self._tool_set: ToolSet | None = None
        self._partial_tool_sets: dict[tuple[frozenset[str], frozenset[str]], ToolSet] = {}
        """By the configured providers that a caller may use, and those at which it has keys of its own."""
        self._reading_tools = threading.Lock()
        self._studio: Studio | None = None
        self._failure: JourneyError | None = None
        self._open_requested, self._attempted, self._closed = anyio.Event(), anyio.Event(), anyio.Event()
        self._calls = 0
        self._all_answered: anyio.Event | None = None
        """Set when there is no call any more, while the shutdown waits for that."""
        self._is_draining = False
        self._on_drain: list[Callable[[], object]] = []

    @property
    def secrets(self) -> list[str]:
        """The values that must not appear in any output."""
        return self.settings.secrets

    @property
    def opened_studio(self) -> "Studio | None":
        """The studio, if it is open."""
        return self._studio

    @property
    def failure(self) -> JourneyError | None:
        """Why the studio could not be opened, if it could not; it may have been opened since."""
        return self._failure

    @property
    def is_draining(self) -> bool:
        """Whether the shutdown has begun."""
        return self._is_draining

    @property
    def endpoint_url(self) -> str | None:
        """The URL that clients over HTTP are given; `None` on stdio, or if it is not known."""
        return None if self.is_local else self.settings.endpoint_url

    @property
    def confirms(self) -> bool:
        """Whether calls above a cost need a person's confirmation."""
        return bool(self.settings.confirm_above)

    @property
    def confirmation_keys(self) -> list[bytes]:
        """The keys that seal questions about the cost, the first one new ones; none if each process has its own."""
        return self.settings.secret.keys("confirmations") if self.settings.secret else []

    @property
    def has_partial_tool_sets(self) -> bool:
        """Whether callers may see different tools: by the providers of a token, or by keys of their own."""
        return not self.is_local and (self.settings.tokens_file is not None or self.settings.may_have_caller_keys)

    def tool_set(self, providers: Collection[str] | None = None, own: Collection[str] = ()) -> "ToolSet":
        """Return the tools and defaults of this configuration, for a caller who may use these providers only.

        `own`: the providers at which the caller has keys.
        """
        with self._reading_tools:
            if self._tool_set is None:
                from journey_mcp.tools.tool_set import read_tool_set  # noqa: PLC0415  # not before the first answer

                self._tool_set = read_tool_set(self.settings, takes_files=self.is_local)
            if providers is None and not own:
                return self._tool_set
            if not own and not providers:
                # of a caller who should have keys: a call says which header is missing
                own = self._tool_set.registry.providers
            all_names = self._tool_set.catalog.providers.keys()
            usable = frozenset(all_names if providers is None else all_names & providers)
            part = (usable, frozenset(own))
            if part not in self._partial_tool_sets:
                whole = self._tool_set
                self._partial_tool_sets[part] = whole.with_own_keys(own, usable) if own else whole.only(usable)
            return self._partial_tool_sets[part]

    async def studio(self) -> "Studio":
        """Return the studio; wait until it is open.

        Raises:
            JourneyError: it could not be opened; the next call tries again.
        """
        if self._studio is None:
            attempted = self._attempted
            self._open_requested.set()
            await attempted.wait()
        if self._studio is None:
            raise self._failure or InternalError("The server is shutting down.")
        return self._studio

    async def run(self) -> None:
        """Open the studio when it is requested, and keep it open until `close`."""
        while not self._closed.is_set():  # `close` may be called while an attempt to open fails
            await self._open_requested.wait()
            if self._closed.is_set():
                return
            file_descriptors.raise_limit()
            try:
                if self.settings.keys or self.settings.others:
                    certificates.read_ahead()
                imported = await to_thread.run_sync(self._import_studio)
                recorded = recording(os.environ, is_service=self._is_service)
                async with recorded as self.exporters, (self._opener or imported)(self.settings) as self._studio:
                    # imported modules are never freed, so the garbage collector need not scan them
                    gc.freeze()
                    if self._is_draining:
                        self._studio.begin_shutdown()
                    self._attempted.set()
                    await self._closed.wait()
                    return
            except Exception as error:
                if self._studio is not None:
                    raise
                self._failure = _to_journey_error(error)
            self._open_requested, attempted, self._attempted = anyio.Event(), self._attempted, anyio.Event()
            attempted.set()

    def _import_studio(self) -> StudioOpener:
        """Do what takes long, in a thread: read the tools, import SQLAlchemy, the adapters, the tools' modules."""
        self.tool_set()  # a call that comes meanwhile waits for it instead of slowing the imports
        import journey_mcp.server.handlers  # noqa: F401, PLC0415
        from journey_mcp.studio import open_studio  # noqa: PLC0415

        return open_studio

    def request_open(self) -> None:
        """Open the studio before a call needs it."""
        self._open_requested.set()

    async def warm_up(self) -> None:
        """Open the studio right after the first response."""
        await anyio.sleep(_WARM_UP_DELAY_S)
        self.request_open()

    async def keep_opening(self) -> None:
        """Open the studio without a call, and retry until it is open: it also has work besides calls."""
        while self._studio is None and not self._closed.is_set():
            self._open_requested.set()
            with anyio.move_on_after(_RETRY_DELAY_S):
                await self._closed.wait()

    @contextmanager
    def track_call(self) -> Iterator[None]:
        """Count a call as unanswered while the block runs."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls and self._all_answered:
                self._all_answered.set()

    def on_drain(self, listener: Callable[[], object]) -> None:
        """Call it when the shutdown begins."""
        self._on_drain.append(listener)

    def drain(self) -> None:
        """Begin the shutdown: waiting calls return the current status of their tasks, and nothing more is sent."""
        self._is_draining = True
        for listener in self._on_drain:
            listener()
        if self._studio is not None:
            self._studio.begin_shutdown()

    async def wait_for_calls(self) -> bool:
        """Wait until every call has its response, about a second at most; after `drain` or the end of the input.

        Return whether there was a call.
        """
        had_calls = False
        with anyio.move_on_after(_CALLS_WITHIN_S):
            # the last message may not have reached its handler yet
            await anyio.sleep(_STARTED_WITHIN_S)
            had_calls = bool(self._calls)
            if had_calls:
                self._all_answered = anyio.Event()
                await self._all_answered.wait()
            # a result is written by another task after its call has returned
            await anyio.sleep(_WRITTEN_WITHIN_S)
        return had_calls

    def _finished_task(self, task_id: str, principal: Principal) -> "Task | None":
        return self._studio.finished(task_id, principal) if self._studio else None

    def close(self) -> None:
        """Let `run` return."""
        self._closed.set()
        self._open_requested.set()


def _to_journey_error(error: Exception) -> JourneyError:
    """Return the error that callers get when the studio cannot be opened."""
    if isinstance(error, JourneyError):
        _log.warning("the studio cannot be opened: %s", error)
        return error
    return InternalError(f"journey-mcp cannot start; report id {report('the studio cannot be opened', error)}.")

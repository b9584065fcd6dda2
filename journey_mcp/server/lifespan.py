"""The server's lifespan: the tool set and the studio, made when they are first needed and kept until the end."""

import gc
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from journey_mcp.core.errors import InternalError, JourneyError
from journey_mcp.net import certificates
from journey_mcp.server import file_descriptors
from journey_mcp.server.roots import ClientRoots
from journey_mcp.settings import Settings

if TYPE_CHECKING:
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

StudioOpener = Callable[[Settings], "AbstractAsyncContextManager[Studio]"]


class Lifespan:
    """Menu and studio: made when they are first needed, owned by the server's lifespan."""

    def __init__(self, settings: Settings, opener: StudioOpener | None = None, *, is_local: bool) -> None:
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
            file_descriptors.allow_many()
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


def _import_studio() -> StudioOpener:
    """The slow imports, in a thread: SQLAlchemy, the adapters, the tools' own modules."""
    import journey_mcp.server.handlers  # noqa: F401, PLC0415
    from journey_mcp.studio import open_studio  # noqa: PLC0415

    return open_studio

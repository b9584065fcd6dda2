"""Subscriptions: clients learn that a task has ended, and that there are more images to list.

In revision 2026-07-28 a client opens a stream of events (`subscriptions/listen`). Up to 2025-11-25 it subscribes to
single resources, and notifications reach it outside of any request, which only a connection that stays can carry.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import ListenHandler
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent

from journey_mcp.core.errors import StoreUnavailable
from journey_mcp.core.images import ImageId
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.tasks import Task
from journey_mcp.server.features import uris

if TYPE_CHECKING:
    from journey_mcp.studio import Studio

LISTEN = "subscriptions/listen"
_MOST_STREAMS = 64
"""Of a principal. Each keeps a connection, and a port has a few hundred."""
_MOST_URIS = 1_000
_LONGEST_URI = 400
_MOST_EVENTS = 1_024
_LOOK_EVERY_S = 5.0
_COMMITTED_WITHIN_S = 5.0
"""How long after its end another process has stored a task: a look goes back so far."""

_log = logging.getLogger(__name__)


class Subscriptions:
    """The subscriptions to this process, each to the tasks of its principal.

    Tasks that end in this process cause events at once. While there are subscriptions, the store is read every few
    seconds for those that end in other processes. Streams are of any principal; clients of revisions up to 2025-11-25
    subscribe on this machine only.
    """

    def __init__(self) -> None:
        self._streams: dict[Principal, _Streams] = {}
        self._subscribed: dict[str, ServerSession] = {}
        self._listing: ServerSession | None = None
        self._pending: deque[ServerEvent] = deque(maxlen=_MOST_EVENTS)
        self._woken, self._needed, self._closed = anyio.Event(), anyio.Event(), anyio.Event()
        self._studio: Studio | None = None
        self._published: deque[str] = deque(maxlen=_MOST_EVENTS)
        """Tasks whose end was published."""

    async def run(self) -> None:
        """Send notifications to clients of revisions up to 2025-11-25, and look for ended tasks, until `close`."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            await self._send()

    def open(self, studio: "Studio") -> None:
        """Begin to publish the ends of the studio's tasks."""
        if self._studio is None:
            self._studio = studio
            studio.listen(self.on_task_changed)
        self._needed.set()

    async def _send(self) -> None:
        while not self._closed.is_set():
            await self._woken.wait()
            self._woken = anyio.Event()
            while self._pending:
                await self._notify(self._pending.popleft())

    def close(self) -> None:
        """End all streams of events, each with its result, and `run`."""
        for streams in self._streams.values():
            streams.handler.close()
        self._closed.set()
        self._needed.set()
        self._woken.set()

    def on_task_changed(self, task: Task) -> None:
        """Publish the end of a task to the clients of its principal."""
        if not task.status.is_final or task.id in self._published:
            return
        self._published.append(task.id)
        streams = self._streams.get(task.principal)
        for event in _events(task):
            if streams is not None:
                streams.bus.send(event)
            if task.principal == LOCAL:
                self._enqueue(event)

    async def listen(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: types.SubscriptionsListenRequestParams,
        principal: Principal,
    ) -> types.SubscriptionsListenResult:
        """Serve a stream of the principal's events until the client closes it, or the server ends.

        Raises:
            MCPError: too many resources are named, or there are too many streams.
        """
        wanted = params.notifications.resource_subscriptions or ()
        if len(wanted) > _MOST_URIS or any(len(uri) > _LONGEST_URI for uri in wanted):
            raise _too_many()
        streams = self._streams.setdefault(principal, _Streams())
        try:
            return await streams.handler(ctx, params)
        finally:
            if not streams.bus.has_listeners:
                self._streams.pop(principal, None)

    def subscribe(self, session: ServerSession, uri: str) -> None:
        """Notify the client of changes of a resource.

        Raises:
            MCPError: no resource can have this URI, or there are too many.
        """
        if uris.parse(uri) is None:
            raise MCPError(types.INVALID_PARAMS, f"Resource not found: {uri[:300]}", {"uri": uri})
        if len(self._subscribed) >= _MOST_URIS and uri not in self._subscribed:
            raise _too_many()
        self._subscribed[uri] = session

    def unsubscribe(self, uri: str) -> None:
        """Stop notifying the client of changes of a resource."""
        self._subscribed.pop(uri, None)

    def notify_of_lists(self, session: ServerSession) -> None:
        """Notify a client that has listed the resources when there are more."""
        self._listing = session

    def _enqueue(self, event: ServerEvent) -> None:
        if self._subscribed or self._listing:
            self._pending.append(event)  # the oldest one is dropped if the client does not read
            self._woken.set()

    async def _watch(self) -> None:
        """Publish the ends of tasks in other processes, while there are subscriptions."""
        while not self._closed.is_set():
            await self._needed.wait()
            self._needed = anyio.Event()
            if self._studio is not None:
                await self._watch_store(self._studio)

    async def _watch_store(self, studio: "Studio") -> None:
        began = looked_at = studio.now()
        while not self._closed.is_set():
            with anyio.move_on_after(_LOOK_EVERY_S):
                await self._closed.wait()
            if not (principals := self._principals()):
                return
            since, now = max(began, looked_at - _COMMITTED_WITHIN_S), studio.now()
            try:
                ended = [task for one in principals for task in await studio.ended(one, since=since)]
            except StoreUnavailable:
                _log.exception("the ends of other processes' tasks cannot be read yet")
                continue
            looked_at = now
            for task in ended:
                self.on_task_changed(task)

    def _principals(self) -> set[Principal]:
        """Return those with subscriptions."""
        return {*self._streams, *([LOCAL] if self._subscribed or self._listing else [])}

    async def _notify(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and (session := self._subscribed.get(event.uri)):
            await session.send_resource_updated(event.uri)
        elif isinstance(event, ResourcesListChanged) and self._listing is not None:
            await self._listing.send_resource_list_changed()


class _Bus:
    """Delivery of events within this process; a `SubscriptionBus` of the SDK."""

    def __init__(self) -> None:
        self._listeners: dict[object, Callable[[ServerEvent], None]] = {}

    async def publish(self, event: ServerEvent) -> None:
        """Deliver an event."""
        self.send(event)

    def send(self, event: ServerEvent) -> None:
        """Deliver an event; listeners neither block nor raise."""
        for listener in list(self._listeners.values()):
            listener(event)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is subscribed."""
        return bool(self._listeners)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Add a listener; return what removes it."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None


class _Streams:
    """The streams of events of one principal."""

    def __init__(self) -> None:
        self.bus = _Bus()
        self.handler = ListenHandler(self.bus, max_subscriptions=_MOST_STREAMS)


def _too_many() -> MCPError:
    return MCPError(
        types.INVALID_PARAMS,
        f"At most {_MOST_URIS:,} resources can be subscribed to at once, with URIs of at most {_LONGEST_URI} "
        "characters.",
    )


def _events(task: Task) -> Iterator[ServerEvent]:
    yield ResourceUpdated(uri=uris.task_uri(task.id))
    for number in range(1, len(task.images) + 1):
        yield ResourceUpdated(uri=uris.image_uri(str(ImageId(task.id, number))))
    yield ResourceUpdated(uri=uris.SPEND)
    if task.images:
        yield ResourcesListChanged()

"""uvicorn with limits on connections, so that idle connections, however many, do not block legitimate requests.

uvicorn accepts every connection and waits for its request without a limit. asyncio logs a traceback for each
connection that it has no file descriptor for, a thousand times a second.
"""

import asyncio
import logging
import math
import socket
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from journey_mcp.core.errors import SetupError
from journey_mcp.server import file_descriptors

_BACKLOG = 1024
_RETRY_DELAY_S = 1.0
_FIRST_REQUEST_WITHIN_S = 1.0
"""Enough time to send a first request, also to a busy server."""
_WARN_INTERVAL_S = 600.0

_log = logging.getLogger(__name__)


def listen(option: str, host: str, port: int) -> socket.socket:
    """Bind a port; connections wait there until a server accepts them.

    Raises:
        SetupError: the port cannot be bound; names the option.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # "::" is every address, also of IPv4
    is_dual = host == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=is_dual)
    except OSError as error:
        shown = f"[{host}]" if ":" in host else host
        # Python appends the address, which is already in the message
        reason = str(error.strerror).partition(" (while")[0]
        raise SetupError(
            f"{option} {shown}:{port} cannot be listened on: {reason}.", next_step="Choose another port."
        ) from error
    # accepted connections inherit it; asyncio sets it only on sockets that were made with the protocol TCP, and without
    # it the end of a response waits 40 ms until the client has confirmed its beginning
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """Limits of a port. A request that is being handled may last, as may an event stream."""

    connections: int
    body_timeout_s: float
    """From the end of the headers to the end of the body."""
    headers_timeout_s: float = 10.0
    """From the beginning of a connection, or the first byte of a further request, to the end of the headers."""
    idle_timeout_s: float = 75.0
    """Between two requests, and while the client does not read what is written."""

    @property
    def requests(self) -> int:
        """How many requests may be handled at once: some connections are left to refuse more of them."""
        return self.connections * 3 // 4

    @classmethod
    def for_port(cls, *, body_timeout_s: float) -> "ConnectionLimits":
        """Return limits that leave enough file descriptors for another port and for everything else."""
        return cls(connections=file_descriptors.limit() // 4, body_timeout_s=body_timeout_s)


Phase = Literal["headers", "idle", "end", "body", "answer"]
"""What a connection waits for."""

_Waiting = OrderedDict["_Connection", float]
"""Connections in the same phase, oldest first, with the time at which the phase began."""


class _Connections:
    """The connections of a port. At the limit, a new connection evicts the one that has been idle longest."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._all: set[_Connection] = set()
        self._idle: _Waiting = OrderedDict()
        self._sending: _Waiting = OrderedDict()
        self._changed = asyncio.Event()

    async def make_room(self) -> None:
        """Wait until there is room for one more. Connections that wait for a response are never evicted."""
        while len(self._all) >= self._max_connections:
            if not self.evict_one():
                self._changed.clear()
                await self._changed.wait()

    def evict_one(self) -> bool:
        """Evict the longest idle connection, else the oldest that sends a body.

        New connections, which may not have had time to send a request, come after those that send a body.
        """
        latest_start = asyncio.get_running_loop().time() - _FIRST_REQUEST_WITHIN_S
        ranks = ((self._idle, latest_start), (self._sending, latest_start))
        for waiting, latest in (*ranks, (self._idle, math.inf), (self._sending, math.inf)):
            oldest, since = next(iter(waiting.items()), (None, 0.0))
            if oldest and since <= latest:
                self.remove(oldest)
                oldest.abort()
                return True
        return False

    def track(self, connection: "_Connection", phase: Phase) -> None:
        """Record that a connection enters this phase now."""
        self.remove(connection)
        self._all.add(connection)
        if phase != "answer":
            waiting = self._sending if phase == "body" else self._idle
            waiting[connection] = asyncio.get_running_loop().time()

    def remove(self, connection: "_Connection") -> None:
        """Remove a connection that has closed."""
        self._all.discard(connection)
        for waiting in (self._idle, self._sending):
            waiting.pop(connection, None)
        self._changed.set()


class _Connection(H11Protocol):
    """A connection that waits for its client for a limited time."""

    def __init__(self, *, connections: _Connections, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(**options)
        self._port_connections = connections
        self._timeouts_s: dict[Phase, float] = {
            "headers": limits.headers_timeout_s,
            "idle": limits.idle_timeout_s,
            "body": limits.body_timeout_s,
            "end": limits.headers_timeout_s,
        }
        self._phase: tuple[Phase, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        connections.track(self, "headers")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in its own parent
        super().connection_made(transport)
        self._enter_phase("headers")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_phase(has_begun=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # the public property copies the buffer, for each of thousands of pipelined requests
        self._update_phase(has_begun=len(self.conn._receive_buffer) > 0)  # noqa: SLF001

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(self._timeouts_s["idle"], self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline:
            self._write_deadline.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._deadline, self._write_deadline):
            if timer:
                timer.cancel()
        self._port_connections.remove(self)

    def send_400_response(self, msg: str) -> None:
        """Respond to bytes that are not HTTP, if no response has begun, and end the request that they interrupt.

        uvicorn responds in every state, and lets the application respond afterwards; h11 raises on both.
        """
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            with suppress(h11.LocalProtocolError):  # a response to HEAD has no body
                super().send_400_response(msg)
        self.transport.close()

    def abort(self) -> None:
        """Close the connection; what the client has not read is lost."""
        if self.transport is not None:
            self.transport.abort()

    def _update_phase(self, *, has_begun: bool) -> None:
        state = self.conn.their_state
        if self.transport.is_closing():
            self._enter_phase("end")
        elif state is h11.SEND_BODY:
            self._enter_phase("body")
        elif state is h11.IDLE:
            self._enter_phase("headers" if has_begun else "idle")
        else:
            self._enter_phase("answer")

    def _enter_phase(self, phase: Phase) -> None:
        if self._phase == (phase, self.cycle):
            return
        self._phase = (phase, self.cycle)
        self._port_connections.track(self, phase)
        if self._deadline:
            self._deadline.cancel()
        within_s = self._timeouts_s.get(phase)
        self._deadline = None if within_s is None else self.loop.call_later(within_s, self.abort)


class BoundedServer(uvicorn.Server):
    """A server for ports that are already bound, with limits on connections. `options` is for `uvicorn.Config`."""

    def __init__(self, app: ASGIApp, limits: ConnectionLimits, **options: Any) -> None:
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "ws": "none"}
        # uvicorn would believe X-Forwarded-For of every client on this machine
        quiet["proxy_headers"] = False
        super().__init__(uvicorn.Config(app, **quiet, timeout_keep_alive=int(limits.idle_timeout_s), **options))
        self._limits = limits
        self._accepting: list[asyncio.Task[None]] = []
        self._warned_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, here instead of in asyncio."""
        await self.lifespan.startup()
        self.should_exit = self.lifespan.should_exit
        self.servers = []
        connections = _Connections(self._limits.connections)
        self._accepting = [asyncio.create_task(self._accept(listener, connections)) for listener in sockets or ()]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, and wait for requests that are being handled."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket, connections: _Connections) -> None:
        loop = asyncio.get_running_loop()
        listener.settimeout(0)
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._warn(error)
                connections.evict_one()
                await asyncio.sleep(_RETRY_DELAY_S)
                continue
            await connections.make_room()
            connection = _Connection(
                connections=connections,
                limits=self._limits,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            try:
                await loop.connect_accepted_socket(lambda made=connection: made, accepted)  # type: ignore[misc]
            except OSError:  # the client has closed it; macOS reports that here
                connections.remove(connection)
                accepted.close()

    def _warn(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if self._warned_at is None or now - self._warned_at > _WARN_INTERVAL_S:
            self._warned_at = now
            _log.warning("no connection can be accepted; trying again every second: %s", error.strerror)


class EmbeddedServer(BoundedServer):
    """A server inside a process that handles the signals itself."""

    def __init__(self, app: ASGIApp, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(app, limits, date_header=False, **options)
        self._shutdown_requested = asyncio.Event()

    def request_shutdown(self) -> None:
        """Let `serve` return."""
        self._shutdown_requested.set()

    async def main_loop(self) -> None:
        """Wait for the shutdown. uvicorn wakes ten times a second, for a date header that is not sent here."""
        await self._shutdown_requested.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield

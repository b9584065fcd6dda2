"""One connection of HTTP/1.1: h11 speaks the protocol, asyncio has the socket and TLS.

httpcore2's connections, over asyncio as well, take twice the time of a request to this machine: locks and traces that
serve other uses. Ours also sends head and body of a small request together.
"""

import asyncio
import logging
import select
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import NamedTuple, cast

import h11
import httpx2

from journey_mcp.core.urls import is_ip_address

_NEXT_ADDRESS_S = 0.25
"""How long one address of a host has to connect before the next one is tried as well (RFC 8305)."""
_MAX_UNREAD_BYTES = 128 * 1024
"""More is left to the operating system, which lets the peer wait."""
_MAX_UNSENT_BYTES = 16 * 1024
_MAX_HEAD_BYTES = 100 * 1024
_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger(__name__)


class Origin(NamedTuple):
    """The server of a URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx2.URL) -> "Origin":
        """Return the server of a URL.

        Raises:
            httpx2.UnsupportedProtocol: it is neither `http` nor `https`.
        """
        if url.scheme not in _PORTS:
            raise httpx2.UnsupportedProtocol(f"{url.scheme!r} is neither 'http' nor 'https'")
        return cls(url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])


class Connection(asyncio.Protocol):
    """A connection to one server, for one request at a time.

    Single reads and writes have no time limits: a request is bounded as a whole.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._transport: asyncio.Transport
        self._unread = bytearray()
        self._has_ended = self._is_lost = False
        self._error: Exception | None = None
        self._arrived: asyncio.Future[None] | None = None
        """What a read waits for."""
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(cls, origin: Origin, tls: SSLContext | None, timeout_s: float | None) -> "Connection":
        """Connect; with TLS, verify the certificate by `tls`, or by the authorities of the system.

        Raises:
            httpx2.ConnectError, httpx2.ConnectTimeout: there is no connection; nothing was sent.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: cls(origin),
                    origin.host,
                    origin.port,
                    ssl=None if origin.scheme == "http" else tls or True,
                    # one address needs no race, from which asyncio 3.11 leaves a socket to the garbage collector if the
                    # time is up in the moment in which it connects
                    happy_eyeballs_delay=None if is_ip_address(origin.host) else _NEXT_ADDRESS_S,
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("no connection in time") from error
        except OSError as error:  # also those of TLS
            raise httpx2.ConnectError(str(error)) from error
        _log.debug("connected to %s://%s:%d", *origin)
        return connection

    async def exchange(self, request: httpx2.Request, keep: Callable[["Connection"], None]) -> httpx2.Response:
        """Send a request; return its response once the headers have arrived.

        When the response is closed, the connection is closed as well, or `keep` gets it if it can be used again.

        Raises:
            httpx2.LocalProtocolError: the request cannot be written.
            httpx2.ReadError, httpx2.RemoteProtocolError: the connection was lost, or the response is not HTTP.
        """
        try:
            with _as_errors_of_httpx2():
                await self._send(request)
                # an answer of 1xx is not the last one
                while not isinstance(event := await self._next_event(), h11.Response):
                    pass
        except BaseException:
            self.close()
            raise
        _log.debug("%s to %s: status %d", request.method, self.origin.host, event.status_code)
        return httpx2.Response(
            event.status_code,
            headers=event.headers.raw_items(),
            stream=_Body(self, keep),
            extensions={"http_version": b"HTTP/" + event.http_version, "reason_phrase": event.reason},
        )

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body of the response as it arrives."""
        with _as_errors_of_httpx2():
            while isinstance(event := await self._next_event(), h11.Data):
                yield bytes(event.data)

    def end_exchange(self) -> bool:
        """Return whether the connection can be used again; else it is closed."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        self.close()
        return False

    @property
    def is_usable(self) -> bool:
        """Whether an idle connection can be used again: anything to read is its end, or no answer to a request."""
        # Windows has no `poll`: there the event loop learns of it a moment later
        may_poll = sys.platform != "win32"
        return not (self._has_ended or self._unread or (may_poll and _has_bytes(self._transport)))

    def close(self) -> None:
        """Close the connection."""
        if not self._is_lost:  # asyncio 3.11 fails on a connection that has ended with bytes to send
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Keep what arrives, up to a limit."""
        self._unread += data
        if len(self._unread) > _MAX_UNREAD_BYTES:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note the end; the transport closes itself."""
        self._has_ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end and its cause."""
        self._has_ended = self._is_lost = True
        self._error = error
        self._wake()
        self._writable.set()

    def pause_writing(self) -> None:
        """Let writes wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writes return."""
        self._writable.set()

    async def _send(self, request: httpx2.Request) -> None:
        """Send a request; head and body of a small one leave in one packet."""
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        unsent = self._http.send(head) or b""
        async for chunk in cast(AsyncIterable[bytes], request.stream):
            unsent += self._http.send(h11.Data(data=chunk)) or b""
            if len(unsent) > _MAX_UNSENT_BYTES:
                await self._write(unsent)
                unsent = b""
        await self._write(unsent + (self._http.send(h11.EndOfMessage()) or b""))

    async def _write(self, data: bytes) -> None:
        """Send bytes; wait while the peer does not read.

        After the end they are dropped: the next read says why, or returns an answer that came before.
        """
        if data and not self._has_ended:
            self._transport.write(data)
            await self._writable.wait()

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._read()
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")
            self._http.receive_data(data)
        return cast("h11.Event | type[h11.PAUSED]", event)

    async def _read(self) -> bytes:
        """Return what has arrived, after waiting for it; nothing at the end."""
        if not self._unread and not self._has_ended:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        if self._error is not None and not self._unread:
            raise httpx2.ReadError(str(self._error)) from self._error
        data = bytes(self._unread)
        self._unread.clear()
        self._transport.resume_reading()
        return data

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


class _Body(httpx2.AsyncByteStream):
    """The body of a response."""

    def __init__(self, connection: Connection, keep: Callable[[Connection], None]) -> None:
        self._connection = connection
        self._keep = keep
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._connection.body()

    async def aclose(self) -> None:
        # nothing waits here: a cancelled call cannot lose a connection that stays open
        if not self._is_closed:
            self._is_closed = True
            if self._connection.end_exchange():
                self._keep(self._connection)


@contextmanager
def _as_errors_of_httpx2() -> Iterator[None]:
    try:
        yield
    except h11.LocalProtocolError as error:
        raise httpx2.LocalProtocolError(str(error)) from error
    except h11.RemoteProtocolError as error:
        raise httpx2.RemoteProtocolError(str(error)) from error


def _has_bytes(transport: asyncio.Transport) -> bool:
    """Return whether bytes or the end have arrived that the event loop has not seen yet."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))

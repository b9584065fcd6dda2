"""The network of httpcore2's connections: sockets of asyncio, with TLS.

httpcore2's own backend goes through anyio, which takes a quarter of the time of a request to this machine.
Ours also sends head and body of a small request together.
"""

import asyncio
import select
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any, cast

import httpcore2

_NEXT_ADDRESS_S = 0.25
"""How long one address of a host has to connect before the next one is tried as well (RFC 8305)."""
_MAX_UNREAD_BYTES = 128 * 1024
"""More is left to the operating system, which lets the peer wait."""
_MAX_UNSENT_BYTES = 16 * 1024


class AsyncioBackend(httpcore2.AsyncNetworkBackend):
    """Connects by TCP. Its streams have no time limits for single reads and writes: a request is bounded as a whole."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's interface
        local_address: str | None = None,  # noqa: ARG002  # never given
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002  # never given
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a host.

        Raises:
            httpcore2.ConnectError, httpcore2.ConnectTimeout: there is no connection.
        """
        loop = asyncio.get_running_loop()
        async with _connecting(timeout):
            _, stream = await loop.create_connection(_Stream, host, port, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        return stream


class _Stream(httpcore2.AsyncNetworkStream, asyncio.Protocol):
    """The bytes of one connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._unread, self._unsent = bytearray(), bytearray()
        self._has_ended = self._is_lost = False
        self._error: Exception | None = None
        self._arrived: asyncio.Future[None] | None = None
        """What a read waits for."""
        self._writable = asyncio.Event()
        self._writable.set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109  # its interface
        """Send what was written, and return what has arrived, after waiting for it; nothing at the end.

        Raises:
            httpcore2.ReadError: the connection was lost.
        """
        await self._flush()
        if not self._unread and not self._has_ended:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        if self._error is not None and not self._unread:
            raise httpcore2.ReadError(str(self._error)) from self._error
        data = bytes(self._unread[:max_bytes])
        del self._unread[:max_bytes]
        self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109  # its interface
        """Send bytes, or keep a few until the next read, so that head and body of a request leave in one packet.

        After the end they are dropped: the next read says why, or returns an answer that came before.
        """
        self._unsent += buffer
        if len(self._unsent) > _MAX_UNSENT_BYTES:
            await self._flush()

    async def aclose(self) -> None:
        """Close the connection."""
        if not self._is_lost:  # asyncio 3.11 fails on a connection that has ended with bytes to send
            self._transport.abort()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's interface
    ) -> httpcore2.AsyncNetworkStream:
        """Encrypt the connection, once the certificate is verified.

        Raises:
            httpcore2.ConnectError, httpcore2.ConnectTimeout: it is closed.
        """
        plain, loop = self._transport, asyncio.get_running_loop()
        try:
            async with _connecting(timeout):
                encrypted = await loop.start_tls(plain, self, ssl_context, server_hostname=server_hostname)
        except BaseException:
            plain.abort()
            raise
        self._transport = cast(asyncio.Transport, encrypted)
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return `is_readable`, or what the transport says.

        An idle connection with something to read cannot be used again: it is the end, or no answer to a request.
        """
        if info != "is_readable":
            return self._transport.get_extra_info(info)
        # Windows has no `poll`: there the event loop learns of it a moment later
        may_poll = sys.platform != "win32"
        return self._has_ended or bool(self._unread) or (may_poll and _has_bytes(self._transport))

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

    async def _flush(self) -> None:
        """Send; wait while the peer does not read."""
        if self._unsent and not self._has_ended:
            self._transport.write(bytes(self._unsent))
            await self._writable.wait()
        self._unsent.clear()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


@asynccontextmanager
async def _connecting(timeout_s: float | None) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout("no connection in time") from error
    except OSError as error:  # also those of TLS
        raise httpcore2.ConnectError(str(error)) from error


def _has_bytes(transport: asyncio.Transport) -> bool:
    """Return whether bytes or the end have arrived that the event loop has not seen yet."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))

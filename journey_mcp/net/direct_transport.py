"""HTTP without a proxy: httpcore2's connections, below httpx2's client."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from ssl import SSLContext
from typing import cast

import anyio
import httpcore2
import httpx2

from journey_mcp.net.asyncio_backend import AsyncioBackend


class DirectTransport(httpx2.AsyncBaseTransport):
    """Sends requests as they are to the hosts that they name, and reuses connections for some seconds.

    A list of idle connections is all of httpcore2's pool that is needed; the rest takes a tenth of a request's time.
    """

    def __init__(self, tls: SSLContext | None, *, max_idle: int, idle_s: float) -> None:
        self._tls = tls
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._backend = AsyncioBackend()
        self._idle: list[httpcore2.AsyncHTTPConnection] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; return its response once the headers have arrived.

        Raises:
            httpx2.TransportError: as for every transport of httpx2.
        """
        url = request.url
        sent = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast(httpx2.AsyncByteStream, request.stream),
            extensions=request.extensions,
        )
        connection = await self._connection(sent.url.origin)
        try:
            with _as_errors_of_httpx2():
                received = await connection.handle_async_request(sent)
        except BaseException:
            await _close([connection])
            raise
        body = _Body(received, partial(self._keep, connection))
        return httpx2.Response(received.status, headers=received.headers, stream=body, extensions=received.extensions)

    async def aclose(self) -> None:
        """Close the idle connections."""
        await _close(self._idle)

    async def _connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncHTTPConnection:
        """Return an idle connection, or one that connects with its first request."""
        expired = [connection for connection in self._idle if connection.has_expired()]
        self._idle = [connection for connection in self._idle if connection not in expired]
        # the one that was used last: it is the least likely to end now
        found = next((idle for idle in reversed(self._idle) if idle.can_handle_request(origin)), None)
        if found is not None:
            self._idle.remove(found)
        await _close(expired)
        return found or httpcore2.AsyncHTTPConnection(
            origin, ssl_context=self._tls, keepalive_expiry=self._idle_s, network_backend=self._backend
        )

    async def _keep(self, connection: httpcore2.AsyncHTTPConnection) -> None:
        """Keep a connection whose response was read to its end; any other one is closed already."""
        if connection.is_idle():
            surplus = self._idle[: max(0, len(self._idle) + 1 - self._max_idle)]
            self._idle = [*self._idle[len(surplus) :], connection]
            await _close(surplus)


class _Body(httpx2.AsyncByteStream):
    """The body of a response as it arrives."""

    def __init__(self, response: httpcore2.Response, keep: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._keep = keep

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_errors_of_httpx2():
            async for chunk in cast(AsyncIterable[bytes], self._response.stream):
                yield chunk

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):  # else the connection would stay open, and be lost
            await self._response.aclose()
            await self._keep()


async def _close(connections: Sequence[httpcore2.AsyncHTTPConnection]) -> None:
    if connections:
        with anyio.CancelScope(shield=True):
            for connection in connections:
                await connection.aclose()


@contextmanager
def _as_errors_of_httpx2() -> Iterator[None]:
    try:
        yield
    except (
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.TimeoutException,
        httpcore2.UnsupportedProtocol,
    ) as error:
        # both libraries name them alike
        raise getattr(httpx2, type(error).__name__)(str(error)) from error

"""HTTP without a proxy: httpcore2's pool of connections, below httpx2's client."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import cast

import httpcore2
import httpx2

from journey_mcp.net.asyncio_backend import AsyncioBackend


class DirectTransport(httpx2.AsyncBaseTransport):
    """Sends requests as they are to the hosts that they name, and keeps connections for some seconds."""

    def __init__(self, tls: SSLContext | None, limits: httpx2.Limits) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=AsyncioBackend(),
        )

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
        with _as_errors_of_httpx2():
            received = await self._pool.handle_async_request(sent)
        body = _Body(received)
        return httpx2.Response(received.status, headers=received.headers, stream=body, extensions=received.extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of a response as it arrives."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_errors_of_httpx2():
            async for chunk in cast(AsyncIterable[bytes], self._response.stream):
                yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


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

"""HTTP without a proxy, below httpx2's client."""

import asyncio
from ssl import SSLContext

import anyio
import httpx2

from journey_mcp.net.http11 import Connection, Origin


class DirectTransport(httpx2.AsyncBaseTransport):
    """Transport of requests, as they are, to the hosts that they name. It reuses connections for some seconds."""

    def __init__(self, tls: SSLContext | None, *, max_idle: int, idle_s: float) -> None:
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
        self._tls = tls
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._idle: list[tuple[Connection, float]] = []
        """Idle connections, the one that was used last at the end, each with when it expires."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; return its response once the headers have arrived.

        Raises:
            httpx2.TransportError: as for every transport of httpx2.
        """
        origin = Origin.of(request.url)
        connection = self._reused(origin)
        if connection is None:
            connect_s = request.extensions.get("timeout", {}).get("connect")
            connection = await Connection.open(origin, self._tls, connect_s)
        return await connection.exchange(request, self._keep)

    async def aclose(self) -> None:
        """Close the idle connections."""
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(0)  # asyncio closes the socket of an ended connection in its next iteration

    def _reused(self, origin: Origin) -> Connection | None:
        """Return the idle connection to this server that was used last: it is the least likely to end now."""
        now, kept, found = asyncio.get_running_loop().time(), [], None
        for connection, expires_at in reversed(self._idle):
            if now >= expires_at or not connection.is_usable:
                connection.close()
            elif found is None and connection.origin == origin:
                found = connection
            else:
                kept.append((connection, expires_at))
        self._idle = kept[::-1]
        return found

    def _keep(self, connection: Connection) -> None:
        expires_at = asyncio.get_running_loop().time() + self._idle_s
        self._idle.append((connection, expires_at))
        for surplus, _ in self._idle[: -self._max_idle]:
            surplus.close()
        self._idle = self._idle[-self._max_idle :]

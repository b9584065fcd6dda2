"""Local servers that respond as a test says, and a resolver with given results."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PNG = b"\x89PNG\r\n\x1a\n and so on"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ok(content: bytes = PNG, *headers: str) -> bytes:
    """Return a complete response."""
    return b"\r\n".join(
        [b"HTTP/1.1 200 OK", *(line.encode() for line in (*headers, f"content-length: {len(content)}")), b"", content]
    )


def redirect(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return f"HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


@dataclass
class Site:
    """A local server that responds by path and records requests."""

    answers: dict[str, bytes]
    hangs_after: bool = False
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """The request heads."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to one request; a path without a response hangs."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        writer.write(self.answers.get(head.split()[1], b""))
        if self.hangs_after or head.split()[1] not in self.answers:
            await reader.read()  # until the client disconnects

    def url(self, path: str = "/a.png", host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Return a URL at this server."""
        return f"{scheme}://{host}:{self.port}{path}"

    def header(self, name: str) -> str | None:
        """Return a header of the last request."""
        lines = (line.partition(": ") for line in self.asked[-1].splitlines()[1:])
        return next((value for key, _, value in lines if key.lower() == name), None)


@asynccontextmanager
async def listening(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port of a server; all its connections have ended afterwards."""
    connections = dict[asyncio.StreamWriter, asyncio.Event]()

    async def received(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = asyncio.Event()
        with suppress(asyncio.IncompleteReadError, OSError):  # the client has disconnected
            await handle(reader, writer)
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()
        connections[writer].set()

    server = await asyncio.start_server(received, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer, ended in connections.items():
            with suppress(AttributeError):  # of asyncio 3.11, if the connection has just ended with bytes to send
                writer.transport.abort()
            await ended.wait()


@asynccontextmanager
async def serving(
    answers: Mapping[str, bytes], tls: ssl.SSLContext | None = None, *, hangs_after: bool = False
) -> AsyncIterator[Site]:
    """Yield a running site."""
    site = Site(dict(answers), hangs_after)
    async with listening(site.handle, tls) as site.port:
        yield site


class Names:
    """A resolver that returns its results in turn, repeats the last one, and counts."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, int]]()

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the next result."""
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

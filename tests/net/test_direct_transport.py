"""Requests without a proxy: connections that are made, kept, lost and verified."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import anyio
import httpx2
import pytest
import trustme
from manual_clock import until
from support import Authority

from journey_mcp.net import certificates
from journey_mcp.net.direct_transport import DirectTransport
from net.sites import listening, ok

LARGE = 4 * 1024 * 1024
MORE_THAN_BUFFERS = 24 * 1024 * 1024
"""More than Linux keeps for both ends of a connection."""
MOST_IDLE = 5
TIMEOUTS = httpx2.Timeout(None, connect=10.0).as_dict()
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def http() -> AsyncIterator[DirectTransport]:
    """Yield a transport."""
    async with DirectTransport(certificates.context(), max_idle=MOST_IDLE, idle_s=60.0) as transport:
        yield transport


def request(port: int, content: bytes = b"", host: str = "127.0.0.1", scheme: str = "http") -> httpx2.Request:
    """Return a creating request to a local server."""
    return httpx2.Request("POST", f"{scheme}://{host}:{port}/", content=content, extensions={"timeout": TIMEOUTS})


async def sent(http: httpx2.AsyncBaseTransport, message: httpx2.Request) -> bytes:
    """Return the body of the response."""
    response = await http.handle_async_request(message)
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def received(reader: asyncio.StreamReader) -> bytes:
    """Return the body of a request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lengths = [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("content-length")]
    return await reader.readexactly(int(lengths[0]))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Return every body."""
    while True:
        writer.write(ok(await received(reader)))


@dataclass
class Connections:
    """A server that returns every body, with the number of connections that it got and that are open."""

    made: int = 0
    open: int = 0

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Return every body of a connection."""
        self.made, self.open = self.made + 1, self.open + 1
        try:
            await echo(reader, writer)
        finally:
            self.open -= 1


async def test_a_connection_is_reused(http: DirectTransport) -> None:
    """For the next request, not for one at the same time; so many are kept."""
    connections = Connections()
    async with listening(connections.echo) as port:
        assert [await sent(http, request(port, body)) for body in (b"a", b"b")] == [b"a", b"b"]
        assert connections.made == 1
        bodies = [b"%d" % number for number in range(MOST_IDLE + 2)]
        assert await asyncio.gather(*(sent(http, request(port, body)) for body in bodies)) == bodies
        assert connections.made == len(bodies)
        await until(lambda: connections.open == MOST_IDLE)
        await http.aclose()
        await until(lambda: connections.open == 0)


async def test_a_connection_is_for_one_server(http: DirectTransport) -> None:
    """It is neither used for another one nor closed."""
    one, other = Connections(), Connections()
    async with listening(one.echo) as port, listening(other.echo) as other_port:
        for here in (port, other_port, port):
            assert await sent(http, request(here, b"a")) == b"a"
        assert (one.made, other.made) == (1, 1)
        await http.aclose()


async def test_a_connection_is_kept_for_a_while() -> None:
    """Servers close those that are idle for long."""
    connections = Connections()
    async with listening(connections.echo) as port, DirectTransport(None, max_idle=MOST_IDLE, idle_s=0.0) as http:
        assert [await sent(http, request(port, body)) for body in (b"a", b"b")] == [b"a", b"b"]
        assert connections.made == 2
        await until(lambda: connections.open == 1)


@pytest.mark.parametrize("answer", [b"", ok(b"whole")[:-2]])
async def test_a_canceled_request_closes_its_connection(http: DirectTransport, answer: bytes) -> None:
    """Its answer would be taken for that to the next one."""
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(answer)
        assert await reader.read() == b""
        ended.set()

    async with listening(handle) as port:
        with anyio.move_on_after(1.0) as scope:
            await sent(http, request(port, b"a"))
        assert scope.cancelled_caught
        await ended.wait()


async def test_a_request_that_was_canceled_before_it_began_loses_no_connection(http: DirectTransport) -> None:
    """The idle one that it took is closed."""
    connections = Connections()
    async with listening(connections.echo) as port:
        assert await sent(http, request(port, b"a")) == b"a"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await sent(http, request(port, b"b"))
        await until(lambda: connections.open == 0)
        assert connections.made == 1


async def test_a_small_request_leaves_in_one_packet(http: DirectTransport) -> None:
    """A server need not wait for the body."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asking = asyncio.create_task(sent(http, request(server.getsockname()[1], b"body")))
        accepted, _ = await asyncio.to_thread(server.accept)
        with accepted:
            packet = await asyncio.to_thread(accepted.recv, 65_536)
            accepted.sendall(ok(b"answer"))
            assert await asking == b"answer"
    assert packet.endswith(b"\r\n\r\nbody")


async def test_a_large_request_arrives_whole(http: DirectTransport) -> None:
    """Also at a server that takes its time."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.0)
        await echo(reader, writer)

    body = bytes(range(256)) * (LARGE // 256)
    async with listening(handle) as port:
        assert await sent(http, request(port, body)) == body
        await http.aclose()


async def test_a_large_answer_waits_for_its_reader(http: DirectTransport) -> None:
    """In the buffers of the operating system: no server fills our memory."""
    has_written = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(ok(bytes(MORE_THAN_BUFFERS)))
        await writer.drain()
        has_written.set()

    async with listening(handle) as port:
        response = await http.handle_async_request(request(port))
        await asyncio.sleep(1.0)
        assert not has_written.is_set()
        assert len(await response.aread()) == MORE_THAN_BUFFERS
        await response.aclose()


# --- the end of a connection


@asynccontextmanager
async def kept(http: DirectTransport, then: bytes | None) -> AsyncIterator[int]:
    """Yield the port of a server whose kept connection has something to read or has ended, but no event loop saw it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        asking = asyncio.create_task(sent(http, request(port)))
        accepted, _ = await asyncio.to_thread(server.accept)
        with accepted:
            await asyncio.to_thread(accepted.recv, 65_536)
            accepted.sendall(ok(b"first"))
            assert await asking == b"first"
            if then is None:
                accepted.close()
            else:
                accepted.sendall(then)
            again = asyncio.create_task(sent(http, request(port)))
            second, _ = await asyncio.to_thread(server.accept)
            with second:
                await asyncio.to_thread(second.recv, 65_536)
                second.sendall(ok(b"second"))
                assert await again == b"second"
                yield port


@pytest.mark.parametrize("then", [None, b"HTTP/1.1 408 Too late\r\n\r\n"])
async def test_a_kept_connection_that_has_ended_is_not_used(http: DirectTransport, then: bytes | None) -> None:
    """A request would be lost there, or get an answer that is not for it."""
    async with kept(http, then):
        await http.aclose()


@pytest.mark.parametrize("then", [b"", b"HTTP/1.1 408 Too late\r\n\r\n"])
async def test_a_kept_connection_whose_end_was_seen_is_not_used(http: DirectTransport, then: bytes) -> None:
    """Long before the next request."""
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(ok(await received(reader)))
        await asyncio.sleep(1.0)
        writer.write(then)
        if then:
            await asyncio.sleep(100.0)

    async with listening(handle) as port:
        assert await sent(http, request(port, b"a")) == b"a"
        await asyncio.sleep(2.0)
        assert await sent(http, request(port, b"b")) == b"b"
        assert connections == 2
        await http.aclose()


async def test_an_answer_before_the_end_of_the_request_is_read(http: DirectTransport) -> None:
    """A server may refuse a large body, and close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too large\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(1.0)

    async with listening(handle) as port:
        response = await http.handle_async_request(request(port, bytes(LARGE)))
        await response.aclose()
    assert response.status_code == 413


async def test_an_interim_answer_is_not_the_last_one(http: DirectTransport) -> None:
    """Servers send them before they begin to work."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early hints\r\nlink: x\r\n\r\n" + ok(b"last"))

    async with listening(visit) as port:
        assert await sent(http, request(port, b"a")) == b"last"


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_an_error(http: DirectTransport, answer: bytes) -> None:
    """Its connection is closed."""
    has_ended = asyncio.Event()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(answer)
        assert await reader.read() == b""
        has_ended.set()

    async with listening(visit) as port:
        with pytest.raises(httpx2.RemoteProtocolError):
            await sent(http, request(port, b"a"))
        await has_ended.wait()


async def test_a_request_that_cannot_be_written_is_an_error(http: DirectTransport) -> None:
    """Nothing of it is sent, not even its beginning."""
    came = b"nothing"

    async def visit(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came = await reader.read()

    async with listening(visit) as port:
        message = request(port, b"body")
        message.headers["content-length"] = "5"
        with pytest.raises(httpx2.LocalProtocolError):
            await sent(http, message)
        await until(lambda: came == b"")


async def test_other_protocols_are_refused(http: DirectTransport) -> None:
    """Before anything is connected."""
    with pytest.raises(httpx2.UnsupportedProtocol, match="'ftp' is neither 'http' nor 'https'"):
        await sent(http, request(21, scheme="ftp"))


async def test_a_response_may_be_closed_twice(http: DirectTransport) -> None:
    """Its connection is kept once."""
    connections = Connections()
    async with listening(connections.echo) as port:
        response = await http.handle_async_request(request(port, b"a"))
        await response.aread()
        for _ in range(2):
            await cast(httpx2.AsyncByteStream, response.stream).aclose()
        assert await asyncio.gather(*(sent(http, request(port, b"b")) for _ in range(2))) == [b"b", b"b"]
        assert connections.made == 2
        await http.aclose()


async def closes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read the request and close."""
    await received(reader)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the request and reset the connection."""
    await received(reader)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer half."""
    await received(reader)
    writer.write(ok(b"whole")[:-2])


@pytest.mark.parametrize(
    ("handle", "error"),
    [(closes, httpx2.RemoteProtocolError), (resets, httpx2.ReadError), (cuts, httpx2.RemoteProtocolError)],
)
async def test_a_lost_connection_is_an_error(http: DirectTransport, handle: Handler, error: type[Exception]) -> None:
    """The request may have arrived."""
    async with listening(handle) as port:
        with pytest.raises(error):
            await sent(http, request(port, b"body"))


# --- making a connection


async def test_a_port_that_nobody_listens_on_is_an_error(http: DirectTransport) -> None:
    """Nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(httpx2.ConnectError, match="Connect call failed"):
        await sent(http, request(port))


async def test_a_certificate_is_verified(http: DirectTransport, authority: Authority) -> None:
    """Against the name in the URL."""
    async with listening(echo, authority.server("localhost")) as port:
        assert await sent(http, request(port, b"a", "localhost", "https")) == b"a"
        assert await sent(http, request(port, b"b", "localhost", "https")) == b"b"
        with pytest.raises(httpx2.ConnectError, match=r"not valid for '127\.0\.0\.1'"):
            await sent(http, request(port, b"c", "127.0.0.1", "https"))
        await http.aclose()


async def test_an_unknown_authority_is_not_trusted(http: DirectTransport) -> None:
    """Only those of the environment or the system."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with listening(echo, context) as port:
        with pytest.raises(httpx2.ConnectError, match="unable to get local issuer"):
            await sent(http, request(port, b"a", "localhost", "https"))


async def test_a_connection_has_a_time_limit(http: DirectTransport) -> None:
    """Also one whose encryption never begins."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    loop = asyncio.get_running_loop()
    async with listening(silent) as port:
        began = loop.time()
        with pytest.raises(httpx2.ConnectTimeout):
            await sent(http, request(port, scheme="https"))
        assert loop.time() - began == pytest.approx(10.0, abs=0.001)

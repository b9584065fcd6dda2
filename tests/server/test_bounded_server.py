"""A port with limits on the number and the time of its connections."""

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from manual_clock import ManualClock, until
from starlette.types import Receive, Scope, Send

from journey_mcp.core.errors import SetupError
from journey_mcp.server.transports.bounded_server import ConnectionLimits, EmbeddedServer, listen

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
STREAM = b"POST /stream HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
FORWARDED = b"GET /client HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.5\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"
UNREAD = b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, except at /unread, and respond; /stream has no end, /client returns the address."""
    while scope["path"] != "/unread" and (await receive()).get("more_body"):
        pass
    body = b"x" * (20_000_000 if scope["path"] == "/large" else 2)
    body = scope["client"][0].encode() if scope["path"] == "/client" else body
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def clock() -> ManualClock:
    """Return the clock of the test's event loop."""
    return ManualClock()


class Caller(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport
    received = b""
    is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect the data."""
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as in its parent
        """Record that the server has closed it."""
        self.is_closed = True

    async def answered(self, count: int = 1) -> None:
        """Wait for this many responses."""
        await until(lambda: self.received.count(OK) == count)


class Port:
    """A server, and connections to it."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = listener.getsockname()
        self.callers: list[Caller] = []

    async def call(self, content: bytes = b"") -> Caller:
        """Connect, and send data."""
        _, caller = await asyncio.get_running_loop().create_connection(Caller, *self.address)
        self.callers.append(caller)
        caller.transport.write(content)
        return caller


@asynccontextmanager
async def serving(connections: int = 100, listener: socket.socket | None = None) -> AsyncIterator[Port]:
    """Run a server with limits, on a manual clock."""
    listener = listener or listen("--http", "127.0.0.1", 0)
    limits = ConnectionLimits(connections=connections, body_timeout_s=30)
    server = EmbeddedServer(app, limits, lifespan="off", timeout_graceful_shutdown=2)
    port = Port(listener)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([listener]))
        try:
            yield port
        finally:
            server.request_shutdown()
            for caller in port.callers:
                caller.transport.abort()


@pytest.mark.parametrize(
    ("before", "again", "seconds"),
    [
        (b"", b"", 10),
        (GET[:20], b"", 10),
        (GET[:20], b"x", 10),
        (POST, b"", 30),
        (POST, b"x", 30),
        (UNREAD, b"x", 30),
        (GET, b"", 75),
        (GET + GET + GET[:20], b"", 10),
        (POST + b"x" * 1000, b"", 75),
        (UNREAD + b"x" * 1000 + POST, b"x", 30),
    ],
)
async def test_a_connection_waits_for_its_client_for_a_limited_time(
    clock: ManualClock, before: bytes, again: bytes, seconds: int
) -> None:
    """10 s for headers, 30 s here for a body, 75 s for the next request; single bytes do not extend that."""
    async with serving() as port:
        caller = await port.call(before)
        for _ in range(seconds - 1):
            await clock.sleep(1)
            assert not caller.is_closed
            caller.transport.write(again)
        await clock.sleep(1.1)
        await until(lambda: caller.is_closed)


async def test_headers_of_a_further_request_may_take_ten_seconds(clock: ManualClock) -> None:
    """Regardless of how long the connection was idle before."""
    async with serving() as port:
        caller = await port.call(GET)
        await caller.answered()
        await clock.sleep(70)
        caller.transport.write(GET[:20])
        await clock.sleep(9)
        caller.transport.write(GET[20:])
        await caller.answered(2)
        caller.transport.write(GET[:20])
        await clock.sleep(10.1)
        await until(lambda: caller.is_closed)


async def test_an_event_stream_stays_open(clock: ManualClock) -> None:
    """For hours, also at the limit."""
    async with serving(connections=2) as port:
        stream = await port.call(STREAM)
        await stream.answered()
        for _ in range(5):
            await (await port.call(GET)).answered()
            await clock.sleep(3600)
        assert not stream.is_closed


@pytest.mark.parametrize("sent", [LARGE, LARGE + GET, LARGE + STREAM])
async def test_an_unread_response_does_not_keep_a_connection(clock: ManualClock, sent: bytes) -> None:
    """Unsent data is dropped, also when another response waits behind it."""
    async with serving() as port:
        caller = await port.call()
        caller.transport.pause_reading()
        caller.transport.write(sent)
        await clock.sleep(80)
        caller.transport.resume_reading()
        await until(lambda: caller.is_closed)


async def test_at_the_limit_the_longest_idle_connection_is_evicted(clock: ManualClock) -> None:
    """Before connections that send a body; those that wait for a response never are."""
    async with serving(connections=4) as port:
        stream, upload = await port.call(STREAM), await port.call(POST)
        await stream.answered()
        first, second = await port.call(GET), await port.call()
        await first.answered()
        await clock.sleep(1)
        first.transport.write(GET)  # now the second one has been idle longer
        await first.answered(2)
        await (await port.call(GET)).answered()
        await until(lambda: second.is_closed)
        assert not first.is_closed
        await clock.sleep(2)
        await (await port.call(GET)).answered()
        await until(lambda: first.is_closed)
        await clock.sleep(2)
        more = [await port.call(STREAM) for _ in range(2)]
        for caller in more:
            await caller.answered()
        assert not upload.is_closed
        more.append(await port.call(STREAM))
        await more[-1].answered()
        await until(lambda: upload.is_closed)
        assert not any(caller.is_closed for caller in [stream, *more])


async def test_a_new_connection_may_send_a_request_before_it_is_evicted(clock: ManualClock) -> None:
    """Even when the others send endless bodies, and more arrive at the same moment."""
    async with serving(connections=4) as port:
        senders = [await port.call(POST) for _ in range(4)]
        await clock.sleep(2)
        waiting = [socket.create_connection(port.address) for _ in range(4)]
        waiting[0].sendall(GET)
        waiting[0].setblocking(False)
        answer = await asyncio.get_running_loop().sock_recv(waiting[0], 1000)
        assert answer.startswith(OK)
        await until(lambda: all(sender.is_closed for sender in senders))
        for stranger in waiting:
            stranger.close()


async def test_while_all_requests_are_handled_the_next_connection_waits(clock: ManualClock) -> None:
    """Until one of them is finished."""
    async with serving(connections=2) as port:
        streams = [await port.call(STREAM) for _ in range(2)]
        for stream in streams:
            await stream.answered()
        waiting = await port.call(GET)
        await clock.sleep(5)
        assert waiting.received == b""
        streams[0].transport.abort()
        await waiting.answered()
        assert not streams[1].is_closed


class Exhausted(socket.socket):
    """A listener in a process without a free file descriptor, for this many attempts."""

    failures = 0
    is_aborted = False
    has_gone = False

    def accept(self) -> Any:
        """Raise the system's error."""
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        accepted, address = super().accept()
        if self.has_gone or self.is_aborted:
            accepted.close()
        if self.is_aborted:
            self.is_aborted = False
            raise ConnectionAbortedError
        self.has_gone = False
        return accepted, address


@asynccontextmanager
async def exhausted() -> AsyncIterator[tuple[Exhausted, Port]]:
    """Run a server with such a listener."""
    listener = Exhausted()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    async with serving(listener=listener) as port:
        yield listener, port


async def test_without_file_descriptors_one_warning_is_logged_and_accepting_continues(
    caplog: pytest.LogCaptureFixture, clock: ManualClock
) -> None:
    """Each attempt also evicts the longest idle connection."""
    async with exhausted() as (listener, port):
        idle = [await port.call() for _ in range(5)]
        await until(lambda: not listener.failures)
        listener.failures = 3
        caller = await port.call(GET)
        await caller.answered()
        await until(lambda: [connection.is_closed for connection in idle] == [True] * 3 + [False] * 2)
        messages = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert messages == ["no connection can be accepted; trying again every second: Too many open files"]
        await clock.sleep(601)
        listener.failures = 1
        await (await port.call(GET)).answered()
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2


@pytest.mark.parametrize("state", ["is_aborted", "has_gone"])
async def test_a_connection_that_closes_before_it_is_accepted_has_no_effect(state: str) -> None:
    """Some systems report it on accept, some afterwards."""
    async with exhausted() as (listener, port):
        await (await port.call(GET)).answered()
        setattr(listener, state, True)
        gone = await port.call()
        await until(lambda: gone.is_closed)
        await (await port.call(GET)).answered()


async def test_a_client_cannot_name_another_address() -> None:
    """Not even one on this machine, which uvicorn would believe."""
    async with serving() as port:
        caller = await port.call(FORWARDED)
        await until(lambda: b"127.0.0.1" in caller.received)


async def test_headers_are_bounded() -> None:
    """In one or in many, they get a 400 after 64 KiB."""
    for header in (b"a: " + b"x" * 70_000, b"\r\n".join([b"a: " + b"x" * 700] * 100)):
        async with serving() as port:
            caller = await port.call(b"GET / HTTP/1.1\r\nhost: x\r\n" + header)
            await until(lambda caller=caller: caller.is_closed)  # type: ignore[misc]
            assert caller.received.startswith(b"HTTP/1.1 400")


async def test_a_connection_without_http_is_closed_at_once() -> None:
    """With a 400."""
    async with serving() as port:
        caller = await port.call(b"\x16\x03\x01\0nonsense\r\n\r\n")
        await until(lambda: caller.is_closed)
        assert caller.received.startswith(b"HTTP/1.1 400")


async def test_a_shutdown_closes_idle_connections() -> None:
    """In every phase."""
    async with serving() as port:
        idle = [await port.call(content) for content in (b"", GET[:20], GET)]
        await idle[2].answered()
    for caller in idle:
        assert caller.transport.is_closing()


def test_a_port_in_use_is_named() -> None:
    """With the option for it."""
    with (
        listen("--http", "127.0.0.1", 0) as taken,
        pytest.raises(SetupError, match=r"--webhooks 127\.0\.0\.1:.* in use"),
    ):
        listen("--webhooks", *taken.getsockname())
    with pytest.raises(SetupError, match=r"--http \[::9\]:8000"):
        listen("--http", "::9", 8000)


def test_every_address_includes_those_of_ipv4() -> None:
    """As a container needs it."""
    with listen("--host", "::", 0) as listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        pass


def test_the_limit_of_a_port_follows_that_of_the_process() -> None:
    """A quarter, so that two ports leave half of the file descriptors for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = ConnectionLimits.for_port(body_timeout_s=1)
    assert limits.connections == min(soft, 10_240) // 4
    assert limits.requests == limits.connections * 3 // 4


CHUNKED = b"transfer-encoding: chunked\r\n\r\nzz\r\n"


@pytest.mark.parametrize(
    ("request_", "begins"),
    [
        (b"no HTTP\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nhost: x\r\n" + CHUNKED, b"HTTP/1.1 400 "),
        (b"HEAD / HTTP/1.1\r\nhost: x\r\n" + CHUNKED, b"HTTP/1.1 400 "),
        (b"POST /unread HTTP/1.1\r\nhost: x\r\n" + CHUNKED, b"HTTP/1.1 400 "),
        (GET + b"no HTTP\r\n\r\n", OK),
    ],
)
async def test_what_is_not_http_ends_the_connection(
    caplog: pytest.LogCaptureFixture, request_: bytes, begins: bytes
) -> None:
    """At any point of a request, and without an error in the log: everybody could fill it."""
    async with serving() as port:
        caller = await port.call(request_)
        await until(lambda: caller.is_closed)
        assert caller.received.startswith(begins)
        other = await port.call(GET)
        await other.answered()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_what_is_not_http_ends_a_response_that_has_begun(caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the body is not HTTP, and the response cannot be replaced."""
    async with serving() as port:
        caller = await port.call(b"POST /unread HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        await caller.answered()
        caller.transport.write(b"zz\r\n")
        await until(lambda: caller.is_closed)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_the_end_of_a_response_does_not_wait_until_its_beginning_is_confirmed() -> None:
    """That would add 40 ms to every response."""
    with (
        listen("--port", "127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

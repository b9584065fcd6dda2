"""One connection, in whatever protocol revision the client speaks."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, Protocol, Self

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY

_DISCOVER = "server/discover"
_MAX_EARLY = 8
"""How many notifications before the first request are passed on, as in the SDK; later ones are dropped."""

Incoming = SessionMessage | Exception


class Outgoing(Protocol):
    """Receiver of messages to the client, as the SDK's streams are."""

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message.

        Raises:
            anyio.BrokenResourceError, anyio.ClosedResourceError: the client is gone.
        """
        ...

    async def aclose(self) -> None:
        """End the stream."""
        ...


class _Shared:
    """The outgoing stream as each session has it: a session that ends does not close it."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.send = outgoing.send

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def aclose(self) -> None:
        pass


class _Session:
    """The incoming stream of a session: what it is sent, and then, once it is chosen, the rest of what comes."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Incoming](0)
        self._rest: AsyncIterator[Incoming] | None = None
        self.has_ended = anyio.Event()
        """All has been received, or the session does not receive any more."""

    async def send(self, item: Incoming) -> None:
        """Let the session receive an item; return once it has."""
        await self._send.send(item)

    async def take(self, rest: AsyncIterator[Incoming]) -> None:
        """Let the session receive the rest; return once it has. That saves a stream between it and the client."""
        self._rest = rest
        self._send.close()
        await self.has_ended.wait()

    def end(self) -> None:
        """End the stream."""
        self._send.close()

    async def receive(self) -> Incoming:
        """Return the next item.

        Raises:
            anyio.EndOfStream: there is none.
        """
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        if self._rest is None:
            with suppress(anyio.EndOfStream):
                return await self._receive.receive()
        if self._rest is None:
            raise StopAsyncIteration
        return await anext(self._rest)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._receive.close()
        self.has_ended.set()


async def serve(server: Server[Any], incoming: AsyncIterator[Incoming], outgoing: Outgoing) -> None:
    """Serve one client until `incoming` ends, like `Server.run`, but accept `initialize` after `server/discover`.

    Some clients send `server/discover`, wait a second, and send `initialize` when no response has arrived. The SDK
    chooses the revision by the first request and rejects the second. Here the first request other than
    `server/discover` chooses; until then there is a session for each of the two kinds.
    """
    async with server.lifespan(server) as state, anyio.create_task_group() as group, aclosing(outgoing):

        def start() -> _Session:
            session = _Session()
            options = server.create_initialization_options(NotificationOptions(resources_changed=True))

            async def run() -> None:
                await serve_dual_era_loop(
                    server, session, _Shared(outgoing), lifespan_state=state, init_options=options
                )

            group.start_soon(run)
            return session

        sessions: dict[bool, _Session] = {}
        early: list[Incoming] = []
        async for item in incoming:
            request = item.message if isinstance(item, SessionMessage) else None
            if not isinstance(request, types.JSONRPCRequest):
                early = [*early, item][:_MAX_EARLY]
                continue
            is_modern = _is_modern(request)
            session = sessions[is_modern] = sessions.get(is_modern) or start()
            if request.method == _DISCOVER:
                await session.send(item)
                continue
            for chosen in (*early, item):
                await session.send(chosen)
            await session.take(incoming)
            break
        for session in sessions.values():
            session.end()


def _is_modern(request: types.JSONRPCRequest) -> bool:
    """Return whether the SDK takes this for the start of a connection of revision 2026-07-28."""
    meta = (request.params or {}).get("_meta")
    return request.method != "initialize" and isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta

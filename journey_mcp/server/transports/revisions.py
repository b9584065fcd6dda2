"""One connection, in whatever protocol revision the client speaks."""

from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import Any, Protocol, Self

import anyio
import mcp_types as types
from anyio.abc import ObjectSendStream
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY

_DISCOVER = "server/discover"
_MAX_EARLY = 8
"""How many notifications before the first request are passed on, as in the SDK; later ones are dropped."""

Incoming = SessionMessage | Exception


class Outgoing(Protocol):
    """Takes messages to the client, as the SDK's streams do."""

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


async def serve(server: Server[Any], incoming: AsyncIterable[Incoming], outgoing: Outgoing) -> None:
    """Serve one client until `incoming` ends, like `Server.run`, but accept `initialize` after `server/discover`.

    Some clients send `server/discover`, wait a second, and send `initialize` when no response has arrived. The SDK
    chooses the revision by the first request and rejects the second. Here the first request other than
    `server/discover` chooses; until then there is a session for each of the two kinds.
    """
    async with server.lifespan(server) as state, anyio.create_task_group() as group, aclosing(outgoing):

        def start() -> ObjectSendStream[Incoming]:
            send, receive = anyio.create_memory_object_stream[Incoming](0)
            options = server.create_initialization_options(NotificationOptions(resources_changed=True))

            async def run() -> None:
                await serve_dual_era_loop(
                    server, receive, _Shared(outgoing), lifespan_state=state, init_options=options
                )

            group.start_soon(run)
            return send

        sessions: dict[bool, ObjectSendStream[Incoming]] = {}
        chosen: ObjectSendStream[Incoming] | None = None
        early: list[Incoming] = []
        async for item in incoming:
            if chosen is None:
                request = item.message if isinstance(item, SessionMessage) else None
                if not isinstance(request, types.JSONRPCRequest):
                    early = [*early, item][:_MAX_EARLY]
                    continue
                is_modern = _is_modern(request)
                session = sessions[is_modern] = sessions.get(is_modern) or start()
                if request.method == _DISCOVER:
                    await session.send(item)
                    continue
                chosen = session
                for earlier in early:
                    await chosen.send(earlier)
            await chosen.send(item)
        for session in sessions.values():
            await session.aclose()


def _is_modern(request: types.JSONRPCRequest) -> bool:
    """Whether the SDK takes this for the start of a connection of revision 2026-07-28."""
    meta = (request.params or {}).get("_meta")
    return request.method != "initialize" and isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta

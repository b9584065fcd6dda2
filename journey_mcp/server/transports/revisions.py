"""One connection, whichever protocol revision the client turns out to speak."""

from collections.abc import AsyncIterable
from typing import Any

import anyio
import mcp_types as types
from anyio.abc import ObjectSendStream
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server.lowlevel.server import Server
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY

_PROBE = "server/discover"
_EARLY = 8
"""So many notifications before the first request are passed on, as the SDK does; further ones are dropped."""

Incoming = SessionMessage | Exception


async def serve(
    server: Server[Any], incoming: AsyncIterable[Incoming], outgoing: MemoryObjectSendStream[SessionMessage]
) -> None:
    """Serve one client until `incoming` ends, as `Server.run`, but accept a handshake after `server/discover`.

    Some clients ask `server/discover`, wait a second, and send `initialize` when no answer has come. The SDK goes by
    the first request and refuses; here the first other one decides, and until then each era has a session.
    """
    async with server.lifespan(server) as state, anyio.create_task_group() as group, outgoing:

        def start() -> ObjectSendStream[Incoming]:
            send, receive = anyio.create_memory_object_stream[Incoming](0)
            options = server.create_initialization_options()

            async def run() -> None:
                await serve_dual_era_loop(server, receive, outgoing.clone(), lifespan_state=state, init_options=options)

            group.start_soon(run)
            return send

        sessions: dict[bool, ObjectSendStream[Incoming]] = {}
        chosen: ObjectSendStream[Incoming] | None = None
        early: list[Incoming] = []
        async for item in incoming:
            if chosen is None:
                request = item.message if isinstance(item, SessionMessage) else None
                if not isinstance(request, types.JSONRPCRequest):
                    early = [*early, item][:_EARLY]
                    continue
                is_modern = _is_modern(request)
                session = sessions[is_modern] = sessions.get(is_modern) or start()
                if request.method == _PROBE:
                    await session.send(item)
                    continue
                chosen = session
                for earlier in early:
                    await chosen.send(earlier)
            await chosen.send(item)
        for session in sessions.values():
            await session.aclose()


def _is_modern(request: types.JSONRPCRequest) -> bool:
    """Whether the SDK takes this for the beginning of a connection of 2026-07-28."""
    meta = (request.params or {}).get("_meta")
    return request.method != "initialize" and isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta

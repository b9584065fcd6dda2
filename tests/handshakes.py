"""First messages of clients, and the server's responses to them."""

from collections.abc import Sequence
from typing import Any

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage
from support import running_studio

from journey_mcp.server.app import make_server
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.server.transports import revisions
from journey_mcp.settings import Settings, read_settings

CLIENT = {"name": "test", "version": "1"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def request(method: str, params: Any = None, id_: Any = 1) -> dict[str, Any]:
    """Return a request as a client sends it."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, **({} if params is None else {"params": params})}


def handshake(version: Any = "2025-11-25", client: Any = CLIENT, capabilities: Any = None, id_: Any = 1) -> Any:
    """Return the first request of a client of a revision up to 2025-11-25."""
    given = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": client}
    return request("initialize", given, id_)


def modern(method: str, id_: Any = 1, **meta: Any) -> dict[str, Any]:
    """Return a request of revision 2026-07-28."""
    return request(method, {"_meta": {**ENVELOPE, **meta}}, id_)


def settings_with(keys: Sequence[str], **more: str) -> Settings:
    """Return settings with these keys."""
    return read_settings({**dict.fromkeys(keys, "k"), **more})


async def asked(settings: Settings, messages: Sequence[Any]) -> list[bytes]:
    """Return the server's responses to one client, line by line."""
    lines: list[bytes] = []
    awaited = sum("id" in message for message in messages)
    put, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](len(messages))
    outgoing, get = anyio.create_memory_object_stream[SessionMessage](0)
    async with incoming, anyio.create_task_group() as group:
        group.start_soon(
            revisions.serve, make_server(Lifespan(settings, running_studio, is_local=True)), incoming, outgoing
        )
        for message in messages:
            put.send_nowait(SessionMessage(types.jsonrpc_message_adapter.validate_python(message, by_name=False)))
        for _ in range(awaited):
            answer = (await get.receive()).message
            lines.append(answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        put.close()
        get.close()
    return lines

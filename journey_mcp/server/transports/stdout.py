"""The stream of messages to the client on stdout."""

import asyncio

import anyio
import mcp_types as types
from anyio import to_thread
from mcp.shared.message import SessionMessage

from journey_mcp.handshake.client_connection import ClientConnection


class Stdout:
    """Writer of messages, one after another, each as a line.

    The SDK sends to it directly: a memory stream to a task that writes would cost two switches of tasks.
    """

    def __init__(self, client: ClientConnection, surplus: int | str | None) -> None:
        """Take the connection, and the id of a request whose response the client has already."""
        self._client = client
        self._surplus = surplus
        self._turn = asyncio.Lock()
        self._lost = anyio.Event()

    async def aclose(self) -> None:
        """Do nothing: what was sent is written, and the descriptor stays open until the process ends."""

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message, once the client reads.

        Raises:
            anyio.BrokenResourceError: the client has closed its end; `until_lost` raises.
        """
        message = item.message
        if self._surplus is not None and (
            isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id == self._surplus
        ):
            self._surplus = None
            return
        await self.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async def write(self, line: bytes) -> None:
        """Write a line with its line feed in the same way."""
        try:
            async with self._turn:
                if not self._client.write_at_once(line):
                    # a shutdown does not wait for a client that does not read
                    await to_thread.run_sync(self._client.write, line, abandon_on_cancel=True)
        except BrokenPipeError as error:
            self._lost.set()
            raise anyio.BrokenResourceError from error

    async def until_lost(self) -> None:
        """Wait until the client has closed its end, and raise.

        Raises:
            BrokenPipeError: it has. The SDK only drops what cannot be sent, and would serve on.
        """
        await self._lost.wait()
        raise BrokenPipeError

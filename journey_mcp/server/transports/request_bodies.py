"""Request bodies, read whole: each limited in size and time, and all bodies in memory limited together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from journey_mcp.handshake.lines import Collected, Overlong


class BodiesTooLargeError(Exception):
    """The bodies in memory reach the limit for all of them; a later request has room."""


@dataclass(kw_only=True, slots=True)
class RequestBodies:
    """The request bodies of one port."""

    max_bytes: int
    """The limit for one body."""
    max_total_bytes: int
    timeout_s: float
    """How long a client may take to send a body."""
    held_bytes: int = field(default=0, init=False)

    @asynccontextmanager
    async def read(self, receive: Receive) -> AsyncIterator[bytes | Overlong]:
        """Read a body, which counts as held until the block ends. A body that is too large comes as its two ends.

        Raises:
            TimeoutError: the body did not arrive in time.
            ClientDisconnect: the client disconnected.
            BodiesTooLargeError: other bodies fill the memory.
        """
        collected, counted, has_room = Collected(self.max_bytes), 0, True
        try:
            async with asyncio.timeout(self.timeout_s):
                is_complete = False
                while not is_complete:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    is_complete = not message.get("more_body", False)
                    collected.add(message.get("body", b""))
                    if self.held_bytes + collected.size - counted > self.max_total_bytes:
                        # read the rest anyway: few clients read a response before they have sent the whole body
                        collected, has_room = Collected(0), False
                    self.held_bytes += collected.size - counted
                    counted = collected.size
            if not has_room:
                raise BodiesTooLargeError
            yield collected.take()
        finally:
            self.held_bytes -= counted

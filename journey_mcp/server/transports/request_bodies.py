"""Bodies of requests, read whole: each bounded in size and time, and all that are held at once bounded together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from journey_mcp.handshake.lines import Collected, Overlong


class BodiesTooLargeError(Exception):
    """Others' bodies fill the memory that there is for all of them; later there is room."""


@dataclass(kw_only=True, slots=True)
class RequestBodies:
    """The bodies that one port holds."""

    max_bytes: int
    """Of one body."""
    max_total_bytes: int
    timeout_s: float
    """How long a client may take to send one."""
    held_bytes: int = field(default=0, init=False)

    @asynccontextmanager
    async def read(self, receive: Receive) -> AsyncIterator[bytes | Overlong]:
        """Read a body; it counts as held until the block ends. Of one that is too large both ends are given.

        Raises:
            TimeoutError: it did not come in time.
            ClientDisconnect: the client has gone.
            TooMuchAtOnceError: as it says.
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
                        # the rest is read all the same: few clients hear an answer before they have sent all
                        collected, has_room = Collected(0), False
                    self.held_bytes += collected.size - counted
                    counted = collected.size
            if not has_room:
                raise BodiesTooLargeError
            yield collected.take()
        finally:
            self.held_bytes -= counted

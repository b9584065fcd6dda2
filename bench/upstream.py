"""A fake upstream without delays: every image is finished at once.

Implements just enough HTTP/1.1 for one client with persistent connections. Prints its port; ends with stdin.
"""

import asyncio
import itertools
import json
import sys
from typing import Any

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Connection(asyncio.Protocol):
    """One connection."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (request := self._next_request()) is not None:
            path, body = request
            answer = json.dumps(self._answer(path, body)).encode()
            self._transport.write(_OK % (len(answer), answer))

    def _next_request(self) -> tuple[bytes, bytes] | None:
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        request_line, *fields = head.split(b"\r\n")
        lengths = [f.partition(b":")[2] for f in fields if f.lower().startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return request_line.split(b" ")[1], rest[:length]

    def _answer(self, path: bytes, body: bytes) -> dict[str, Any]:
        if path.endswith(b"/account"):
            return {"credits": 500}
        is_new = path.endswith(b"/imagine")
        task_id = f"bench-{next(self._numbers)}" if is_new else json.loads(body)["task_id"]
        return {"task_id": task_id, "status": "finished", "image_url": f"https://images.example/{task_id}.png"}


async def main() -> None:
    """Answer on a free port of this machine until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())

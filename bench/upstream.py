"""A fake upstream of JourneyAPI: every image is finished after the seconds of its argument.

Implements just enough HTTP/1.1 for persistent connections. Prints its port; ends with stdin.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Upstream:
    """The tasks: their ids say when they began."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._numbers = itertools.count(1)

    def answer(self, path: bytes, body: bytes) -> dict[str, Any]:
        """Return the answer to a request."""
        if path.endswith(b"/account"):
            return {"credits": 1_000_000}
        if path.endswith(b"/imagine"):
            return self._task(f"bench-{next(self._numbers)}-{time.monotonic()}")
        request = json.loads(body)
        if path.endswith(b"/fetch-many"):
            return {"tasks": [self._task(id_) for id_ in request["task_ids"]]}
        return self._task(request["task_id"])

    def _task(self, task_id: str) -> dict[str, Any]:
        elapsed_s = time.monotonic() - float(task_id.rpartition("-")[2])
        if elapsed_s < self._seconds:
            return {"task_id": task_id, "status": "processing", "percentage": int(100 * elapsed_s / self._seconds)}
        return {"task_id": task_id, "status": "finished", "image_url": f"https://images.example/{task_id}.png"}


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: Callable[[bytes, bytes], dict[str, Any]]) -> None:
        self._answer = answer
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


async def main(seconds: float) -> None:
    """Answer on a free port of this machine until stdin ends."""
    loop = asyncio.get_running_loop()
    upstream = Upstream(seconds)
    server = await loop.create_server(partial(Connection, upstream.answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))

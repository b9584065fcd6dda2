"""Requests over HTTP, byte by byte, as no client library would send them."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_WITHIN_S = 300.0
_MAX_RESPONSE = 4_000_000
_FAILED = 500
_INTERNAL_ERROR = -32603

Headers = Iterable[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True)
class Response:
    """What a server sent until it closed the connection; status 0 if that was nothing."""

    status: int
    head: str
    body: str

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        for line in self.head.splitlines()[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return None

    @property
    def message(self) -> dict[str, Any]:
        """Return the message of JSON-RPC; an empty one if there is none."""
        text = self.body
        if "text/event-stream" in (self.header("content-type") or ""):
            text = next((line[6:] for line in reversed(text.splitlines()) if line.startswith("data: {")), "")
        try:
            message = json.loads(text)
        except ValueError:
            return {}
        return message if isinstance(message, dict) else {}

    @property
    def is_failure(self) -> bool:
        """Whether the server failed, instead of saying what is wrong with the request."""
        return self.status == _FAILED or bool(_error_codes(self.message) & {_INTERNAL_ERROR, "internal"})


def _error_codes(message: Mapping[str, Any]) -> set[Any]:
    """Return the code of the error of JSON-RPC, or of the tool."""
    result = message.get("result")
    errors = [message.get("error")]
    if isinstance(result, dict) and isinstance(result.get("structuredContent"), dict):
        errors.append(result["structuredContent"].get("error"))
    return {error.get("code") for error in errors if isinstance(error, dict)}


def raw(method: str | bytes, target: str | bytes, headers: Headers, body: bytes = b"") -> bytes:
    """Return a request; the headers are sent as they are, and no others."""
    lines = [b" ".join((_encoded(method), _encoded(target), b"HTTP/1.1"))]
    lines += [b": ".join((_encoded(name), _encoded(value))) for name, value in headers]
    return b"\r\n".join([*lines, b"", body])


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


async def exchange(address: str, *parts: bytes, reads: bool = True) -> Response:
    """Send parts of a request on a new connection, and read until the server closes it.

    Without `reads`, the client closes the connection instead of reading.

    Raises:
        TimeoutError: the server did not close the connection.
    """
    target = urlsplit(address)
    async with asyncio.timeout(_WITHIN_S):
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        received = b""
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            while reads and (more := await reader.read(65_536)):
                received += more
                assert len(received) < _MAX_RESPONSE
        except ConnectionError:
            pass  # the server closed it before it had read all
        finally:
            writer.transport.abort()
    return response_of(received)


def response_of(received: bytes) -> Response:
    """Parse a response."""
    head, _, body = received.partition(b"\r\n\r\n")
    status = head.split(b" ")[1:2]
    text = head.decode("latin-1")
    if "transfer-encoding: chunked" in text.lower():
        body = _dechunked(body)
    return Response(int(status[0]) if status else 0, text, body.decode(errors="replace"))


def _dechunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        found, body = found + rest[:length], rest[length + 2 :] if length else b""
    return found

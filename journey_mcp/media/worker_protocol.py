"""Messages between the server and the processes that work on images: facts as JSON, and bytes."""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

_LENGTHS = struct.Struct(">IQ")
_MAX_FACTS = 64 * 1024


class BadFrame(Exception):
    """The received bytes are not a message, or were cut off."""


def send(stream: IO[bytes], facts: Mapping[str, Any], content: bytes = b"") -> None:
    """Write one message, and flush it."""
    head = json.dumps(facts).encode()
    stream.write(_LENGTHS.pack(len(head), len(content)) + head)
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes], *, max_bytes: int) -> tuple[dict[str, Any], bytes] | None:
    """Return the facts and the content of the next message; `None` at the end of the stream.

    Raises:
        BadFrame: it was cut off, has more than `max_bytes` of content, or its facts are not a JSON object.
    """
    lengths = stream.read(_LENGTHS.size)
    if not lengths:
        return None
    if len(lengths) < _LENGTHS.size:
        raise BadFrame("it is cut off")
    head_length, length = _LENGTHS.unpack(lengths)
    if head_length > _MAX_FACTS or length > max_bytes:
        raise BadFrame("it is too long")
    head, content = stream.read(head_length), stream.read(length)
    if len(head) < head_length or len(content) < length:
        raise BadFrame("it is cut off")
    try:
        facts = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise BadFrame("its facts are not JSON") from error
    if not isinstance(facts, dict):
        raise BadFrame("its facts are not an object")
    return facts, content

"""Message framing with a size limit: no more than the longest message is ever buffered."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing takes as long as everything before the first response
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 96 * 1024 * 1024
"""The longest message, on stdio and over HTTP: an image of 64 MiB is 86 MiB in base64."""
_HEAD_BYTES, _TAIL_BYTES = 4096, 512


class Overlong:
    """A message of more than `MAX_BYTES`: only its beginning and end are kept."""

    __slots__ = ("head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail

    @classmethod
    def of(cls, content: bytes | bytearray) -> Overlong:
        """Return the beginning and end of this content."""
        return cls(bytes(content[:_HEAD_BYTES]), bytes(content[-_TAIL_BYTES:]))


class Collected:
    """The bytes of one message; at most `most` are buffered."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._most = most
        self._content = bytearray()
        self._overlong: Overlong | None = None

    def add(self, part: bytes) -> None:
        """Append these bytes."""
        if self._overlong is None:
            self._content += part
            if len(self._content) > self._most:
                self._overlong = Overlong.of(self._content)
                self._content = bytearray()
        else:
            tail = (self._overlong.tail + part)[-_TAIL_BYTES:]
            self._overlong = Overlong(self._overlong.head, tail)

    @property
    def size(self) -> int:
        """The number of buffered bytes."""
        return len(self._content)

    def take(self) -> bytes | Overlong:
        """Return what was added since the last call."""
        taken = self._overlong or bytes(self._content)
        self._content, self._overlong = bytearray(), None
        return taken


class Splitter:
    """Splitter of what arrives, at line feeds; a line may come in parts."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._line = Collected(most)
        self._is_begun = False

    def split(self, chunk: bytes) -> Iterator[bytes | Overlong]:
        """Yield the lines that end in this chunk. It must be read to its end before the next one."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._line.add(part)
            yield self._line.take()
            self._is_begun = False
        self._line.add(rest)
        self._is_begun |= bool(rest)

    def rest(self) -> Iterator[bytes | Overlong]:
        """Yield the last line, if it has no line feed."""
        if self._is_begun:
            yield self._line.take()

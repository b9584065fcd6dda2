"""Standard input and output from the first moment: a thread answers from the record until the server is there.

Importing the SDK takes a second on a slow machine, and clients do not wait for it: some give up, some go on without
the tools.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from journey_mcp.handshake.answers import Answers

TYPE_CHECKING = False  # importing typing would take as long as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_CHUNK = 65536
_READ_AHEAD = 64
"""So many lines are kept for a server that is busy or not there yet; more wait in the pipe."""
_HEAD_START_S = 0.02


class Front:
    """Owns the connection to the client.

    File descriptors 0 and 1 lead elsewhere from then on: what other code prints does not get between messages.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.is_terminal = os.isatty(0)
        """A person has started the server, not a client."""
        self._input, self._output = _taken(0, os.open(os.devnull, os.O_RDONLY)), _taken(1, os.dup(2))
        self._answers = Answers(environment)
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._on_line: Callable[[], object] | None = None
        self._is_open = True
        self._has_answered = threading.Event()
        self._surplus: int | str | None = None

    def start(self) -> None:
        """Read from now on; returns after the first answer, or soon when there is nothing to answer yet."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()
        # An import that runs meanwhile would hold the answer up; who asks later finds it under way.
        self._has_answered.wait(_HEAD_START_S)

    @property
    def has_answered(self) -> bool:
        """Whether the client has heard anything yet."""
        return self._has_answered.is_set()

    def hand_over(self, on_line: Callable[[], object]) -> int | str | None:
        """End answering. `on_line` is called, in another thread, when `take` has something new.

        Returns the id of the request that began the connection, when it has its answer: the server is asked again, to
        know of it, and its answer is one too many.
        """
        with self._changed:
            self._on_line = on_line
            return self._surplus

    def take(self) -> tuple[list[bytes], bool]:
        """The lines that have come, without blocking, and whether more can come."""
        with self._changed:
            lines = list(self._lines)
            self._lines.clear()
            self._changed.notify_all()
            return lines, self._is_open

    def write(self, line: bytes) -> None:
        """Send a line, its end included; blocks until the client has room for it.

        Raises:
            BrokenPipeError: the client has closed its end.
        """
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._output, rest) :]

    def _run(self) -> None:
        try:
            for line in _lines(self._input):
                self._read(line)
        except OSError:
            pass  # the client is gone: there is nobody to tell
        with self._changed:
            self._is_open = False
            self._tell()
        self._has_answered.set()

    def _read(self, line: bytes) -> None:
        with self._changed:
            answer = self._answers.answer(line) if self._on_line is None else None
            if answer is not None:
                self.write(answer.line)
                self._has_answered.set()
                if answer.decides is None or self._surplus is not None:
                    return
                self._surplus = answer.request_id
            self._changed.wait_for(lambda: len(self._lines) < _READ_AHEAD)
            self._lines.append(line)
            self._tell()

    def _tell(self) -> None:
        if self._on_line is not None:
            self._on_line()


def _taken(descriptor: int, instead: int) -> int:
    """A private duplicate of a standard descriptor, which leads elsewhere afterwards."""
    private = os.dup(descriptor)
    os.dup2(instead, descriptor)
    os.close(instead)
    return private


def _lines(descriptor: int) -> Iterator[bytes]:
    """Read up to each line feed; the last line need not have one."""
    parts: list[bytes] = []
    while chunk := os.read(descriptor, _CHUNK):
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            yield b"".join([*parts, end])
            parts.clear()
        parts.append(rest)
    if last := b"".join(parts):
        yield last

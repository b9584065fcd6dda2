"""Standard input and output from the start: a thread responds from the record until the server is ready.

From then on the event loop reads, where it can.

Importing the SDK takes a second on a slow machine, and clients do not wait: some give up, some continue without the
tools.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque

from journey_mcp.handshake.answers import Answers
from journey_mcp.handshake.lines import Splitter

TYPE_CHECKING = False  # importing typing takes as long as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from journey_mcp.handshake.lines import Overlong

    Line = bytes | Overlong

CHUNK_BYTES = 256 * 1024
"""The most that is read at once."""
_MOST_LINES, _MOST_BYTES = 64, 1024 * 1024
"""The most that is buffered for a server that is busy or not ready; the rest waits in the pipe."""
_LONGEST_KNOWN_BYTES = 64 * 1024
"""The longest recorded request is shorter."""
_HEAD_START_S = 0.02
_LAST_STANDARD = 2


class ClientConnection:
    """The connection to the client.

    File descriptors 0 and 1 are redirected: output of other code does not get between messages.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        _fill_gaps()
        self.is_terminal = os.isatty(0)
        """Whether a person has started the server, not a client."""
        self.input, self._output = _taken(0, os.open(os.devnull, os.O_RDONLY)), _taken(1, os.dup(2))
        self.splitter = Splitter()
        """What is known of a line of which more will come."""
        self._answers = Answers(environment)
        self._lines: deque[Line] = deque()
        self._buffered_bytes = 0
        self._changed = threading.Condition()
        self._on_line: Callable[[], object] | None = None
        self._is_reading = True
        self._ends_early = False
        self.is_open = True
        """Whether more can come; known once the thread does not read any more."""
        self._is_settled = threading.Event()
        """The first response was sent, or there will be none."""
        self.has_answered = False
        """Whether the client has received a response."""
        self._surplus: int | str | None = None
        self._writing = threading.Lock()

    def start(self) -> None:
        """Start to read; return after the first response, or soon if there is nothing to respond to yet."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()
        # An import at the same time would delay the response; a later request finds the import in progress.
        self._is_settled.wait(_HEAD_START_S)

    def hand_over(self, on_line: Callable[[], object], *, ends: bool) -> int | str | None:
        """Stop responding; block while a response is written. `on_line` is called in another thread for each new line.

        If the thread `ends`, it does so after the lines that it reads next; then the caller reads `input`, and splits
        what it reads with `splitter`.

        Return the id of the request that began the connection, if it got its response. The server gets that request
        again, because it must know it; its response is surplus.
        """
        with self._changed:
            self._on_line = on_line
            self._ends_early = ends
            return self._surplus

    def take(self) -> tuple[list[Line], bool]:
        """Return the lines that the thread has read, without blocking, and whether it still reads."""
        with self._changed:
            lines = list(self._lines)
            self._lines.clear()
            self._buffered_bytes = 0
            self._changed.notify_all()
            return lines, self._is_reading

    def write(self, line: bytes) -> None:
        """Write a line with its line feed; block until the client reads it.

        Raises:
            BrokenPipeError: the client has closed its end.
        """
        with self._writing:
            self._write(line)

    def write_at_once(self, line: bytes) -> bool:
        """Write a short line if the client's pipe has room for it, without blocking; return whether it was written.

        Raises:
            BrokenPipeError: the client has closed its end.
        """
        import select  # noqa: PLC0415  # not before the first answer

        # a pipe that is ready takes this many bytes without blocking; Windows cannot tell whether it is ready
        if not hasattr(select, "poll") or len(line) > select.PIPE_BUF or not self._writing.acquire(blocking=False):
            return False
        try:
            output = select.poll()
            output.register(self._output, select.POLLOUT)
            is_ready = bool(output.poll(0))
            if is_ready:
                self._write(line)
        finally:
            self._writing.release()
        return is_ready

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._output, rest) :]
        except OSError as error:  # Windows, sockets and terminals raise other errors
            raise BrokenPipeError from error

    def _run(self) -> None:
        try:
            self.is_open = self._read_until_handed_over()
        except OSError:
            self.is_open = False  # the client is gone
        with self._changed:
            self._is_reading = False
            self._notify()
        self._is_settled.set()

    def _read_until_handed_over(self) -> bool:
        """Read lines; return whether more can come."""
        while not self._ends_early:
            chunk = os.read(self.input, CHUNK_BYTES)
            for line in self.splitter.split(chunk) if chunk else self.splitter.rest():
                self._read(line)
            if not chunk:
                return False
        return True

    def _read(self, line: Line) -> None:
        size = len(line) if isinstance(line, bytes) else 0
        with self._changed:
            if self._on_line is None and isinstance(line, bytes) and self._has_answer(line):
                return
            self._changed.wait_for(lambda: not self._lines or self._has_room_for(size))
            self._lines.append(line)
            self._buffered_bytes += size
            self._notify()

    def _has_answer(self, line: bytes) -> bool:
        """Respond from the record; return whether the line needs nothing more."""
        answer = self._answers.answer(line) if len(line) <= _LONGEST_KNOWN_BYTES else None
        if answer is None:
            return False
        self.write(answer.line)
        self.has_answered = True
        self._is_settled.set()
        if answer.decides is None or self._surplus is not None:
            return True
        self._surplus = answer.request_id
        return False

    def _has_room_for(self, size: int) -> bool:
        return len(self._lines) < _MOST_LINES and self._buffered_bytes + size <= _MOST_BYTES

    def _notify(self) -> None:
        if self._on_line is not None:
            self._on_line()


def _fill_gaps() -> None:
    """Open closed standard descriptors on the null device, before something else gets their numbers."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        pass
    os.close(opened)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _taken(descriptor: int, instead: int) -> int:
    """Return a private duplicate of a standard descriptor, and redirect the descriptor."""
    private = os.dup(descriptor)
    if sys.platform != "win32":
        os.set_blocking(private, True)  # the parent process may have set it to non-blocking
    os.dup2(instead, descriptor)
    os.close(instead)
    return private

"""A file descriptor that the event loop reads: it saves two switches of threads for each line."""

import asyncio
import os
from types import TracebackType
from typing import Self


class Descriptor:
    """An open descriptor of a pipe, a socket or a terminal, with one reader. It stays blocking: others may have it."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._read: asyncio.Future[bytes] | None = None
        self._most = 0
        self._is_watched = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwatch()

    @property
    def can_be_watched(self) -> bool:
        """Whether this event loop knows when there is something to read: not on Windows, and not of a file."""
        try:
            self._watch()
        except (NotImplementedError, OSError):
            return False
        self._unwatch()
        return True

    async def read(self, most: int) -> bytes:
        """Return what has arrived, at most so many bytes, after waiting for it; nothing at the end."""
        self._most = most
        self._read = self._loop.create_future()
        if not self._is_watched:
            self._watch()
        return await self._read

    def _watch(self) -> None:
        self._loop.add_reader(self._number, self._is_ready)
        self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.remove_reader(self._number)
            self._is_watched = False

    def _is_ready(self) -> None:
        if self._read is None or self._read.done():
            self._unwatch()  # no read waits for it: it stays in the pipe
            return
        try:
            self._read.set_result(os.read(self._number, self._most))
        except BlockingIOError:
            pass  # another process has read it
        except OSError:
            self._read.set_result(b"")  # the other end is gone

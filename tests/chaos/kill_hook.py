"""Kills a server at the moment that an aim names."""

import asyncio
import os
import signal
from contextlib import suppress

from chaos.kill_points import Aim, Watch
from journey_mcp.sandbox import Event


class Trap:
    """The witness of a sandbox: it kills the process that it is set for, once, and tells when that is done."""

    def __init__(self) -> None:
        self.sprung = asyncio.Event()
        self._pid: int | None = None
        self._aim: Aim | None = None
        self._watch: Watch | None = None

    def set(self, aim: Aim, pid: int) -> None:
        """Kill this process at that moment."""
        self.sprung, self._pid, self._aim, self._watch = asyncio.Event(), pid, aim, Watch(aim)

    def __call__(self, moment: Event) -> None:
        """Look at a moment. When it is the one, the process is dead before the sandbox goes on."""
        if self._watch and self._aim and self._watch.is_it(moment):
            self._watch = None
            self.spring_later()

    def spring_later(self) -> None:
        """Kill it so long after now as the aim says."""
        if self._aim and self._aim.after_s:
            asyncio.get_running_loop().call_later(self._aim.after_s, self.spring)
        else:
            self.spring()

    def spring_when_queued(self) -> None:
        """Kill it now, if that is what was aimed at: a caller has been told that its call is queued."""
        if self._aim and self._aim.is_when_queued:
            self.spring()

    def spring(self) -> None:
        """Kill it now. Returns when it is dead."""
        if self._pid is not None:
            # gone by itself, which its exit status will tell; or buried already by asyncio, whose child it is
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        self._pid = self._watch = None
        self.sprung.set()

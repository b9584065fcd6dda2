"""Killing a server at a kill point."""

import asyncio
import os
import signal
from contextlib import suppress

from chaos.kill_points import EventMatcher, KillPoint
from journey_mcp.sandbox import Event


class KillHook:
    """An observer of a sandbox that kills a process once, at a kill point; `killed` is set when that is done."""

    def __init__(self) -> None:
        self.killed = asyncio.Event()
        self._pid: int | None = None
        self._kill_point: KillPoint | None = None
        self._matcher: EventMatcher | None = None

    def set(self, kill_point: KillPoint, pid: int) -> None:
        """Kill this process at that point."""
        self.killed, self._pid, self._kill_point, self._matcher = (
            asyncio.Event(),
            pid,
            kill_point,
            EventMatcher(kill_point),
        )

    def __call__(self, event: Event) -> None:
        """Check an event. If it matches, the process is dead before the sandbox continues."""
        if self._matcher and self._kill_point and self._matcher.matches(event):
            self._matcher = None
            self.kill_later()

    def kill_later(self) -> None:
        """Kill the process after the delay of the kill point."""
        if self._kill_point and self._kill_point.after_s:
            asyncio.get_running_loop().call_later(self._kill_point.after_s, self.kill)
        else:
            self.kill()

    def kill_if_queued(self) -> None:
        """Kill the process now if the kill point is a queued call: a caller has received that status."""
        if self._kill_point and self._kill_point.is_queued:
            self.kill()

    def kill(self) -> None:
        """Kill the process now; return when it is dead."""
        if self._pid is not None:
            # it ended by itself, which its exit status shows, or asyncio, its parent, has already reaped it
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        self._pid = self._matcher = None
        self.killed.set()

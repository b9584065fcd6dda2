"""An MCP client over pipes, without an SDK and an event loop, so that it measures the server and not itself."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Era = Literal["2025-11-25", "2026-07-28"]
ERAS: tuple[Era, ...] = ("2025-11-25", "2026-07-28")

CLIENT = {"name": "bench", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
_HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
_TIMEOUT_S = 300.0
"""A server that runs longer is killed, and the run fails."""


class RunFailedError(Exception):
    """A server ended, or answered with an error, so there is nothing to measure."""


class StdioClient:
    """A server process and the pipes to it. `started` is the time just before the process was started."""

    def __init__(self, module: str, environment: Mapping[str, str], era: Era) -> None:
        self.era = era
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._watchdog = threading.Timer(_TIMEOUT_S, self.process.kill)
        self._last_id = 0

    def __enter__(self) -> Self:
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self._watchdog.cancel()

    def open(self) -> None:
        """Send the first request of a client of this era, and wait for its answer."""
        if self.era == "2026-07-28":
            self.ask("server/discover")
        else:
            self.ask("initialize", _HANDSHAKE)
            self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return its result."""
        self.send(method, params)
        return self.receive()

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool and return its result."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a request; `receive` returns its result later."""
        self._last_id += 1
        meta = {"_meta": META} if self.era == "2026-07-28" else {}
        self._write({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": {**(params or {}), **meta}})

    def receive(self) -> Any:
        """Return the next result, of any request; notifications are skipped.

        Raises:
            RunFailedError: the server ended, or the answer is an error.
        """
        assert self.process.stdout
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RunFailedError(f"{self.process.args!r} ended before it answered.")
            message = json.loads(line)
            if "method" in message:
                continue
            result = message.get("result")
            if result is None or result.get("isError"):
                raise RunFailedError(f"{self.process.args!r} answered {line.decode()[:500]}")
            return result

    def resident_mib(self) -> float | None:
        """Return the process's resident memory; `None` without /proc."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return int(fields["VmRSS"].split()[0]) / 1024

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

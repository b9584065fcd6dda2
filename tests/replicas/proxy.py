"""The proxy of deploy/haproxy.cfg on this machine: the same configuration with other addresses."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from support import until_listening

_CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
_WEBHOOKS = """
frontend providers
    bind 127.0.0.1:{port}
    default_backend webhooks

backend webhooks
    balance roundrobin
    default-server check inter 2s fall 2 rise 1
"""


def program() -> str:
    """Return the path of haproxy.

    Raises:
        FileNotFoundError: it is not installed; says what installs it.
    """
    if found := shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin"):
        return found
    raise FileNotFoundError("haproxy is not installed: make proxy installs it")


def configuration(port: int, replicas: Sequence[int], webhook_port: int, webhooks: Sequence[int]) -> str:
    """Return the configuration with these ports, and with a second port for webhooks of providers."""
    lines = _CONFIGURATION.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.strip().startswith("server ")]
    assert "    bind :8080" in kept
    text = "\n".join(kept).replace("bind :8080", f"bind 127.0.0.1:{port}")
    return "\n".join([text, *_servers(replicas), _WEBHOOKS.format(port=webhook_port), *_servers(webhooks), ""])


def _servers(ports: Sequence[int]) -> list[str]:
    return [f"    server replica-{number} 127.0.0.1:{port}" for number, port in enumerate(ports, 1)]


class Proxy:
    """Haproxy with one configuration, which can be killed and started again."""

    def __init__(self, text: str, port: int, folder: Path) -> None:
        self._port = port
        self._log = folder / "haproxy.log"
        self._file = folder / "haproxy.cfg"
        self._file.write_text(text, encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program(), "-db", "-f", self._file, stdout=log, stderr=log
            )
        await until_listening(self._port)

    async def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

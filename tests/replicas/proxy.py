"""The proxy of deploy/haproxy.cfg on this machine: the same configuration with other addresses."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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


@asynccontextmanager
async def running_proxy(text: str, port: int, folder: Path) -> AsyncIterator[None]:
    """Run haproxy with this configuration for as long as the block."""
    file = folder / "haproxy.cfg"
    file.write_text(text, encoding="utf-8")
    with (folder / "haproxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program(), "-db", "-f", file, stdout=log, stderr=log)
    try:
        await until_listening(port)
        yield
    finally:
        process.kill()
        await process.wait()

"""Replicas as processes, which can be killed and started again, between a proxy and a database."""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from chaos.audit import Entry
from chaos.request_log import entries_of
from object_stores import CREDENTIALS, ObjectStoreServer
from postgres import Server
from processes import TIMEOUT_S, in_thread
from support import environment_of, free_port

from journey_mcp import sandbox
from replicas.proxy import Proxy, configuration

_INHERITED = ("PATH", "HOME", "TMP", "LANG", "PYTHON", "SSL_CERT_FILE")
"""The variables that a replica inherits: no developer's keys, and no coverage measurement."""

_NOT_STORED = "the image store does not answer"
"""The log of a replica that could not reach the object store when a task ended."""


@dataclass(kw_only=True)
class Replica:
    """A process at one address; after a kill another one takes its place."""

    name: str
    environment: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    webhook_port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its address, without the proxy."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it; it is ready later."""
        arguments = ("serve", "--port", str(self.port), "--webhooks", f"127.0.0.1:{self.webhook_port}")
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "journey_mcp", *arguments, env=self.environment, stderr=log
            )

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, and wait until it is gone."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            await asyncio.wait_for(self._process.wait(), TIMEOUT_S)

    async def until_ready(self) -> None:
        """Wait until it answers calls."""
        deadline = time.monotonic() + TIMEOUT_S
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            while True:
                with suppress(httpx2.TransportError):
                    if (await http.get(f"{self.url}/readyz")).status_code == httpx2.codes.OK:
                        return
                assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")
                await asyncio.sleep(0.05)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Replicas on one database and one object store, behind one proxy, at one sandbox."""

    database: Server
    database_url: str
    store: ObjectStoreServer
    upstream: sandbox.Running
    replicas: Sequence[Replica]
    proxy: Proxy
    proxy_url: str
    public_url: str
    """The address for webhooks of providers, which leads to any replica."""

    @property
    def log(self) -> str:
        """What all replicas wrote on stderr."""
        return "".join(replica.log.read_text(encoding="utf-8") for replica in self.replicas)

    def entries(self, mark: str = "") -> Sequence[Entry]:
        """Return the creating requests that the sandbox has received; those of one call, with its mark."""
        settings = self.upstream.sandbox.settings
        policies = {
            "journeyapi": settings.journeyapi.webhooks,
            "replicate": settings.replicate.webhooks,
            "bfl": settings.bfl.webhooks,
        }
        tries = {service: 1 + len(policy.retry_gaps_s) for service, policy in policies.items()}
        return entries_of(self.upstream, self.public_url, tries, mark=mark)

    async def replace(self, number: int) -> None:
        """Kill a replica without a warning, and start another one in its place."""
        await self.replicas[number].kill()
        await self.replicas[number].start()

    async def replace_proxy(self) -> None:
        """Kill the proxy, and start another one."""
        await self.proxy.kill()
        await self.proxy.start()

    async def pause_store(self) -> None:
        """Let the object store accept connections and answer nothing, until an image could not be stored."""
        seen = self.log.count(_NOT_STORED)
        with self.store.stopped():
            deadline = time.monotonic() + TIMEOUT_S
            while self.log.count(_NOT_STORED) == seen:
                assert time.monotonic() < deadline, "no replica missed the object store"
                await asyncio.sleep(0.1)

    async def restart_database(self, number: signal.Signals) -> None:
        """Restart the database; SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        await in_thread(self.database.stop, number)
        await in_thread(self.database.start)


def new_replica(name: str, upstream: sandbox.Running, folder: Path, given: Mapping[str, str]) -> Replica:
    """Return a replica with these variables and its own data, not started yet."""
    data = folder / name
    data.mkdir()
    inherited = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    environment = {**inherited, **environment_of(upstream, data, **given)}
    return Replica(name=name, environment=environment, log=folder / f"{name}.log")


@asynccontextmanager
async def running_fleet(
    database: Server,
    store: ObjectStoreServer,
    upstream: sandbox.Running,
    folder: Path,
    more: Mapping[str, str],
    *,
    size: int = 3,
) -> AsyncIterator[Fleet]:
    """Run so many replicas, on a new database, behind a proxy; `more` are variables of theirs."""
    port, webhook_port = free_port(), free_port()
    proxy_url, public_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{webhook_port}"
    database_url = database.new_database()
    given = {
        "JOURNEY_MCP_DATABASE_URL": database_url,
        "JOURNEY_MCP_STORE": store.address(database_url.rpartition("/")[2]),
        "JOURNEY_MCP_SECRET": secrets.token_hex(32),
        "JOURNEY_MCP_SERVER_URL": proxy_url,
        "JOURNEY_MCP_PUBLIC_URL": public_url,
        **CREDENTIALS,
        **more,
    }
    replicas = [new_replica(name, upstream, folder, given) for name in "abcdefgh"[:size]]
    ports = [replica.port for replica in replicas]
    text = configuration(port, ports, webhook_port, [replica.webhook_port for replica in replicas])
    fleet = Fleet(
        database=database,
        database_url=database_url,
        store=store,
        upstream=upstream,
        replicas=replicas,
        proxy=Proxy(text, port, folder),
        proxy_url=proxy_url,
        public_url=public_url,
    )
    try:
        for replica in replicas:
            await replica.start()
        for replica in replicas:
            await replica.until_ready()
        await fleet.proxy.start()
        yield fleet
    finally:
        await fleet.proxy.kill()
        for replica in replicas:
            await replica.kill()

"""Building blocks of tests: settings for a sandbox, a studio on a manual clock, servers, clients."""

import asyncio
import json
import os
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import anyio
import sqlalchemy as sa
import trustme
import uvicorn
from access import refuse_other_machines
from jsonschema import Draft202012Validator
from manual_clock import ManualClock
from mcp import Client
from ports import free_port as free_port  # noqa: PLC0414  # what most tests import comes from here
from starlette.applications import Starlette
from uvicorn.server import ServerState

from journey_mcp import sandbox
from journey_mcp.core.clock import Clock
from journey_mcp.core.limits import NO_PRINCIPAL_LIMITS, PrincipalLimits
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task
from journey_mcp.providers.clients import ADAPTERS, Adapter
from journey_mcp.registry import load
from journey_mcp.server.app import make_server
from journey_mcp.server.lifespan import Lifespan
from journey_mcp.settings import Settings, read_settings
from journey_mcp.store import open_store
from journey_mcp.store.cooldowns import Cooldown
from journey_mcp.store.migrations import STEPS, migrate
from journey_mcp.studio import Listening, Studio, open_studio


def settings_for(base_url: str, folder: Path, **more: str) -> Settings:
    """Return settings for an upstream, with data in a folder."""
    return read_settings(environment_for(base_url, folder, **more))


def environment_for(base_url: str, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment variables of these settings, for a process."""
    return {
        "JOURNEYAPI_API_KEY": "japi_live_test",
        "JOURNEYAPI_BASE_URL": base_url,
        "JOURNEY_MCP_DATA_DIR": str(folder),
        **more,
    }


SERVICES = {name: (facts.key_variable, facts.base_url_variable) for name, facts in load().providers.items()}
"""All providers, with their variables."""


def model_at(service: str) -> str:
    """Return a model that makes an image from text at this provider, in one response if it has such a model."""
    offers = [offer for offer in load().offers if offer.provider == service and not offer.is_edit_only]
    return min(offers, key=lambda offer: (not offer.synchronous, offer.result == "grid")).model


def environment_of(upstream: sandbox.Running, folder: Path, *services: str, **more: str) -> dict[str, str]:
    """Return environment variables with keys for these providers, all at one sandbox."""
    environment = {"JOURNEY_MCP_DATA_DIR": str(folder), **more}
    for service in services or SERVICES:
        key, address = SERVICES[service]
        environment |= {key: f"{service}-secret-key", address: upstream.base_urls[service]}
    return environment


def coarse(**more: Any) -> sandbox.Settings:
    """Return settings of a sandbox that draws coarse images: drawing takes half the time of many tests otherwise."""
    return sandbox.Settings(**{"fineness": 0.1, **more})


@cache
def _migrated_database() -> bytes:
    """Return an empty database with all tables: copying it is faster than running the migrations."""
    with TemporaryDirectory() as folder:
        engine = sa.create_engine(f"sqlite:///{folder}/tasks.db", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            migrate(connection, 0.0)
        engine.dispose()
        return Path(folder, "tasks.db").read_bytes()


@contextmanager
def database_of_version(file: Path, version: int) -> Iterator[sa.Connection]:
    """Open a database of a release with so many migrations; what the block adds is committed."""
    file.parent.mkdir(exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        for step in STEPS[:version]:
            step(connection)
        connection.exec_driver_sql("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO schema_version VALUES (?)", (version,))
        yield connection
    engine.dispose()


def create_database(folder: Path) -> None:
    """Create the database of a data folder, empty and with all tables, unless it exists."""
    file = folder / "tasks.db"
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(_migrated_database())


@asynccontextmanager
async def running_studio(
    settings: Settings,
    clock: Clock | None = None,
    adapters: Mapping[str, Adapter] = ADAPTERS,
    listening: Listening | None = None,
    principals: PrincipalLimits = NO_PRINCIPAL_LIMITS,
) -> AsyncIterator[Studio]:
    """Open a studio on a manual clock."""
    if settings.database_url is None:
        with suppress(OSError):  # opening the studio reports what is wrong with the folder
            create_database(settings.resolved_data_dir())
    async with open_studio(settings, clock or ManualClock(), adapters, listening, principals) as studio:
        yield studio


async def created(studio: Studio, request: ImageRequest, principal: Principal = LOCAL, **more: Any) -> Task:
    """Return the task of a call, a new one although there are duplicates."""
    return (await studio.create(request, principal, **{"fresh": True, **more})).task


async def until_accepted(studio: Studio, task: Task) -> Task:
    """Wait for the provider's first response."""
    while task.submission in {Submission.PREPARED, Submission.SENT}:
        task = await studio.wait_for_new(task, 0)
    return task


@dataclass(frozen=True)
class Environment:
    """A studio at a sandbox, and the folder of its data."""

    studio: Studio
    upstream: sandbox.Running
    folder: Path
    clock: ManualClock

    async def made(self, **more: Any) -> Task:
        """Create a task, wait for its end, and return it."""
        return await self.studio.wait_for_new(await created(self.studio, make_request(**more)), 900)

    async def accepted(self, **more: Any) -> Task:
        """Create a task, wait until the provider has accepted it, and return it."""
        return await until_accepted(self.studio, await created(self.studio, make_request(**more)))

    async def cooldowns(self) -> dict[str, Cooldown]:
        """Return the providers that are on cooldown, by name."""
        async with open_store(self.studio.settings.resolved_database_url()) as store:
            found = await store.cooldowns.active(self.clock.now())
        return {provider: cooldown for (provider, _), cooldown in found.items()}

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The bodies of the creating requests that the sandbox received."""
        return [entry.request for entry in self.upstream.sandbox.request_log.submissions]

    def sent_to(self, service: str) -> list[Any]:
        """Return the bodies of the creating requests that one service received."""
        return [entry.request for entry in self.upstream.sandbox.request_log.submissions if entry.service == service]

    @property
    def created(self) -> list[str]:
        """The services that created a task, in order."""
        return [e.service for e in self.upstream.sandbox.request_log.submissions if e.outcome == "created"]

    @property
    def asked(self) -> dict[str, int]:
        """The number of requests per endpoint."""
        return dict(self.upstream.sandbox.request_log.requests)

    def faults(self, *texts: str) -> None:
        """Replace the faults of the sandbox."""
        self.upstream.sandbox.faults.replace([sandbox.Fault.parse(text) for text in texts])


@asynccontextmanager
async def make_environment(folder: Path, *faults: str, **more: Any) -> AsyncIterator[Environment]:
    """Open a studio on a manual clock at a sandbox in which every task ends at once.

    Upper-case keywords are environment variables, the others settings of the fake JourneyAPI.
    """
    environment = {name: str(value) for name, value in more.items() if name.isupper()}
    fake = sandbox.JourneyApiSettings(**{name: value for name, value in more.items() if not name.isupper()})
    async with (
        sandbox.running(coarse(speed=0, seed=7, journeyapi=fake)) as upstream,
        running_studio(settings_for(upstream.base_url, folder, **environment), clock := ManualClock()) as studio,
    ):
        opened = Environment(studio, upstream, folder, clock)
        opened.faults(*faults)
        yield opened
        studio.begin_shutdown()  # tasks that hang would be waited for


@asynccontextmanager
async def make_wide_environment(
    folder: Path, *faults: str, services: Sequence[str] = tuple(SERVICES), **more: Any
) -> AsyncIterator[Environment]:
    """Open a studio on a manual clock with keys for several providers at one sandbox.

    Upper-case keywords are environment variables, the others settings of the sandbox.
    """
    environment = {name: str(value) for name, value in more.items() if name.isupper()}
    values = {"speed": 0, "seed": 7, **{name: value for name, value in more.items() if not name.isupper()}}
    async with sandbox.running(coarse(**values)) as upstream:
        settings = read_settings(environment_of(upstream, folder, *services, **environment))
        async with running_studio(settings, clock := ManualClock()) as studio:
            opened = Environment(studio, upstream, folder, clock)
            opened.faults(*faults)
            yield opened
            studio.begin_shutdown()


make_environment_without_copies = partial(make_environment, JOURNEY_MCP_KEEP_IMAGES="off")
make_wide_environment_without_copies = partial(make_wide_environment, JOURNEY_MCP_KEEP_IMAGES="off")
"""For tests that do not look at images: drawing and storing them takes a third of their time."""


@asynccontextmanager
async def client_of(
    settings: Settings, mode: str = "auto", *, is_local: bool = True, **more: Any
) -> AsyncIterator[Client]:
    """Open a client in this process, connected to a server on a manual clock."""
    server = make_server(Lifespan(settings, running_studio, is_local=is_local))
    async with Client(server, mode=mode, **more) as client:
        yield client


@asynccontextmanager
async def client_at(studio: Studio, mode: str = "auto", **more: Any) -> AsyncIterator[Client]:
    """Open a client in this process, connected to a server of its own at a studio, which stays open."""
    server = make_server(Lifespan(studio.settings, lambda _: nullcontext(studio), is_local=True))
    async with Client(server, mode=mode, **more) as client:
        yield client


def check_each_schema_once() -> None:
    """Let `jsonschema` check a schema that it has found valid no second time in this process.

    The SDK's client checks the output schemas of the tools again in every session: longer than most tests call a tool.
    """
    check, valid = Draft202012Validator.check_schema, set()

    def check_once(schema: Any, *more: Any, **named: Any) -> None:
        text = json.dumps(schema, sort_keys=True)
        if text not in valid:
            check(schema, *more, **named)
            valid.add(text)

    Draft202012Validator.check_schema = check_once


def make_request(**more: Any) -> ImageRequest:
    """Return a request for an image that the sandbox finishes in its first response."""
    return ImageRequest(**{"tool": "imagine", "prompt": "a red kite over the dunes", "model": "z-image", **more})


def compact(plain: Any) -> bytes:
    """Return JSON as it is sent."""
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def check_generated(path: Path, name: str, content: str) -> None:
    """Check the part of a document between `<!-- name -->` and `<!-- /name -->`; UPDATE_DOCS=1 rewrites it."""
    text = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    written, _, after = rest.partition(end)
    assert after, f"{path.name} has no part {name}"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(f"{before}{start}{content.strip()}\n{end}{after}", encoding="utf-8")
    else:
        assert written.strip() == content.strip(), f"{name} in {path.name} is stale: make fix rewrites it"


@asynccontextmanager
async def serving(app: Starlette, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[str]:
    """Serve a web application on this machine; yield its address."""
    config, state = uvicorn.Config(app, log_config=None, lifespan="off"), ServerState()
    config.load()
    http: Any = config.http_protocol_class
    # not uvicorn's own server, which polls ten times a second whether it must end
    server = await asyncio.get_running_loop().create_server(
        lambda: http(config, state, app_state={}), "127.0.0.1", port, ssl=tls
    )
    try:
        yield "{}://{}:{}".format("https" if tls else "http", *server.sockets[0].getsockname())
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks)


@dataclass(frozen=True)
class Authority:
    """A certificate authority for tests."""

    authority: trustme.CA
    file: Path
    """The file that SSL_CERT_FILE names."""

    def server(self, *hosts: str) -> ssl.SSLContext:
        """Return a TLS context with a certificate for these hosts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*hosts).configure_cert(context)
        return context


_FOREIGN = ("JOURNEY", *(f"{key.partition('_')[0]}_" for key, _ in SERVICES.values()), "OTEL_", "SSL_CERT_")


def isolate(folder: Path) -> Authority:
    """Isolate this process and its children from the developer's keys, and this process from other machines.

    All of them then use one certificate authority, with its file in the folder: loading the machine's takes 80 ms for
    every client.
    """
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[name]
    refuse_other_machines()
    authority = Authority(trustme.CA(), folder / "authority.pem")
    authority.authority.cert_pem.write_to_path(str(authority.file))
    os.environ["SSL_CERT_FILE"] = str(authority.file)
    return authority


@contextmanager
def database_away(folder: Path) -> Iterator[None]:
    """Move the database of this folder away while the block runs: it does not answer."""
    file = folder / "tasks.db"
    file.rename(folder / "away.db")
    try:
        yield
    finally:
        (folder / "away.db").rename(file)


class _Driver(sqlite3.Connection):
    """Python's own connection to SQLite; the store runs statements on it that SQLAlchemy does not see."""

    collectors: ClassVar[list[Callable[[str, Any], None]]] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        for collect in self.collectors:
            collect(sql, parameters)
        return super().execute(sql, parameters)


@sa.event.listens_for(sa.Engine, "do_connect")
def _use_driver(dialect: sa.Dialect, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    if dialect.name == "sqlite":
        parameters["factory"] = _Driver


@contextmanager
def statements(part: str) -> Iterator[list[tuple[str, Any]]]:
    """Collect the SQL statements that contain this text, with their values."""
    seen: list[tuple[str, Any]] = []

    def collect(statement: str, values: Any) -> None:
        if part in statement:
            seen.append((statement, values))

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        collect(statement, values)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    _Driver.collectors.append(collect)
    try:
        yield seen
    finally:
        _Driver.collectors.remove(collect)
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def explained(folder: Path, statement: str, values: Any) -> list[str]:
    """Return SQLite's query plan of a statement; the database is in the folder."""
    connection = sqlite3.connect(folder / "tasks.db")
    steps = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    connection.close()
    return [str(detail) for *_, detail in steps]


async def is_listening(port: int) -> bool:
    """Return whether a port accepts connections."""
    try:
        await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
    except OSError:
        return False
    return True


async def until_listening(*ports: int, seconds: float = 60.0) -> None:
    """Wait until all of these ports accept connections."""
    with anyio.fail_after(seconds):
        for port in ports:
            while not await is_listening(port):
                await anyio.sleep(0.05)
